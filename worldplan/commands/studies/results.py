"""Tables, plots and report of a study, from the metrics and checkpoints of its trainings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from worldplan.commands.studies.jobs import Job, jobs_of, make_task, oracle_return
from worldplan.commands.studies.plots import RolloutPanel, rollout_panels, seed_curves, spread_boxes
from worldplan.commands.studies.study import Study
from worldplan.files import read_table
from worldplan.output.plots import learning_curve, policy_comparison
from worldplan.output.report import write_report
from worldplan.planners.base import bootstrap
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.diagnostics import critic_spread
from worldplan.planners.offline.replay import RingBuffer, unpack
from worldplan.runs import Run
from worldplan.world_models.training.checkpoints import saved_entry

_INTERVAL = ("mean", "low", "high")
_SPREAD_ROWS = 20_000  # model transitions per method in the plot of the critics' spread


def write_results(run: Run, study: Study) -> None:
    """Write the tables and plots; the summary and the report, written last, mark a finished run.

    Raises:
        DatasetError: a job's table is missing or damaged.
    """
    jobs = jobs_of(run.path.resolve(), study)
    seeds = pd.concat([read_table(job.result) for job in jobs], ignore_index=True)
    curves = pd.concat([seed_table(job) for job in jobs], ignore_index=True)
    run.write_csv("seeds.csv", seeds)
    run.write_csv("curves.csv", curves)
    ceiling = None if study.plane is None else oracle_return(study.plane, study.episodes)
    value_line = _value_line(study, curves)
    summary = summarise(study, seeds, curves, ceiling)
    policy_comparison(summary, ceiling, run.plots / "policy_comparison.png")
    _curve_plots(run, study, curves, ceiling, value_line)
    if study.plane is not None:
        _plane_plots(run, study, jobs)
    run.write_text("notes.txt", _notes(study, ceiling, value_line))
    run.write_summary(summary)
    write_report([run.path])


def _curve_plots(
    run: Run,
    study: Study,
    curves: pd.DataFrame,
    ceiling: float | None,
    value_line: tuple[float, str] | None,
) -> None:
    """Learning curves: return and Q over all seeds, and all metrics of each method's first seed."""
    seed_curves(
        curves,
        "check/return",
        "return",
        run.plots / "learning_curve_return.png",
        line=(ceiling, "oracle") if ceiling is not None else None,
    )
    seed_curves(
        curves,
        "check/q",
        "mean Q on model transitions",
        run.plots / "learning_curve_q.png",
        line=value_line,
    )
    for method in study.methods:
        first_seed = curves[(curves["method"] == method) & (curves["seed"] == study.seed)]
        if len(first_seed):
            metrics = first_seed.rename(columns={"epoch": "step"}).drop(columns=["method", "seed"])
            learning_curve(metrics, run.plots / f"training_{method}.png")


def seed_table(job: Job) -> pd.DataFrame:
    """The metrics of a job's training, one row per epoch and seed: columns method, seed, epoch, and
    the logged names without their seed.
    """
    file = job.training / "metrics.csv"
    if not file.exists():  # diverged before anything was saved
        return pd.DataFrame(columns=["method", "seed", "epoch"])
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
    all_seeds.insert(0, "method", job.method)
    return all_seeds


def summarise(
    study: Study, seeds: pd.DataFrame, curves: pd.DataFrame, ceiling: float | None
) -> pd.DataFrame:
    """One row per method in the report's format; `bound_share` is the mean return over the
    oracle's return (`ceiling`).
    """
    rows = []
    for method in study.methods:
        of_seeds, curve = seeds[seeds["method"] == method], curves[curves["method"] == method]
        returns = of_seeds["return"].dropna().to_numpy()
        interval = bootstrap(returns) if len(returns) else dict.fromkeys(_INTERVAL, np.nan)
        notes = list(of_seeds["note"].dropna().unique())
        if len(curve):
            notes.append(_training_note(curve))
        rows.append(
            {
                "policy": method,
                **interval,
                "bound_share": np.nan if ceiling is None else interval["mean"] / ceiling,
                "decision_ms": 1000 * of_seeds["decision_seconds"].mean(),
                "episodes": study.episodes * len(of_seeds),
                "note": "; ".join(notes),
            }
        )
    return pd.DataFrame(rows)


