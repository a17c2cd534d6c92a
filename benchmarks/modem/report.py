"""Rows and curves of MoDem's studies -> table, report and plots."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from worldplan.planners.base import bootstrap
from worldplan.world_models.storage import replace_file

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of backend
from matplotlib.artist import Artist  # noqa: E402

NAMES = {
    "v2": "MoDem-V2",
    "v1": "MoDem-V1",
    "no_demos": "TD-MPC without demonstrations",
    "no_cloning": "TD-MPC, demonstrations as experience only",
    "ch": "without ensemble",
    "ce": "without handover",
    "he": "without centring",
    "c": "centring only",
    "h": "handover only",
    "e": "ensemble only",
    "none": "none of the three",
    "no_imitation": "without imitation",
}
GOAL_GAIN, GOAL_SUCCESS = 0.30, 0.80
SUCCESS = "check/planner_success"


def write_report(
    rows: pd.DataFrame, curves: pd.DataFrame, folder: Path, *, prefix: str, aims: list[str]
) -> None:
    """Write table, curves, report and plots.

    Args:
        rows: a row per run.
        curves: checks during training.
        folder: of the files.
        prefix: of the names of the files.
        aims: lines for the end of the report.
    """
    replace_file(folder / f"{prefix}_study.csv", lambda draft: rows.to_csv(draft, index=False))
    replace_file(
        folder / f"{prefix}_curves.csv", lambda draft: curves.round(4).to_csv(draft, index=False)
    )
    replace_file(
        folder / f"{prefix}_study.md",
        lambda draft: draft.write_text(report(rows, aims), encoding="utf-8"),
    )
    draw(curves, SUCCESS, "success of the planner alone", folder / f"{prefix}_success.png")
    draw(
        curves,
        "violations",
        "contacts above 100 N so far, steps",
        folder / f"{prefix}_violations.png",
    )


def report(rows: pd.DataFrame, aims: list[str]) -> str:
    """The table and the aims as text."""
    lines = [
        "Success of 100 new episodes per run, planner alone (handover 1); mean over seeds, with a "
        "95 % bootstrap interval over them where there are several. BC is the clone that the same "
        "runs begin with. Violations: steps in which a contact on the hand exceeded 100 N, "
        "saturations: steps with an actuator at its limit; in training, all seeding and "
        "interaction steps of a run, mean over seeds. All methods share falling learning rates, "
        "the percentile scale, and an encoder that stays as cloning made it (where nothing is "
        "cloned, it learns on).",
        "",
        "| task | method | seeds | steps | success | BC | violations in training "
        "| saturations in training | violations per evaluation episode |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (task, method), group in rows.groupby(["task", "method"], sort=False):
        clone = interval(group["clone_success"]) if group["clone_success"].notna().all() else "-"
        figures = (
            f"{group['violations'].mean():.0f} | {group['saturations'].mean():.0f} "
            f"| {group['planner_violations'].mean():.2f}"
        )
        about = f"{task} | {NAMES[method]} | {len(group)} | {group['steps'].iloc[0]}"
        lines.append(f"| {about} | {interval(group['planner_success'])} | {clone} | {figures} |")
    return "\n".join([*lines, "", "### Aims", "", *aims, ""])


def interval(values: pd.Series) -> str:
    """Mean in per cent as text, with its bootstrap interval if there are several seeds."""
    statistics = bootstrap(100 * values.to_numpy(float))
    mean = f"{statistics['mean']:.0f} %"
    if len(values) == 1:
        return mean
    return f"{mean} ({statistics['low']:.0f}..{statistics['high']:.0f})"


def study_aims(rows: pd.DataFrame) -> list[str]:
    """The aims of `benchmarks.modem.study`, each met or missed, as lines of text."""
    mean = rows.groupby(["task", "method"])[
        ["planner_success", "clone_success", "violations"]
    ].mean()
    main = (
        mean.xs("v2", level="method")
        if "v2" in mean.index.get_level_values("method")
        else mean.iloc[:0]
    )
    lines = []
    for task in ("BinPick", "UprightPivot"):
        if task in main.index:
            gain = main.loc[task, "planner_success"] - main.loc[task, "clone_success"]
            lines.append(
                f"- {task}, at least 30 points above BC: {verdict(gain >= GOAL_GAIN)} "
                f"({100 * gain:+.0f})."
            )
        if (task, "v1") in mean.index and task in main.index:
            ours, theirs = main.loc[task, "violations"], mean.loc[(task, "v1"), "violations"]
            lines.append(
                f"- {task}, fewer violations in training than MoDem-V1: {verdict(ours < theirs)} "
                f"({ours:.0f} against {theirs:.0f})."
            )
        if (task, "no_demos") in mean.index:
            reached = mean.loc[(task, "no_demos"), "planner_success"]
            lines.append(
                f"- {task}, the agent without demonstrations fails: {verdict(reached < 0.1)} "
                f"({100 * reached:.0f} %)."
            )
    high = int((main["planner_success"] >= GOAL_SUCCESS).sum())
    lines.append(
        f"- at least 80 % success on three tasks: {verdict(high >= 3)} ({high} of {len(main)})."
    )
    return lines


def gains(rows: pd.DataFrame) -> list[str]:
    """Gain of MoDem-V2 over the clone on every task, with a bootstrap interval over seeds, as lines
    of text.
    """
    lines = []
    for task, group in rows[rows["method"] == "v2"].groupby("task", sort=False):
        gain = interval(group["planner_success"] - group["clone_success"])
        lines.append(
            f"- {task}, {group['demonstrations'].iloc[0]} demonstrations: {gain} above BC in "
            f"absolute terms ({len(group)} seeds)."
        )
    return lines


def verdict(met: bool) -> str:
    return "met" if met else "missed"


def draw(curves: pd.DataFrame, column: str, label: str, file: Path) -> None:
    """One panel per task: mean over seeds against environment steps, with the range of a 95 %
    bootstrap interval; for success, also the clone's.
    """
    tasks, methods = list(dict.fromkeys(curves["task"])), list(dict.fromkeys(curves["method"]))
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(4.2 * len(tasks), 4.0), squeeze=False, layout="constrained"
    )
    lines: dict[str, Artist] = {}
    for axis, task in zip(axes[0], tasks, strict=True):
        panel = curves[curves["task"] == task]
        for method, group in panel.dropna(subset=[column]).groupby("method", sort=False):
            by_step = [
                (step, bootstrap(values.to_numpy(float)))
                for step, values in group.groupby("step")[column]
            ]
            steps = np.array([step for step, _ in by_step])
            mean, low, high = (
                np.array([statistics[key] for _, statistics in by_step])
                for key in ("mean", "low", "high")
            )
            color = plt.get_cmap("tab20")(methods.index(method))
            (lines[NAMES[str(method)]],) = axis.plot(steps, mean, color=color)
            axis.fill_between(steps, low, high, alpha=0.2, color=color)
        if column == SUCCESS:
            clone = panel.loc[panel["method"] == "v2", "check/clone_success"].mean()
            lines["BC"] = axis.axhline(clone, color="black", linestyle="--")
            axis.set_ylim(-0.02, 1.02)
        axis.set(title=task, xlabel="environment steps", ylabel=label)
        axis.grid(alpha=0.3)
        axis.locator_params(axis="x", nbins=5)
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="outside lower center",
        ncols=min(len(lines), 2 * len(tasks)),
        fontsize=7,
    )
    replace_file(file, lambda draft: figure.savefig(draft, dpi=110))
    plt.close(figure)
