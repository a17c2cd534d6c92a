"""Tables, plots and report of a study, from the metrics and checkpoints of its trainings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from worldplan.commands.studies.jobs import (
    EPISODE_SEED,
    Job,
    finished_rows,
    jobs_of,
    make_task,
    oracle_return,
)
from worldplan.commands.studies.option_measures import measure_notes, summarised_measures
from worldplan.commands.studies.plots import (
    RolloutPanel,
    return_by_share,
    rollout_panels,
    seed_curves,
)
from worldplan.commands.studies.references import reference_rows, reward_ceiling
from worldplan.commands.studies.rows import StudyRow
from worldplan.commands.studies.spread_plot import spread_boxes
from worldplan.commands.studies.study import Study
from worldplan.files import read_table
from worldplan.output.plots import learning_curve, policy_comparison
from worldplan.output.report import write_report
from worldplan.planners.base import bootstrap
from worldplan.planners.offline.task import OfflineTask
from worldplan.runs import UNFINISHED, Run
from worldplan.world_models.training.checkpoints import last_checkpoint, saved_entry

_PLACES = ("policy", "method", "true_share")  # columns that name a row of the study
_NAMED = 6  # rows in a message
_INTERVAL = ("mean", "low", "high")
Line = tuple[float, str]  # a value to compare with, and its label


def write_results(run: Run, study: Study) -> None:
    """Write the tables and plots of all complete rows; the summary and the report are written last.
    They mark a finished run, unless rows are left: then a file says which.

    Raises:
        DatasetError: a job's table is missing or damaged.
    """
    folder = run.path.resolve()
    rows = finished_rows(folder, study)
    left = [row.name for row in study.rows() if row not in rows]
    if left:
        run.write_text(UNFINISHED, _left_text(left))
    jobs = jobs_of(folder, study, rows)
    seeds = pd.concat([read_table(job.result) for job in jobs], ignore_index=True)
    curves = pd.concat([seed_table(job) for job in jobs], ignore_index=True)
    run.write_csv("seeds.csv", seeds)
    run.write_csv("curves.csv", curves)
    task = make_task(study, rows[0].share, rows[0].method)
    ceiling = None if study.plane is None else oracle_return(study.plane, study.episodes)
    value_lines = _value_lines(study, task, curves)
    references = _references(study, task)
    summary = summarise(study, rows, seeds, curves, ceiling)
    if references is not None:
        summary = pd.concat([summary, references], ignore_index=True)
    _add_scores(summary, task)
    policy_comparison(
        summary, ceiling, run.plots / "policy_comparison.svg", label="return", limit="oracle"
    )
    _curve_plots(run, study, curves, ceiling, value_lines)
    if study.shares:
        return_by_share(summary, run.plots / "return_by_share.svg")
    spread_boxes(_spreads(jobs), run.plots / "critic_spread.svg")
    if study.plane is not None:
        _plane_plots(run, study, jobs)
    run.write_text("notes.txt", _notes(study, left, ceiling, value_lines, summary))
    run.write_summary(summary)
    write_report([run.path])
    if not left:
        (run.path / UNFINISHED).unlink(missing_ok=True)


def _left_text(left: Sequence[str]) -> str:
    names = ", ".join(left[:_NAMED]) + (", ..." if len(left) > _NAMED else "")
    return (
        f"unfinished: {len(left)} rows are left ({names}): repeat the command without --methods "
        "and --shares to run them\n"
    )


def _curve_plots(
    run: Run, study: Study, curves: pd.DataFrame, ceiling: float | None, value_lines: list[Line]
) -> None:
    """Learning curves: return and Q over all seeds, and all metrics of each row's first seed."""
    seed_curves(
        curves,
        "check/return",
        "return",
        run.plots / "learning_curve_return.svg",
        lines=[] if ceiling is None else [(ceiling, "oracle")],
    )
    seed_curves(
        curves,
        "check/q",
        "mean Q",
        run.plots / "learning_curve_q.svg",
        lines=value_lines,
        logarithmic=True,
    )
    first_seeds = curves[curves["seed"] == study.seed]
    for name, table in first_seeds.groupby("policy", sort=False):
        metrics = table.rename(columns={"epoch": "step"}).drop(columns=[*_PLACES, "seed"])
        learning_curve(metrics, run.plots / f"training_{name}.svg")


