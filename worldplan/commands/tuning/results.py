"""Table, plots, report and best settings of a tuning, from the trials in its storage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from worldplan.commands.studies.jobs import make_task, settings_by_data
from worldplan.commands.studies.study import Study
from worldplan.commands.tuning import plots
from worldplan.commands.tuning.penalties import penalty_plot
from worldplan.commands.tuning.space import shown
from worldplan.commands.tuning.trials import NOTE, RETURNS, SCORES
from worldplan.commands.tuning.tuning import SCORES as SCORE_TEXTS
from worldplan.commands.tuning.tuning import Tuning, value_of
from worldplan.files import config_text, plain
from worldplan.milp.errors import Diverged
from worldplan.output.report import write_report
from worldplan.planners.base import bootstrap
from worldplan.planners.offline.model_free.learner import ModelFreeSettings
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.runs import Run

TRIALS, BEST, BEST_FIT = "trials.csv", "best.yaml", "best_fit.yaml"
_SHOWN = 10  # trials in the summary
_FIXED = ("trial", "state", "score", "low", "high", "return", "seconds", "note")


def write_results(run: Run, tuning: Tuning, study: optuna.Study) -> None:
    """Write trials.csv, plots, best.yaml; the summary and the report, written last, mark a finished
    run.

    Raises:
        Diverged: no trial has a score.
    """
    trials = [trial for trial in study.get_trials() if trial.state != TrialState.FAIL]
    table = trial_table(tuning, trials)
    run.write_csv(TRIALS, table)
    ranked = _ranked(table)
    if ranked.empty:
        raise Diverged(
            f"none of {len(trials)} trials has a score: {run.path / TRIALS} says why: lower the "
            "learning rates in settings or in search, or raise the pessimism"
        )
    best = next(trial for trial in trials if trial.number == ranked.iloc[0]["trial"])
    _write_best(run, tuning, best)
    shares, problem = importance(study, len(tuning.space))
    plots.history(table, score_label(tuning), run.plots / "learning_curve_score.svg")
    plots.slices(tuning.space, table, score_label(tuning), run.plots / "settings.svg")
    if shares:
        plots.importance(shares, run.plots / "importance.svg")
        run.write_csv(
            "importance.csv", pd.DataFrame({"setting": list(shares), "share": shares.values()})
        )
    penalties = penalty_plot(run, tuning)
    run.write_text("notes.txt", _notes(tuning, table, problem, penalties))
    run.write_summary(_summary(tuning, ranked))
    write_report([run.path])


def score_label(tuning: Tuning) -> str:
    """What the scores are, for axes and titles."""
    return SCORE_TEXTS[tuning.score]


def trial_table(tuning: Tuning, trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """One row per trial: number, state, score with its 95 % interval over seeds, the settings, and
    with an off-policy score the return in the environment.
    """
    rows = []
    for trial in trials:
        scores = trial.user_attrs.get(SCORES)
        interval = bootstrap(np.asarray(scores)) if scores else {"low": np.nan, "high": np.nan}
        value = trial.value
        if value is None and trial.intermediate_values:
            value = list(trial.intermediate_values.values())[-1]
        finite = value is not None and math.isfinite(value)
        duration = trial.duration
        returned = trial.user_attrs.get(RETURNS)
        settings = {
            parameter.name: value_of(parameter, trial.params[parameter.name])
            for parameter in tuning.space
            if parameter.name in trial.params
        }
        rows.append(
            {
                "trial": trial.number,
                "state": _state(trial),
                "score": value if finite else np.nan,
                "low": interval["low"],
                "high": interval["high"],
                **({"return": np.mean(returned)} if returned else {}),
                **{name: shown(setting) for name, setting in settings.items()},
                "seconds": np.nan if duration is None else round(duration.total_seconds(), 1),
                "note": trial.user_attrs.get(NOTE, ""),
            }
        )
    columns = [*_FIXED[:5], *(["return"] if tuning.score != "environment" else [])]
    names = [parameter.name for parameter in tuning.space]
    return pd.DataFrame(rows, columns=[*columns, *names, *_FIXED[6:]])


def _state(trial: FrozenTrial) -> str:
    if trial.state == TrialState.COMPLETE:
        finite = trial.value is not None and math.isfinite(trial.value)
        return "finished" if finite else "worst"
    return {TrialState.PRUNED: "pruned"}.get(trial.state, "unfinished")


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The finished trials, best first; of equal scores, the earlier one."""
    finished = table[table["state"] == "finished"]
    return finished.sort_values("score", ascending=False, kind="stable")


