"""Plots of trainings and comparisons, as pure functions of tables: each draws one figure, writes
it as an SVG or PNG file and returns the path.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from worldplan.output.style import (
    ACCENT,
    BAR,
    COLOURS,
    DASHES,
    GREY,
    INK,
    NARROW,
    legend_below,
    new_figure,
    save_figure,
    style_axes,
)


def learning_curve(metrics: pd.DataFrame, path: str | Path, bound: float | None = None) -> Path:
    """Plot the logged metrics of a training against the step.

    Args:
        metrics: a column "step" and any of "train/...", "val/...", ...; each column may have gaps.
            Columns with the same last word ("loss", "reward") share a panel; a number after it
            ("return/0") is a seed, not a word.
        path: the SVG or PNG file to write.
        bound: upper bound on the reward, drawn in the panels of rewards and returns.
    """
    panels = list(_panels(metrics).items()) or [("no metrics logged", [])]
    columns = 1 if len(panels) <= 3 else 2
    rows = -(-len(panels) // columns)
    figure = new_figure(NARROW * columns, 2.9 * rows + 0.2)
    for index, (name, group) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        for column, colour, dash in zip(group, cycle(COLOURS), cycle(DASHES), strict=False):
            points = metrics[["step", column]].dropna()
            axes.plot(
                points["step"],
                points[column],
                color=colour,
                linestyle=dash,
                marker="o" if len(points) <= 30 else "",
                markersize=3.5,
                label=column,
            )
        if bound is not None and any(word in name for word in ("reward", "return")):
            _bound_line(axes.axhline, bound)
        style_axes(axes, name.replace("_", " "), "step", "", grid="both")
        if group:
            axes.legend(frameon=False, fontsize=9.5, labelcolor=INK)
    return save_figure(figure, path)


def _panels(metrics: pd.DataFrame) -> dict[str, list[str]]:
    """The columns that hold a number, grouped by the word that names their panel."""
    panels: dict[str, list[str]] = {}
    for column in metrics.columns:
        if column not in ("step", "epoch") and metrics[column].notna().any():
            words = str(column).split("/")
            has_seed = words[-1].isdigit() and len(words) > 1
            panels.setdefault(words[-2] if has_seed else words[-1], []).append(str(column))
    return panels


def policy_comparison(
    table: pd.DataFrame,
    bound: float | None,
    path: str | Path,
    *,
    label: str = "mean reward per step",
    limit: str = "upper bound",
) -> Path:
    """Plot the mean of each policy with its 95 % interval, best on top.

    Args:
        table: columns policy, mean, low, high, and optionally bound_share (1 = the bound) and
            reference (true: drawn in grey).
        bound: upper bound on the mean of every policy, drawn as a line.
        path: the SVG or PNG file to write.
        label: what the mean is of.
        limit: what `bound` is.
    """
    ordered = table.sort_values("mean", kind="stable").reset_index(drop=True)
    place = np.arange(len(ordered))
    figure = new_figure(NARROW, 1.5 + 0.42 * max(len(ordered), 2))
    axes = figure.add_subplot()
    reference = ordered.get("reference", pd.Series(False, ordered.index)).isin([True])
    colours = np.where(reference, GREY, BAR)
    axes.barh(place, ordered["mean"], height=0.66, color=colours, alpha=0.85, zorder=2)
    errors = np.stack([ordered["mean"] - ordered["low"], ordered["high"] - ordered["mean"]])
    axes.errorbar(
        ordered["mean"],
        place,
        xerr=np.clip(errors, 0, None),
        fmt="none",
        ecolor=INK,
        elinewidth=1.4,
        capsize=3.5,
        zorder=3,
    )
    right, left = 1.0, float(min([*ordered["low"].dropna(), 0.0]))
    if len(ordered):
        right = float(np.nanmax([*ordered["high"], -np.inf if bound is None else bound, 0.0]))
    span = (right - left) or 1.0
    for spot, row in zip(place, ordered.to_dict("records"), strict=True):
        axes.text(
            right + 0.02 * span, float(spot), _figures(row), va="center", fontsize=10.5, color=INK
        )
    if bound is not None:
        _bound_line(axes.axvline, bound, limit)
        legend_below(figure, axes)
    axes.set_xlim(left if left == 0 else left - 0.03 * span, right + 0.42 * span)
    axes.set_yticks(place, [_wrapped(str(name)) for name in ordered["policy"]])
    text = f"{label}, with 95 % interval"
    share = f"\n(share of the {limit.split()[-1]})" if bound is not None else ""
    style_axes(axes, "", text + share, "", grid="x")
    words = _comparison_in_words(ordered, label)
    line = "" if bound is None else f" The dashed line is the {limit}, {bound:.4g}."
    return save_figure(figure, path, words + line)


def _comparison_in_words(ordered: pd.DataFrame, label: str) -> str:
    """The bars of a comparison, best first, with their intervals."""
    bars = [
        f"{row['policy']} {row['mean']:.4g} ({row['low']:.4g} to {row['high']:.4g})"
        for row in ordered.iloc[::-1].to_dict("records")
    ]
    return f"Bars of the {label}, best first, with 95 % interval: {', '.join(bars)}."


def _wrapped(name: str) -> str:
    """A name in at most two lines of 18 characters, its middle left out where it is longer."""
    if len(name) > 36:
        name = f"{name[:18]}...{name[-15:]}"
    return "\n".join(textwrap.wrap(name, 18)) or name


def _figures(row: Mapping[Any, Any]) -> str:
    """A policy's mean, and its share of the bound where that is known."""
    share = row.get("bound_share")
    mean = f"{row['mean']:.4g}"
    return mean if share is None or not np.isfinite(share) else f"{mean}  ({100 * share:.1f} %)"


def step_rewards(steps: pd.DataFrame, path: str | Path) -> Path:
    """Plot the mean reward at each step of an episode, one line per policy.

    Args:
        steps: columns policy, step, mean.
        path: the SVG or PNG file to write.
    """
    figure = new_figure(NARROW, 3.4)
    axes = figure.add_subplot()
    best_first = (
        steps.groupby("policy", sort=False)["mean"].mean().sort_values(ascending=False).index
    )
    styles = [(colour, dash) for dash in DASHES for colour in COLOURS]
    for policy, (colour, dash) in zip(best_first, cycle(styles), strict=False):
        line = steps[steps["policy"] == policy].sort_values("step")
        axes.plot(
            line["step"],
            line["mean"],
            color=colour,
            linestyle=dash,
            linewidth=1.8,
            marker="o",
            markersize=2.5,
            label=str(policy),
        )
    style_axes(axes, "", "step of the episode", "mean reward", grid="both")
    legend_below(figure, axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save_figure(figure, path)


def _bound_line(draw: Callable[..., object], bound: float, label: str = "upper bound") -> None:
    """Draw the bound with `axhline` or `axvline` of some axes."""
    draw(
        bound,
        color=ACCENT,
        linestyle=(0, (5, 2)),
        linewidth=1.6,
        zorder=4,
        label=f"{label} {bound:.4g}",
    )
