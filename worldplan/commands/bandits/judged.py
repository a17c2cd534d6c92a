"""Policies judged under posterior samples of the dynamics (`Scenario.draws`).

What is learned from a log is not what is true. In each draw d of the posterior a policy is played
twice in the same episodes: as it is, made from the posterior (its mean or `programme.members`),
with the mean reward J(d); and made from d itself, as if the dynamics were known, with J*(d). Then

    mean over d of J(d)               what to expect of the policy, with what is not known
    mean over d of J*(d) - J(d)       regret of deciding by the mean: what knowing would be worth

the expected value of perfect information for this policy (Raiffa and Schlaifer 1961). Intervals
are a bootstrap over draws. All policies have the same draws, starts and random numbers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.commands.bandits.jobs import (
    Job,
    make_planner,
    result_file,
    training_folder,
)
from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import ArmDynamics
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.played import play_policy
from worldplan.planners.bandits.policies import is_trained, learns, naming_policy
from worldplan.planners.bandits.units import counted_steps
from worldplan.planners.base import Planner, bootstrap
from worldplan.runs import write_result
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import Built, build

JUDGED, DRAWS = "judged.csv", "draws.csv"  # of a run: by policy, and every draw
SUFFIX = "-draws"  # of a job's table
TIE = 1e-9  # relative difference of means that counts as none
MOST_NUMBERS = 100_000_000  # probabilities in all draws
_STREAM, _EPISODES = 11, 13  # of random numbers


class JudgedJob(Job):
    """A policy on one seed, played in the draws of the posterior; fields as in `Job`."""

    @property
    def result(self) -> Path:
        """Table draw, mean, known: rewards per step; known is empty where it is not played."""
        return result_file(self.folder, self.policy, self.seed, SUFFIX)

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files and folders, the one that says that it is done last; first what it reads."""
        return training_folder(self), self.result

    @property
    def done(self) -> bool:
        """Whether the job's table exists."""
        return self.result.exists()


def judged_jobs(folder: Path, scenario: Scenario, base: Path) -> list[JudgedJob]:
    """The jobs of a run's draws. They begin when the others have ended: trainings are there."""
    return [
        JudgedJob(folder, scenario, base, policy, seed)
        for policy in scenario.policy_list()
        for seed in scenario.seed_list()
    ]


def check_draws(scenario: Scenario) -> None:
    """Refuse draws where there is no posterior, or where they do not fit the policies.

    Raises:
        ConfigError: names the setting.
    """
    if not scenario.draws:
        return
    if scenario.programme.log is None:
        raise ConfigError(
            f"draws {scenario.draws}: policies are judged in samples of what a log leaves open: "
            "give programme.log, or leave draws out"
        )
    trained = [policy for policy in scenario.policy_list() if is_trained(policy)]
    if trained and scenario.programme.seen != "always":
        raise ConfigError(
            f"draws {scenario.draws} with programme.seen {scenario.programme.seen}: policy "
            f"'{trained[0]}' is trained for other belief states: leave it or draws out"
        )


def check_memory(scenario: Scenario, dynamics: ArmDynamics) -> None:
    """Refuse more draws than fit into memory.

    Raises:
        ConfigError: names the number that fits.
    """
    numbers = dynamics.arms * dynamics.levels * dynamics.states**2
    most = MOST_NUMBERS // numbers
    if scenario.draws > most:
        raise ConfigError(
            f"draws {scenario.draws} of {dynamics.arms} arms with {dynamics.states} states: give "
            f"at most {most}"
        )


def run_judged(job: JudgedJob) -> JudgedJob:
    """Play the policy in all draws, unless that is done.

    Raises:
        ConfigError: the policy does not fit the instance.
    """
    if job.done:
        return job
    programme = job.scenario.programme
    built, draws = with_draws(
        build(programme, job.base, programme.seed + job.seed), job.scenario, job.seed
    )
    rows = []
    with naming_policy(job.policy, job.seed):
        planner = make_planner(job.policy, built, job.scenario, job.seed, training_folder(job))
        for number, draw in enumerate(draws):
            true = replace(built, instance=replace(built.instance, dynamics=draw), models=None)
            known = None
            if not (learns(job.policy) or is_trained(job.policy)):
                informed = make_planner(job.policy, true, job.scenario, job.seed, None)
                known = _mean(job, informed, true, number)
            rows.append((number, _mean(job, planner, true, number), known))
    write_result(job.result, pd.DataFrame(rows, columns=["draw", "mean", "known"]))
    return job


def with_draws(
    built: Built, scenario: Scenario, seed: int
) -> tuple[Built, tuple[ArmDynamics, ...]]:
    """The programme as policies see it, and draws of its dynamics over the same states.

    Args:
        built: of the log.
        scenario: with the number of draws.
        seed: of the draws.
    """
    assert built.posterior is not None  # `check_draws`: there is a log
    samples = built.posterior.sample(scenario.draws, np.random.default_rng([seed, _STREAM]))
    members = built.models or ()
    seen = as_seen(replace(built, models=(*members, *samples)), scenario.programme).built
    assert seen.models is not None
    count = len(members)
    return replace(seen, models=seen.models[:count] or None), seen.models[count:]


def _mean(job: JudgedJob, planner: Planner, true: Built, draw: int) -> float:
    """Mean reward per step of a planner's episodes in a draw."""
    instance, scenario = true.instance, job.scenario
    numbers = np.random.default_rng([job.seed, _EPISODES, draw])
    seed = int(numbers.integers(2**31))
    played = play_policy(
        planner, instance, scenario.episodes, seed, None, learns=learns(job.policy)
    )
    return float(played.returns.mean() / counted_steps(instance))


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """One row per policy, the best mean first.

    Args:
        table: policy, seed, draw, mean, known: the tables of all jobs.

    Returns:
        Columns policy, mean, low, high, regret, regret_low, regret_high, best, draws. `best` is the
        share of draws in which no other policy has a greater mean; equal ones share the draw.
    """
    means = table.pivot(index=["seed", "draw"], columns="policy", values="mean")
    top = means.max(axis=1)
    ties = means.ge(top - TIE * top.abs(), axis=0).astype(float)
    best = ties.div(ties.sum(axis=1), axis=0).mean()
    rows = []
    for policy, part in table.groupby("policy", sort=False):
        own = bootstrap(part["mean"].to_numpy())
        lost = (part["known"] - part["mean"]).to_numpy(dtype=float)
        unknown = dict.fromkeys(("mean", "low", "high"), np.nan)
        regret = unknown if np.isnan(lost).any() else bootstrap(lost)
        rows.append(
            {"policy": policy}
            | own
            | {"regret": regret["mean"], "regret_low": regret["low"], "regret_high": regret["high"]}
            | {"best": best[policy], "draws": len(part)}
        )
    return pd.DataFrame(rows).sort_values("mean", ascending=False, ignore_index=True)
