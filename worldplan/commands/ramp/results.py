"""Tables, sentences and curves of `worldplan ramp`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from worldplan.output.style import COLOURS, NARROW, new_figure, save_figure, style_axes
from worldplan.planners.base import bootstrap

if TYPE_CHECKING:
    from worldplan.commands.ramp.jobs import RampRun


def table_of(metrics: pd.DataFrame, budget: int) -> pd.DataFrame:
    """A row for each problem, in order: means over seeds.

    Args:
        metrics: a row for each seed and problem.
        budget: most steps on a problem, which stand for the steps to a goal that was not reached.
    """
    rows = []
    for _, part in metrics.groupby("number"):
        chosen = part["first_by"].dropna()
        rows.append(
            {
                "problem": part["problem"].iloc[0],
                "solved": f"{int(part['solved'].sum())}/{len(part)}",
                "steps to first goal": part["first_goal"].fillna(budget).mean(),
                "first by": ", ".join(sorted({str(name) for name in chosen if name})) or "-",
                "shortest episode": part["best"].mean(),
                "steps": part["steps"].mean(),
                "planned steps": part["planned_steps"].mean(),
                "safe plans that broke": int(part["broken_plans"].sum()),
                "planning s": part["planning_seconds"].mean(),
            }
        )
    return pd.DataFrame(rows)


def figures_of(metrics: pd.DataFrame) -> list[str]:
    """What came out, as sentences."""
    solved = metrics[metrics["solved"] == 1]
    lines = [f"The goal was reached in {len(solved)} of {len(metrics)} problems (all seeds)."]
    if len(solved):
        lines.append(
            f"It was first reached after {solved['first_goal'].mean():.4g} steps on average; the "
            f"shortest episodes have {solved['best'].mean():.4g} steps."
        )
    lines.append(
        f"{int(metrics['planned_steps'].sum())} of {int(metrics['steps'].sum())} steps were "
        f"planned; {int(metrics['broken_plans'].sum())} safe plans broke."
    )
    return lines


def summary_of(metrics: pd.DataFrame, plan: RampRun, lines: list[str]) -> pd.DataFrame:
    """The summary in the report's columns: the share of problems solved, over seeds."""
    shares = metrics.groupby("seed")["solved"].mean().to_numpy(float)
    row = {
        "policy": f"RAMP, explorer {plan.explorer}",
        **bootstrap(shares),
        "episodes": len(metrics),
        "note": " ".join(lines),
    }
    return pd.DataFrame([row])


def plot(metrics: pd.DataFrame, budget: int, path: Path) -> Path:
    """Steps to the first goal (the budget where it was not reached) and the shortest episode, by
    problem in order: means over seeds with 95 % intervals.
    """
    figure = new_figure(NARROW, 6)
    for place, (column, title) in enumerate(
        (("first_goal", "steps to the first goal"), ("best", "shortest episode")), 1
    ):
        axes = figure.add_subplot(2, 1, place)
        values = metrics[column].fillna(budget) if column == "first_goal" else metrics[column]
        numbers, intervals = [], []
        for number, part in values.groupby(metrics["number"]):
            if part.notna().any():
                numbers.append(int(str(number)))
                intervals.append(bootstrap(part.dropna().to_numpy(float)))
        mean, low, high = (
            np.array([each[name] for each in intervals]) for name in ("mean", "low", "high")
        )
        axes.plot(numbers, mean, color=COLOURS[place - 1], marker="o", markersize=3.5)
        axes.fill_between(numbers, low, high, color=COLOURS[place - 1], alpha=0.18, linewidth=0)
        if column == "first_goal":
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        style_axes(axes, title, "problem", "", grid="y")
    return save_figure(figure, path)