def _spreads(jobs: Sequence[Job]) -> pd.DataFrame:
    """The tables of the critics' spread; the mean of each quantile where a row has several jobs."""
    tables = [read_table(job.spreads) for job in jobs if job.spreads.exists()]
    if not tables:
        return pd.DataFrame(columns=["policy", "true_share", "place"])
    shares = {job.row.name: job.row.share for job in jobs}
    merged = pd.concat(tables).groupby(["policy", "place"], sort=False).mean().reset_index()
    return merged.assign(true_share=merged["policy"].map(shares))


def _references(study: Study, task: OfflineTask) -> pd.DataFrame | None:
    """The rows of a random policy and of the data; None in the plane."""
    if study.data is None:
        return None
    rows = reference_rows(task, study.episodes, EPISODE_SEED, study.settings.discount)
    return pd.DataFrame(rows).assign(reference=True)


def _add_scores(summary: pd.DataFrame, task: OfflineTask) -> None:
    """Fill the column score, where the returns of score 0 and 100 are known."""
    low, high = task.reference or (np.nan, np.nan)
    summary["score"] = 100 * (summary["mean"] - low) / (high - low)


def seed_table(job: Job) -> pd.DataFrame:
    """The metrics of a job's training, one row per epoch and seed: columns policy, method,
    true_share, seed, epoch, and the logged names without their seed.
    """
    file = job.training / "metrics.csv"
    if not file.exists():  # diverged before anything was saved
        return pd.DataFrame(columns=[*_PLACES, "seed", "epoch"])
    metrics = read_table(file)
    tables = []
    for index in range(job.count):
        columns = {
            name: name.rpartition("/")[0] for name in metrics.columns if name.endswith(f"/{index}")
        }
        table = metrics[["epoch", *columns]].rename(columns=columns)
        table.insert(0, "seed", job.first + index)
        tables.append(table)
    all_seeds = pd.concat(tables, ignore_index=True)
    values: tuple[str | float, ...] = (job.row.name, job.method, job.row.column)
    for place, (column, value) in enumerate(zip(_PLACES, values, strict=True)):
        all_seeds.insert(place, column, value)
    return all_seeds


def summarise(
    study: Study,
    rows: Sequence[StudyRow],
    seeds: pd.DataFrame,
    curves: pd.DataFrame,
    ceiling: float | None,
) -> pd.DataFrame:
    """One row per row of the study in the report's format; `bound_share` is the mean return over
    the oracle's return (`ceiling`), `q` the mean Q at the last check.
    """
    table = []
    for row in rows:
        of_seeds, curve = seeds[seeds["policy"] == row.name], curves[curves["policy"] == row.name]
        returns = of_seeds["return"].dropna().to_numpy()
        interval = bootstrap(returns) if len(returns) else dict.fromkeys(_INTERVAL, np.nan)
        end = _last_check(curve)
        notes = list(of_seeds["note"].dropna().unique())
        if len(curve):
            notes.append("never checked" if end is None else _training_note(curve, end))
        table.append(
            {
                "policy": row.name,
                "method": row.method,
                "true_share": row.column,
                **interval,
                "bound_share": np.nan if ceiling is None else interval["mean"] / ceiling,
                **summarised_measures(of_seeds),
                "q": np.nan if end is None else end.get("check/q", np.nan),
                "decision_ms": 1000 * of_seeds["decision_seconds"].mean(),
                "cpu_minutes": of_seeds["cpu_seconds"].sum() / 60,
                "episodes": study.episodes * len(of_seeds),
                "reference": False,
                "note": "; ".join(filter(None, notes)),
            }
        )
    return pd.DataFrame(table)


