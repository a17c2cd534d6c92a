"""`worldplan evaluate --estimate`: what policies are worth by an off-policy estimate, beside the
true return where the environment is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.vector import VectorEnv
from rich.table import Table

from worldplan.commands.evaluation.environment import environment_of, named_environment
from worldplan.commands.evaluation.run_policies import run_policies
from worldplan.envs.dynamics.termination import termination_for, termination_of
from worldplan.milp.errors import ConfigError
from worldplan.output.console import plain_console
from worldplan.planners.base import Evaluation, bootstrap, evaluate
from worldplan.planners.offline.dynamics import require_ensemble
from worldplan.planners.offline.estimation.estimate import Estimate
from worldplan.planners.offline.estimation.fitted_q import FittedQSettings, fitted_q_evaluation
from worldplan.planners.offline.estimation.held_out_models import value_in_models
from worldplan.planners.offline.saved_policies import OfflinePolicy
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task_environment import given_environment, recorded_task
from worldplan.runs import Run
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import load_ensemble

ESTIMATES = ("fqe", "model")
_SEED = 0


@dataclass(frozen=True)
class EstimateChoice:
    """Which estimate, and from what.

    Args:
        kind: a name in `ESTIMATES`.
        data: dataset; "" for that of the run.
        ensemble: checkpoint of the ensemble for "model".
        updates: of fitted Q evaluation.

    Raises:
        ConfigError: there is no such estimate, it lacks its ensemble, or has one that it does not
            use.
    """

    kind: str
    data: str = ""
    ensemble: str = ""
    updates: int = FittedQSettings().updates

    def __post_init__(self) -> None:
        if self.kind not in ESTIMATES:
            raise ConfigError(f"--estimate {self.kind}: choose {', '.join(ESTIMATES)}")
        if self.kind == "model" and not self.ensemble:
            raise ConfigError(
                "--estimate model needs --ensemble: an ensemble.ckpt of 'worldplan fit --config "
                "configs/ensemble/..', trained on data that the policies were not trained with"
            )
        if self.kind == "fqe" and self.ensemble:
            raise ConfigError("--ensemble: --estimate fqe does not use it: leave it out")


def estimate_policies(
    run: Run,
    episodes: int,
    names: list[str],
    seed: int,
    *,
    choice: EstimateChoice,
    checkpoint: str = "last",
) -> Path:
    """Print an estimate per policy with its 95 % interval, beside the return in the environment
    where it can be made, and write estimates.csv, whose path is returned.

    Args:
        run: a training, or a finished study, on a dataset.
        episodes: of the environment, per policy.
        names: of the methods of a study; empty: all of them.
        seed: of the episodes.
        choice: the estimate.
        checkpoint: "last" or "best".

    Raises:
        CheckpointError: a policy or the ensemble cannot be read.
        ConfigError: the run has no dataset, or does not fit the estimate.
        DatasetError: the dataset cannot be read.
    """
    task = _task_of(run.config, run.path)
    listed = list(run_policies(run, names, checkpoint))
    policies = [policy for _, _, policy, _ in listed]
    data = load_transitions(choice.data or task["dataset"])
    environment, problem = _environment(run, policies[0], episodes)
    if choice.kind == "fqe":
        discounts = [policy.discount or _discount(run.config) for policy in policies]
        estimates = _fitted(data, policies, discounts, choice.updates)
    else:
        discounts = [1.0] * len(policies)
        estimates = _in_models(choice, task, data, policies, environment)
    rows = []
    for (name, policy_seed, policy, _), estimate, discount in zip(
        listed, estimates, discounts, strict=True
    ):
        row = {"policy": name, "seed": policy_seed, "estimate_by": choice.kind}
        row |= {"discount": discount, **_row(estimate)}
        if environment is not None:
            played = evaluate(policy, environment, episodes, seed)
            row |= {f"true_{key}": value for key, value in _true(played, discount).items()}
        rows.append(row | {"note": estimate.note})
    if environment is not None:
        environment.close()
    table = pd.DataFrame(rows)
    _print(table, choice, problem or _origin_note(choice, task))
    file = run.write_csv("estimates.csv", table)
    plain_console().print(f"written to {file}", soft_wrap=True)
    return file


def _task_of(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings of the run's task.

    Raises:
        ConfigError: it has no dataset.
    """
    arguments = config.get("model", {}).get("init_args") if "model" in config else None
    task = arguments if arguments is not None else config.get("data")
    if not isinstance(task, dict) or not isinstance(task.get("dataset"), str):
        raise ConfigError(
            f"{path}: an off-policy estimate needs a dataset, and this run has none: leave "
            "--estimate out"
        )
    return task


def _fitted(
    data: Transitions, policies: Sequence[OfflinePolicy], discounts: Sequence[float], updates: int
) -> list[Estimate]:
    """Fitted Q evaluation of each policy, discounted as in its training."""
    estimates: dict[int, Estimate] = {}
    for discount in dict.fromkeys(discounts):
        chosen = [place for place, other in enumerate(discounts) if other == discount]
        settings = FittedQSettings(discount=discount, updates=updates)
        alike = [policies[place] for place in chosen]
        estimates |= zip(
            chosen, fitted_q_evaluation(data, alike, settings, seed=_SEED), strict=True
        )
    return [estimates[place] for place in range(len(policies))]


