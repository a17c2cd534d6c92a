"""Tables and plot of benchmarks/crafting/online.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.output.style import COLOURS, DASHES, new_figure, style_axes
from worldplan.planners.base import bootstrap

LABELS = {
    "ramp": "RAMP",
    "ramp_safe": "RAMP, safe plans only",
    "ramp_paper": "RAMP as published",
    "ppo": "MaskablePPO",
    "dqn": "DQN",
}
TITLES = {"wooden_sword": "Wooden Sword", "pogo_stick": "Pogo Stick"}
GOAL = 0.25  # aim for RAMP's steps to the first goal, over those of MaskablePPO
NEAR = 1.1  # a plan is near-optimal up to this multiple of a shortest plan's length


def report(table: pd.DataFrame) -> str:
    """The report in Markdown."""
    table = prepared(table)
    lines = [
        f"{table['seed'].nunique()} seeds, {int(table['maps'].max())} maps in sequence, "
        "each seed with its own maps, all methods with the same. "
        "Means with 95 % bootstrap intervals over seeds.",
        "A map on which the goal was never reached counts with its whole budget as steps to the "
        "first goal, so those figures are lower bounds (>=).",
        "",
    ]
    for (task, size), part in table.groupby(["task", "size"], sort=False):
        lines += [
            f"### {TITLES[str(task)]}, {size} x {size}: {int(part['budget'].max())} steps per map",
            "",
            *_results(part),
            "",
        ]
        lines += [*_ratios(part), ""]
    return "\n".join([*lines, *_verdicts(table)]) + "\n"


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """The table with further columns: solved, first (steps to the first goal; the budget if
    unsolved), later (the same without the first map), ratio (best plan over a shortest plan; NaN if
    unsolved), near (solved with a near-optimal plan).
    """
    solved = table["first_goal"].notna()
    return table.assign(
        solved=solved,
        first=table["first_goal"].fillna(table["budget"]),
        ratio=table["best"] / table["shortest"],
        near=(table["best"] <= NEAR * table["shortest"]) & solved,
        later=table["first_goal"].fillna(table["budget"]).where(table["map"] > 0),
    )


def over_seeds(part: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean over maps, then mean and interval over seeds; NaN if there are no values."""
    means = part.groupby("seed")[column].mean().dropna().to_numpy(float)
    return bootstrap(means) if len(means) else dict.fromkeys(("mean", "low", "high"), float("nan"))


def _text(interval: dict[str, float], digits: int = 3, mark: str = "") -> str:
    """A mean with its interval to some significant digits, after a mark; "-" for NaN."""
    if np.isnan(interval["mean"]):
        return "-"
    mean, low, high = (
        f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
        for value in (interval[name] for name in ("mean", "low", "high"))
    )
    return f"{mark}{mean}" if low == high else f"{mark}{mean} [{low}, {high}]"