def importance(study: optuna.Study, settings: int) -> tuple[dict[str, float], str]:
    """The share of each setting in the variance of the scores (PED-ANOVA, Watanabe et al., 2023),
    greatest first; and "" or why there are none.
    """
    usable = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.COMPLETE and math.isfinite(trial.value or 0.0)
    ]
    if settings < 2:
        return {}, "one setting only"
    if len(usable) < 4 or len({trial.value for trial in usable}) < 2:
        return {}, f"too few trials ({len(usable)})"
    copy = optuna.create_study(direction="maximize")
    copy.add_trials(usable)
    try:
        shares = optuna.importance.get_param_importances(
            copy, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return {}, " ".join(str(error).split())
    return {name: float(share) for name, share in shares.items()}, ""


def _write_best(run: Run, tuning: Tuning, best: FrozenTrial) -> None:
    """Write best.yaml for `worldplan run`, and best_fit.yaml for `worldplan fit`."""
    changes = {
        parameter.name: value_of(parameter, best.params[parameter.name])
        for parameter in tuning.space
    }
    study = tuning.trial_study(changes)
    head = (
        f"# trial {best.number} of {run.name}: score {best.value:.6g}\n"
        f"# score: {score_label(tuning)}\n"
    )
    method = study.methods[tuning.method]
    as_study = {
        entry.name: getattr(study, entry.name)
        for entry in fields(Study)
        if getattr(study, entry.name) is not None
    } | {"name": f"{tuning.name}-best", "methods": {"best": method}}
    as_study["side_by_side"] = tuning.side_by_side
    text = config_text(_plain(as_study))
    run.write_text(BEST, f"{head}#   worldplan run {BEST}\n{text}")
    fit = config_text(_as_training(tuning, study))
    run.write_text(BEST_FIT, f"{head}#   worldplan fit --config {BEST_FIT}\n{fit}")


def _as_training(tuning: Tuning, study: Study) -> dict[str, Any]:
    """The training of the best settings as a file of `worldplan fit`."""
    share, algorithm = study.rows()[0].share, study.algorithm(tuning.method)
    common: dict[str, Any] = {
        "settings": asdict(_settings(study, tuning.method)),
        "seeds": study.seeds,
        "epochs": study.epochs,
        "check_every": study.check_every,
        "check_episodes": study.check_episodes,
    }
    if study.plane is not None:
        name = "worldplan.planners.offline.edge_of_reach.for_plane"
        arguments: dict[str, Any] = {
            "plane": asdict(study.plane),
            "patch": study.patch(tuning.method),
            "start_seed": study.seed,
            **common,
        }
    else:
        assert study.data is not None
        data = asdict(study.task_of(tuning.method))
        given = {key: value for key, value in data.items() if value is not None}
        if algorithm is None:
            name = "worldplan.planners.offline.training.for_dataset"
            arguments = {**given, "true_share": share, **common}
            finetune, finetuning = study.finetuning(tuning.method)
            if finetune:
                arguments |= {"finetune": finetune, "finetuning": finetuning}
        else:
            name = f"{type(algorithm).__module__}.for_dataset"
            of_model = ("ensemble", "termination") if algorithm.NEEDS_MODEL else ()
            names = ("dataset", "environment", *of_model)
            arguments = {**{key: given[key] for key in names if key in given}, **common}
    training: dict[str, Any] = _plain(
        {
            "seed_everything": study.seed,
            "model": {"class_path": name, "init_args": arguments},
            "trainer": {"default_root_dir": f"runs/{tuning.name}-best-fit"},
        }
    )
    return training


def _settings(study: Study, method: str) -> ReachAwareSettings | ModelFreeSettings:
    """The settings of a method, with the numbers that it takes from the data."""
    algorithm = study.algorithm(method)
    if algorithm is not None:
        return algorithm
    if study.data is None:
        return study.method_settings(method)
    row = study.rows()[0]
    return settings_by_data(study, row, make_task(study, row.share, row.method))


def _plain(value: Any) -> Any:
    """Dataclasses as mappings, all else as `plain` makes it."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else plain(value)


def _summary(tuning: Tuning, ranked: pd.DataFrame) -> pd.DataFrame:
    """The best trials in the report's format."""
    names = [parameter.name for parameter in tuning.space]
    return pd.DataFrame(
        [
            {
                "policy": f"trial {row['trial']}",
                "mean": row["score"],
                "low": row["low"],
                "high": row["high"],
                "note": ", ".join(f"{name} {_short(row[name])}" for name in names),
            }
            for row in ranked.head(_SHOWN).to_dict("records")
        ]
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _notes(tuning: Tuning, table: pd.DataFrame, importance: str, penalties: str) -> str:
    counts = table["state"].value_counts().to_dict()
    lines = [
        f"Score: {score_label(tuning)}; intervals are 95 % bootstrap over {tuning.seeds} seeds of "
        "a trial. The score of the best of many trials is too high by chance: "
        f"'worldplan run {BEST}' plays other episodes.",
        "Trials: " + ", ".join(f"{count} {state}" for state, count in counts.items()) + ".",
        f"Sampler {tuning.sampler}, pruner {tuning.pruner}.",
    ]
    if tuning.score != "environment":
        lines.append(
            "The column 'return' is the return in the environment: for comparison, nothing was "
            "chosen by it."
        )
        both = table.dropna(subset=["score", "return"])
        if len(both) > 2:
            rank = both["score"].corr(both["return"], method="spearman")
            lines.append(f"Rank correlation of score and return over trials: {rank:.2f}.")
    if counts.get("unfinished"):
        lines.append("Unfinished trials belong to other processes that share the storage.")
    if importance:
        lines.append(f"No importance of settings: {importance}.")
    lines.append(penalties)
    return "\n".join(lines)