def _discount(config: Mapping[str, Any]) -> float:
    """The discount of the run's settings, for policies of an older worldplan and for methods
    without one.
    """
    model = config.get("model") or {}
    settings = (model.get("init_args") or {}).get("settings") if model else config.get("settings")
    value = (settings or {}).get("discount", ReachAwareSettings().discount)
    return float(value)


def _environment(run: Run, policy: OfflinePolicy, episodes: int) -> tuple[VectorEnv | None, str]:
    """The environment of the policies, or None and why it cannot be made."""
    try:
        given = given_environment(named_environment(run.config))
        return environment_of(policy, episodes, given, str(run.path)), ""
    except ConfigError as error:
        return None, f"no true return beside the estimates: {error}"


def _in_models(
    choice: EstimateChoice,
    task: Mapping[str, Any],
    data: Transitions,
    policies: Sequence[OfflinePolicy],
    environment: VectorEnv | None,
) -> list[Estimate]:
    """The return in the models of an ensemble, over the time limit of the task.

    Raises:
        CheckpointError: the ensemble is of another environment than the data.
        ConfigError: no termination rule is known by the environment's name, or its arguments and
            wrappers change it.
    """
    ensemble = load_ensemble(
        choice.ensemble,
        observation_size=data.observation.shape[1],
        action_size=data.action.shape[1],
    )
    require_ensemble(
        ensemble.trained_on, choice.ensemble, data, choice.data or str(task["dataset"])
    )
    name = task.get("termination")
    if name == "learned":
        raise ConfigError(
            "--estimate model needs a termination function, and the run has a learned one: use "
            "--estimate fqe"
        )
    specs = [spec for spec in (data.environment, recorded_task(policies[0].about)) if spec]
    return value_in_models(
        ensemble,
        termination_for(name) if name else termination_of(*specs, remedy="use --estimate fqe"),
        data.observation[data.starts],
        policies,
        steps=time_limit(environment) or int(data.lengths().max()),
        seed=_SEED,
    )


def time_limit(environment: VectorEnv | None) -> int | None:
    """Steps after which an environment truncates an episode; None where it is not known."""
    copies = getattr(environment, "envs", None) or [None]
    spec = getattr(copies[0], "spec", None)
    limit: int | None = getattr(spec, "max_episode_steps", None)
    return limit


def _row(estimate: Estimate) -> dict[str, float]:
    return {"estimate": estimate.mean, "low": estimate.low, "high": estimate.high}


def _true(played: Evaluation, discount: float) -> dict[str, float]:
    """Mean discounted return with its interval over episodes."""
    factors = discount ** np.arange(played.step_reward.shape[1])
    return bootstrap(np.nansum(played.step_reward * factors, axis=1))


def _origin_note(choice: EstimateChoice, task: Mapping[str, Any]) -> str:
    """What weakens all estimates."""
    own = task.get("ensemble")
    if choice.kind == "model" and own and _same(choice.ensemble, str(own)):
        return (
            "this is the ensemble that the policies were trained in, not a held-out one: policies "
            "that exploit its errors look best"
        )
    if choice.kind == "fqe" and (not choice.data or choice.data == task["dataset"]):
        return "the data are those of the training: give others with --data where there are any"
    return ""


def _same(first: str, second: str) -> bool:
    a, b = Path(first), Path(second)
    return a.is_file() and b.is_file() and a.read_bytes() == b.read_bytes()


def _print(table: pd.DataFrame, choice: EstimateChoice, note: str) -> None:
    """Print the table, what the numbers are, and what weakens them."""
    discounts = " or ".join(f"{value:g}" for value in dict.fromkeys(table["discount"]))
    title = {
        "fqe": f"fitted Q evaluation: value discounted by {discounts}, without time limit",
        "model": f"return in the models of {choice.ensemble}, over the time limit",
    }[choice.kind]
    printed = Table("policy", "seed", "estimate", "95 % interval", title=title)
    truth = "true_mean" in table
    if truth:
        printed.add_column("true, discounted" if choice.kind == "fqe" else "true")
        printed.add_column("95 % interval")
    for row in table.to_dict("records"):
        texts = [f"{row['estimate']:.4g}", _interval(row["low"], row["high"])]
        if truth:
            texts += [f"{row['true_mean']:.4g}", _interval(row["true_low"], row["true_high"])]
        printed.add_row(str(row["policy"]), str(row["seed"]), *texts)
    console = plain_console()
    console.print(printed)
    if truth and choice.kind == "fqe":
        console.print(
            "true: new episodes, discounted; they end at the time limit, the estimate does not"
        )
    for text in dict.fromkeys([note, *table["note"]]):
        if text:
            console.print(f"note: {text}", soft_wrap=True)


def _interval(low: float, high: float) -> str:
    return "-" if np.isnan(low) else f"{low:.4g} .. {high:.4g}"