def _results(part: pd.DataFrame) -> list[str]:
    names = (
        "method",
        "maps solved",
        "steps to first goal",
        "the same from the 2nd map on",
        "best plan / shortest, solved maps",
        "within 10 % of shortest",
        "steps used per map",
        "of them planned",
        "safe plans that broke",
        "CPU s per map",
    )
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for method, rows in part.groupby("method", sort=False):
        mark = "" if rows["solved"].all() else ">="
        cells = (
            LABELS[str(method)],
            f"{int(rows['solved'].sum())}/{len(rows)}",
            _text(over_seeds(rows, "first"), mark=mark),
            _text(over_seeds(rows, "later"), mark=mark),
            _text(over_seeds(rows, "ratio")),
            f"{int(rows['near'].sum())}/{len(rows)}",
            _text(over_seeds(rows, "steps")),
            f"{100 * rows['planned_steps'].sum() / rows['steps'].sum():.0f} %",
            str(int(rows["broken_plans"].sum())),
            f"{rows['cpu_seconds'].mean():.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratios(part: pd.DataFrame) -> list[str]:
    """RAMP's steps to the first goal over those of each other method, seed by seed."""
    lines = [
        "| RAMP's steps to the first goal, over those of | all maps | from the 2nd map on |",
        "|---|---|---|",
    ]
    for method in [name for name in dict.fromkeys(part["method"]) if name != "ramp"]:
        cells = []
        for column in ("first", "later"):
            ratio = ratio_to(part, str(method), column)
            unsolved = not part.loc[part["method"] == method, "solved"].all()
            cells.append("-" if ratio is None else _text(ratio, mark="<=" if unsolved else ""))
        lines.append(f"| {LABELS[method]} | {' | '.join(cells)} |")
    return lines if len(lines) > 2 else []


def ratio_to(part: pd.DataFrame, method: str, column: str) -> dict[str, float] | None:
    """RAMP's mean over that of another method: mean and interval over the seeds of both."""
    means = part.groupby(["method", "seed"])[column].mean().unstack("method")
    if "ramp" not in means or method not in means:
        return None
    ratios = (means["ramp"] / means[method]).dropna().to_numpy(float)
    return bootstrap(ratios) if len(ratios) else None


def _verdicts(table: pd.DataFrame) -> list[str]:
    """Whether each aim was met."""
    lines = ["### Aims", ""]
    for (task, size), part in table.groupby(["task", "size"], sort=False):
        ramp = part[part["method"] == "ramp"]
        if ramp.empty:
            continue
        where = f"{TITLES[str(task)]} {size} x {size}"
        solved = f"({int(ramp['solved'].sum())} of {len(ramp)})"
        lines.append(f"- {where}, all maps solved: {_met(bool(ramp['solved'].all()))} {solved}.")
        mean, worst = ramp["ratio"].mean(), ramp["ratio"].max()
        lines.append(
            f"- {where}, final plans within 10 % of the shortest: "
            f"{_met(bool(ramp['near'].all()))} (mean {mean:.3f}, worst {worst:.2f})."
        )
        ratio = ratio_to(part, "ppo", "first")
        if ratio is not None:
            lines.append(
                f"- {where}, at most a quarter of MaskablePPO's steps to the first goal: "
                f"{_met(ratio['high'] <= GOAL)} ({_text(ratio)})."
            )
    return lines


def _met(met: bool) -> str:
    return "met" if met else "NOT met"


def draw(table: pd.DataFrame, path: Path) -> None:
    """Plot steps to the first goal (top) and best plan over a shortest plan (bottom) by map, one
    column per task and size.
    """
    table = prepared(table)
    columns = list(dict.fromkeys(zip(table["task"], table["size"], strict=True)))
    figure = new_figure(4.2 * len(columns), 6.0)
    for place, (task, size) in enumerate(columns, 1):
        part = table[(table["task"] == task) & (table["size"] == size)]
        top, bottom = (
            figure.add_subplot(2, len(columns), place),
            figure.add_subplot(2, len(columns), len(columns) + place),
        )
        for number, method in enumerate(
            method for method in LABELS if method in set(table["method"])
        ):
            rows = part[part["method"] == method]
            style = {
                "color": COLOURS[number],
                "linestyle": DASHES[number % len(DASHES)],
                "marker": "o",
                "markersize": 3.5,
                "label": LABELS[method],
            }
            for axes, column in ((top, "first"), (bottom, "ratio")):
                points = {index + 1: bootstrap(values) for index, values in _by_map(rows, column)}
                mean, low, high = (
                    [interval[name] for interval in points.values()]
                    for name in ("mean", "low", "high")
                )
                axes.plot(list(points), mean, **style)
                axes.fill_between(
                    list(points), low, high, color=COLOURS[number], alpha=0.15, linewidth=0
                )
        top.set_yscale("log")
        bottom.set_yscale("log")
        for axes in (top, bottom):
            axes.xaxis.get_major_locator().set_params(integer=True)
        style_axes(top, f"{TITLES[task]}, {size} x {size}", "map", "steps to first goal", grid="y")
        style_axes(bottom, "", "map", "best plan / shortest", grid="y")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=80)


def _by_map(rows: pd.DataFrame, column: str) -> list[tuple[int, np.ndarray]]:
    kept = rows.dropna(subset=[column])
    return [(int(index), values.to_numpy(float)) for index, values in kept.groupby("map")[column]]