def _training_note(curves: pd.DataFrame) -> str:
    """Mean Q at the last check, beside the oracle's where known, and the shares of targets at the
    edge of reach and of patched targets over the whole training.
    """
    checked = curves.dropna(subset=["check/q"])
    if checked.empty:
        return "never checked"
    end = checked[checked["epoch"] == checked["epoch"].max()].mean(numeric_only=True)
    parts = [f"Q {end['check/q']:.4g}"]
    if "check/oracle_q" in end:
        parts[0] += f" (oracle {end['check/oracle_q']:.4g})"
        parts.append(f"{100 * curves['train/edge_targets'].mean():.2f} % of targets at the edge")
    if curves.get("train/patched_targets", pd.Series(dtype=float)).sum() > 0:
        parts.append(f"{100 * curves['train/patched_targets'].mean():.2f} % patched")
    if "check/score" in end:
        parts.insert(0, f"score {end['check/score']:.1f}")
    return ", ".join(parts)


def _value_line(study: Study, curves: pd.DataFrame) -> tuple[float, str] | None:
    """A value to compare Q with, and its name: the oracle's mean Q, or the value of score 100."""
    if "check/oracle_q" in curves:
        return float(curves["check/oracle_q"].mean()), "oracle Q (mean over the run)"
    ceiling = make_task(study, next(iter(study.methods))).value_ceiling(study.settings.discount)
    return None if ceiling is None else (ceiling, "value of score 100 for ever")


def _notes(study: Study, ceiling: float | None, line: tuple[float, str] | None) -> str:
    lines = [
        f"{study.seeds} seeds per method, {study.epochs} epochs of {study.settings.updates} "
        "updates; intervals are 95 % bootstrap over seeds."
    ]
    if ceiling is not None:
        lines.append(
            f"Return of the oracle in the same episodes: {ceiling:.3f}; 'share of bound' is the "
            "share of it. Edge of reach: exact."
        )
    if line is not None:
        lines.append(f"For comparison with Q: {line[1]} is {line[0]:.4g}.")
    return "\n".join(lines)


# --- the plane ------------------------------------------------------------------------------------


def _plane_plots(run: Run, study: Study, jobs: list[Job]) -> None:
    """Plots of model rollouts, and of the critics' spread, for each method's first seeds."""
    from worldplan.planners.offline.edge_of_reach import EdgeOfReach  # imports Lightning: seconds

    assert study.plane is not None
    panels, spreads = [], {}
    for job in sorted(jobs, key=lambda job: list(study.methods).index(job.method)):
        last = job.training / "last.ckpt"
        if job.first != study.seed or not last.exists():
            continue
        saved = saved_entry(last)
        horizon = study.method_settings(job.method).horizon
        state = saved["callbacks"][EdgeOfReach(study.plane, study.patch(job.method)).state_key]
        panels.append(RolloutPanel(job.method, _spaced(state["snapshots"]), study.plane, horizon))
        spreads[job.method] = _spread(study, job, saved)
    rollout_panels(panels, run.plots / "rollouts.png")
    spread_boxes(spreads, run.plots / "critic_spread.png")


def _spaced(snapshots: dict[str, Tensor], most: int = 4) -> dict[int, np.ndarray]:
    """At most `most` of the snapshots by epoch, evenly spaced over the training."""
    epochs = sorted(int(epoch) for epoch in snapshots)
    if not epochs:
        return {}
    places = {round(place) for place in np.linspace(0, len(epochs) - 1, most)}
    return {epochs[place]: snapshots[str(epochs[place])].numpy() for place in sorted(places)}


def _spread(study: Study, job: Job, saved: dict[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """Spread of the critics at next states within reach, (n,), and at the edge of reach, (m,), at
    the end of training; all seeds of the job.
    """
    assert study.plane is not None
    settings = study.method_settings(job.method)
    agent = ReachAware(2, -torch.ones(2), torch.ones(2), settings, seeds=job.count)
    replay = RingBuffer(job.count, settings.starts * settings.horizon * settings.retain, 9)
    weights = saved["state_dict"]
    assert isinstance(weights, dict)
    for module, prefix in ((agent, "agent."), (replay, "replay.")):
        module.load_state_dict(
            {
                name.removeprefix(prefix): value
                for name, value in weights.items()
                if name.startswith(prefix)
            }
        )
    batch = unpack(replay.draw(_SPREAD_ROWS, torch.Generator().manual_seed(0)), 2)
    spread = critic_spread(agent, batch)
    edge = study.plane.is_edge(batch.next_observation, settings.horizon)
    return spread[~edge].numpy(), spread[edge].numpy()
