"""Tables and plot of benchmarks/crafting/offline.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.output.style import COLOURS, DASHES, new_figure, style_axes
from worldplan.planners.base import bootstrap
from worldplan.world_models.storage import replace_file

LABELS = {
    "nsam": "NSAM + search",
    "nsam_relevant": "NSAM + search, relevant items told",
    "nsam_resources": "NSAM + search, resources declared",
    "bc": "behaviour cloning",
    "dqn": "offline DQN",
}
TITLES = {"wooden_sword": "Wooden Sword", "pogo_stick": "Pogo Stick"}
SPLIT = ("solved", "no_plan", "time_limit", "too_long", "false_plan")


def success(part: pd.DataFrame) -> dict[str, float]:
    """Solved maps in %, with a 95 % bootstrap interval over the maps of all seeds."""
    solved, maps = int(part["solved"].sum()), int(part["maps"].sum())
    return {
        name: 100 * value
        for name, value in bootstrap(np.repeat([1.0, 0.0], [solved, maps - solved])).items()
    }


def enough(part: pd.DataFrame) -> int | None:
    """The smallest number of trajectories from which on all maps of all seeds are solved; None if
    there is none.
    """
    least = None
    for count, rows in sorted(part.groupby("trajectories"), reverse=True):
        if (rows["solved"] < rows["maps"]).any():
            break
        least = count
    return least


def report(table: pd.DataFrame, limit: int) -> str:
    """The report in Markdown. A map counts as solved within `limit` steps."""
    lines = [
        *_introduction(table, limit),
        *_successes(table),
        *_enough(table),
        *_planning(table),
        *_learning(table),
    ]
    return "\n".join(lines) + "\n"


def _introduction(table: pd.DataFrame, limit: int) -> list[str]:
    seeds, maps = table["seed"].nunique(), sorted(set(table["maps"]))
    plans = table[table["false_plan"].notna()] if "false_plan" in table else table[:0]
    executed = int(plans[["solved", "too_long", "false_plan"]].to_numpy().sum())
    return [
        f"Trained on shortest plans of random 6 x 6 maps; {seeds} seeds, each with "
        f"{', '.join(map(str, maps))} held-out maps of every size. "
        f"Solved: the goal reached within {limit} steps. "
        "Intervals: 95 %, bootstrap over the maps of all seeds.",
        "",
        "Actions called with the crafting table are split off as actions of their own "
        "(planners/ramp/knowledge/constant_arguments.py). Networks get every map in the corner of "
        "a 15 x 15 grid and act greedily without a mask; an action that is not applicable counts "
        "as a step. They get fewer updates than in the publication (column at the end), but "
        "standardised inputs.",
        "",
        f"Plans executed in the environment: {executed:,}; "
        f"false plans: {int(plans['false_plan'].sum())}.",
        "",
    ]


def _successes(table: pd.DataFrame) -> list[str]:
    counts = sorted(set(table["trajectories"]))
    lines = []
    for task, of_task in table.groupby("task", sort=False):
        lines += [f"### {TITLES[str(task)]}: maps solved in % by number of expert trajectories", ""]
        lines += [
            f"| method | maps | {' | '.join(map(str, counts))} |",
            "|---|---|" + "---|" * len(counts),
        ]
        for (method, size), part in of_task.groupby(["method", "size"], sort=False):
            cells = []
            for count in counts:
                rows = part[part["trajectories"] == count]
                cells.append(_share(success(rows)) if len(rows) else "")
            lines.append(f"| {LABELS[method]} | {size} x {size} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _share(interval: dict[str, float]) -> str:
    """A percentage with its interval; 0 and 100 without decimals."""
    low, mean, high = (
        f"{interval[name]:.0f}" if interval[name] in (0, 100) else f"{interval[name]:.1f}"
        for name in ("low", "mean", "high")
    )
    return mean if low == high else f"{mean} ({low}..{high})"


def _enough(table: pd.DataFrame) -> list[str]:
    sizes = sorted(set(table["size"]))
    lines = ["### Fewest trajectories from which on every held-out map of every seed is solved", ""]
    lines += [
        f"| task | method | {' | '.join(f'{size} x {size}' for size in sizes)} |",
        "|---|---|" + "---|" * len(sizes),
    ]
    for (task, method), part in table.groupby(["task", "method"], sort=False):
        cells = [str(enough(part[part["size"] == size]) or "never") for size in sizes]
        lines.append(f"| {TITLES[task]} | {LABELS[method]} | {' | '.join(cells)} |")
    return [*lines, ""]


def _planning(table: pd.DataFrame) -> list[str]:
    if "false_plan" not in table:
        return []
    lines = [
        "### Outcomes of planning (all seeds), and plan length over the shortest on solved maps",
        "",
    ]
    names = (
        "task",
        "method",
        "maps",
        "trajectories",
        "solved",
        "no plan",
        "time limit",
        "too long",
        "false",
        "length, mean (worst)",
    )
    lines += [
        f"| {' | '.join(names)} | CPU s per plan, median (worst) |",
        "|---" * (len(names) + 1) + "|",
    ]
    plans = table[table["false_plan"].notna()]
    for (task, method, size, count), part in plans.groupby(
        ["task", "method", "size", "trajectories"], sort=False
    ):
        split = " | ".join(str(int(part[name].sum())) for name in SPLIT)
        times = f"{part['plan_seconds'].median():.2f} ({part['slowest_plan'].max():.2f})"
        first = f"| {TITLES[task]} | {LABELS[method]} | {size} x {size} | {count} "
        lines.append(f"{first}| {split} | {_length(part)} | {times} |")
    return [*lines, ""]


def _length(part: pd.DataFrame) -> str:
    solved = part[part["solved"] > 0]
    if solved.empty:
        return ""
    mean = np.average(solved["mean_ratio"], weights=solved["solved"])
    return f"{mean:.3f} ({solved['worst_ratio'].max():.2f})"


def _learning(table: pd.DataFrame) -> list[str]:
    most = table["trajectories"].max()
    lines = [
        f"### At {most} trajectories",
        "",
        "| task | method | learning, CPU s (mean) | updates "
        "| steps over the fewest, solved maps, mean (worst) |",
        "|---|---|---|---|---|",
    ]
    for (task, method), part in table[table["trajectories"] == most].groupby(
        ["task", "method"], sort=False
    ):
        updates = f"{int(part['updates'].max()):,}" if part["updates"].max() else ""
        seconds = f"{part['learn_seconds'].mean():.2f}"
        lines.append(
            f"| {TITLES[task]} | {LABELS[method]} | {seconds} | {updates} | {_length(part)} |"
        )
    return lines


def draw(table: pd.DataFrame, path: Path) -> None:
    """Plot success against trajectories: one row per task, one panel per map size."""
    tasks, sizes = list(dict.fromkeys(table["task"])), sorted(set(table["size"]))
    figure = new_figure(3.9 * len(sizes), 2.9 * len(tasks) + 0.5)
    for row, task in enumerate(tasks):
        for column, size in enumerate(sizes):
            axes = figure.add_subplot(len(tasks), len(sizes), row * len(sizes) + column + 1)
            for number, method in enumerate(
                method for method in LABELS if method in set(table["method"])
            ):
                part = table[
                    (table["task"] == task) & (table["size"] == size) & (table["method"] == method)
                ]
                points = {count: success(rows) for count, rows in part.groupby("trajectories")}
                style = {
                    "color": COLOURS[number],
                    "linestyle": DASHES[number % len(DASHES)],
                    "marker": "o",
                    "markersize": 3.5,
                }
                mean, low, high = (
                    [interval[name] for interval in points.values()]
                    for name in ("mean", "low", "high")
                )
                axes.plot(list(points), mean, label=LABELS[method], **style)
                axes.fill_between(
                    list(points), low, high, color=COLOURS[number], alpha=0.15, linewidth=0
                )
            axes.set_xscale("log")
            axes.set_ylim(-3, 103)
            style_axes(
                axes,
                f"{TITLES[task]}, {size} x {size}",
                "expert trajectories (6 x 6)",
                "maps solved, %",
                grid="y",
            )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    replace_file(path, lambda draft: figure.savefig(draft, dpi=110))