def _last_check(curves: pd.DataFrame) -> pd.Series | None:
    """Means over the seeds of a row at its last check; None for one that was never checked."""
    column = "check/return"
    if column not in curves or (checked := curves.dropna(subset=[column])).empty:
        return None
    end: pd.Series = checked[checked["epoch"] == checked["epoch"].max()].mean(numeric_only=True)
    return end


def _training_note(curves: pd.DataFrame, end: pd.Series) -> str:
    """The oracle's mean Q at the last check (`end`), where known, and the shares of targets at the
    edge of reach and of patched targets over the whole training.
    """
    parts = []
    if "check/oracle_q" in end:
        parts.append(f"oracle Q {end['check/oracle_q']:.4g}")
        parts.append(f"{100 * curves['train/edge_targets'].mean():.2f} % of targets at the edge")
    if curves.get("train/patched_targets", pd.Series(dtype=float)).sum() > 0:
        parts.append(f"{100 * curves['train/patched_targets'].mean():.2f} % patched")
    return ", ".join(parts)


def _value_lines(study: Study, task: OfflineTask, curves: pd.DataFrame) -> list[Line]:
    """Values to compare Q with: the oracle's mean Q, or the ceiling of the data's rewards and the
    value of score 100.
    """
    if "check/oracle_q" in curves:
        return [(float(curves["check/oracle_q"].mean()), "oracle Q (mean over the run)")]
    if task.rows is None:
        return []
    discount = study.settings.discount
    label = f"ceiling: greatest reward of the data forever, discounted by {discount:g}"
    lines = [(reward_ceiling(task, discount), label)]
    score = task.value_ceiling(discount)
    return lines if score is None else [*lines, (score, "value of score 100 forever")]


def _notes(
    study: Study,
    left: Sequence[str],
    ceiling: float | None,
    value_lines: list[Line],
    summary: pd.DataFrame,
) -> str:
    lines = [_left_text(left).rstrip()] if left else []
    lines.append(
        f"{study.seeds} seeds per method, {study.epochs} epochs of {study.settings.updates} "
        "updates; intervals are 95 % bootstrap over seeds. CPU minutes are those of all seeds of "
        "a row, training and evaluation. Q is the mean at the last check. The random policy acts "
        "uniformly; intervals of it and of the data are over episodes."
    )
    lines += measure_notes(summary)
    if ceiling is not None:
        lines.append(
            f"Return of the oracle in the same episodes: {ceiling:.3f}; 'share of bound' is the "
            "share of it. Edge of reach: exact."
        )
    lines += [f"For comparison with Q: {label} is {value:.4g}." for value, label in value_lines]
    return "\n".join(lines)


# --- the plane ------------------------------------------------------------------------------------


def _plane_plots(run: Run, study: Study, jobs: Sequence[Job]) -> None:
    """Plots of model rollouts of each method's first seeds."""
    from worldplan.planners.offline.edge_of_reach import EdgeOfReach  # imports Lightning: seconds

    assert study.plane is not None
    panels = []
    for job in jobs:
        last = last_checkpoint(job.training)
        if job.first != study.seed or not last.exists():
            continue
        key = EdgeOfReach(study.plane, study.patch(job.method)).state_key
        snapshots = _spaced(saved_entry(last, "callbacks", key, "snapshots"))
        horizon = study.method_settings(job.method).horizon
        panels.append(RolloutPanel(job.row.name, snapshots, study.plane, horizon))
    rollout_panels(panels, run.plots / "rollouts.svg")


def _spaced(snapshots: dict[str, Tensor], most: int = 4) -> dict[int, np.ndarray]:
    """At most `most` of the snapshots by epoch, evenly spaced over the training."""
    epochs = sorted(int(epoch) for epoch in snapshots)
    if not epochs:
        return {}
    places = {round(place) for place in np.linspace(0, len(epochs) - 1, most)}
    return {epochs[place]: snapshots[str(epochs[place])].numpy() for place in sorted(places)}
