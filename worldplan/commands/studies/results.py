"""Tables and plots of a study, out of the metrics and checkpoints of its trainings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from worldplan.commands.studies.jobs import Job, jobs_of, make_task, oracle_return
from worldplan.commands.studies.plots import RolloutPanel, rollout_panels, seed_curves, spread_boxes
from worldplan.commands.studies.study import Study
from worldplan.output.plots import learning_curve, policy_comparison
from worldplan.output.report import write_report
from worldplan.planners.base import bootstrap
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.diagnostics import critic_spread
from worldplan.planners.offline.replay import RingBuffer, unpack
from worldplan.runs import SUMMARY, Run

_ROWS = 20_000  # model transitions per method in the picture of the critics' spread


def write_results(run: Run, study: Study) -> None:
    """Write seeds.csv, curves.csv, summary.csv, the plots and the report."""
    jobs = jobs_of(run.path.resolve(), study)
    seeds = pd.concat([pd.read_csv(job.result) for job in jobs], ignore_index=True)
    curves = pd.concat([seed_table(job) for job in jobs], ignore_index=True)
    run.write_csv("seeds.csv", seeds)
    run.write_csv("curves.csv", curves)
    ceiling = None if study.plane is None else oracle_return(study.plane, study.episodes)
    summary = summarise(study, seeds, curves, ceiling)
    policy_comparison(summary, ceiling, run.plots / "policy_comparison.png")
    seed_curves(
        curves,
        "check/return",
        "return",
        run.plots / "learning_curve_return.png",
        line=(ceiling, "oracle") if ceiling is not None else None,
    )
    line = _value_line(study, curves)
    seed_curves(
        curves,
        "check/q",
        "mean Q on model transitions",
        run.plots / "learning_curve_q.png",
        line=line,
    )
    if study.plane is not None:
        _plane_plots(run, study, jobs)
    for method in study.methods:
        own = curves[(curves["method"] == method) & (curves["seed"] == study.seed)].rename(
            columns={"epoch": "step"}
        )
        if len(own):
            learning_curve(
                own.drop(columns=["method", "seed"]), run.plots / f"training_{method}.png"
            )
    run.write_text("notes.txt", _notes(study, ceiling, line))
    run.write_csv(
        SUMMARY, summary
    )  # last but the report: its presence says that the figures are complete
    write_report([run.path])


def seed_table(job: Job) -> pd.DataFrame:
    """The metrics of a training with one row per epoch and seed: columns method, seed, epoch, and
    what was logged.
    """
    file = job.training / "metrics.csv"
    if not file.exists():  # diverged before anything was saved
        return pd.DataFrame(columns=["method", "seed", "epoch"])
    metrics = pd.read_csv(file)
    tables = []
    for index in range(job.count):
        columns = {
            name: name.rpartition("/")[0] for name in metrics.columns if name.endswith(f"/{index}")
        }
        table = metrics[["epoch", *columns]].rename(columns=columns)
        table.insert(0, "seed", job.first + index)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    whole.insert(0, "method", job.method)
    return whole


def summarise(
    study: Study, seeds: pd.DataFrame, curves: pd.DataFrame, ceiling: float | None
) -> pd.DataFrame:
    """One row per method in the report's format; `bound_share` is the share of the oracle's return."""
    rows = []
    for method in study.methods:
        own, last = seeds[seeds["method"] == method], curves[curves["method"] == method]
        kept = own["return"].dropna().to_numpy()
        figures = bootstrap(kept) if len(kept) else dict.fromkeys(("mean", "low", "high"), np.nan)
        notes = [*own["note"].dropna().unique(), *([_figures(last)] if len(last) else [])]
        rows.append(
            {
                "policy": method,
                **figures,
                "bound_share": np.nan if ceiling is None else figures["mean"] / ceiling,
                "decision_ms": 1000 * own["decision_seconds"].mean(),
                "episodes": study.episodes * len(own),
                "note": "; ".join(notes),
            }
        )
    return pd.DataFrame(rows)


def _figures(curves: pd.DataFrame) -> str:
    """Mean Q at the end against the oracle's, and how many targets lay at the edge of reach over
    the whole training.
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
    """What Q can be: the oracle's mean, or the value of score 100 for ever."""
    if "check/oracle_q" in curves:
        return float(curves["check/oracle_q"].mean()), "oracle Q (mean over the run)"
    ceiling = make_task(study, next(iter(study.methods))).value_ceiling(study.settings.discount)
    return None if ceiling is None else (ceiling, "value of score 100 for ever")


def _notes(study: Study, ceiling: float | None, line: tuple[float, str] | None) -> str:
    text = f"{study.seeds} seeds per method, {study.epochs} epochs of {study.settings.updates} updates; intervals are 95 % bootstrap over seeds."
    if ceiling is not None:
        text += f"\nReturn of the oracle in the same episodes: {ceiling:.3f}; 'share of bound' is the share of it. Edge of reach: exact."
    if line is not None:
        text += f"\nFor comparison with Q: {line[1]} is {line[0]:.4g}."
    return text


# --- the plane ------------------------------------------------------------------------------------


def _plane_plots(run: Run, study: Study, jobs: list[Job]) -> None:
    from worldplan.planners.offline.edge_of_reach import EdgeOfReach  # imports Lightning: seconds

    assert study.plane is not None
    panels, spreads = [], {}
    for job in sorted(jobs, key=lambda job: list(study.methods).index(job.method)):
        if job.first != study.seed or not (job.training / "last.ckpt").exists():
            continue
        saved = torch.load(job.training / "last.ckpt", weights_only=True, map_location="cpu")
        horizon = study.method_settings(job.method).horizon
        state = saved["callbacks"][EdgeOfReach(study.plane, study.patch(job.method)).state_key]
        panels.append(RolloutPanel(job.method, _four(state["snapshots"]), study.plane, horizon))
        spreads[job.method] = _spread(study, job, saved)
    rollout_panels(panels, run.plots / "rollouts.png")
    spread_boxes(spreads, run.plots / "critic_spread.png")


def _four(snapshots: dict[str, Tensor]) -> dict[int, np.ndarray]:
    """At most four of the rollouts kept, spread over the training."""
    epochs = sorted(int(epoch) for epoch in snapshots)
    chosen = (
        sorted({epochs[round(i)] for i in np.linspace(0, len(epochs) - 1, 4)}) if epochs else []
    )
    return {epoch: snapshots[str(epoch)].numpy() for epoch in chosen}


def _spread(study: Study, job: Job, saved: dict[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of the critics at next states within reach and at its edge, at the end of
    training; all seeds of the job.
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
    batch = unpack(replay.draw(_ROWS, torch.Generator().manual_seed(0)), 2)
    spread, edge = (
        critic_spread(agent, batch),
        study.plane.is_edge(batch.next_observation, settings.horizon),
    )
    return spread[~edge].numpy(), spread[edge].numpy()
