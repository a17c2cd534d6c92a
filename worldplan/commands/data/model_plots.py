"""Plots of a model report: k-step errors, reliability, histograms of the PIT, penalties."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor

from worldplan.commands.data.model_measures import DRAWN, ONE_ELITE, RECALIBRATED
from worldplan.output.style import (
    ACCENT,
    BAR,
    COLOURS,
    DASHES,
    GREY,
    INK,
    NARROW,
    few_log_ticks,
    legend_below,
    new_figure,
    save_figure,
    style_axes,
)
from worldplan.world_models.ensemble.calibration import is_covered

_LINES = 12  # columns that are drawn in colour; all others are grey
_POINTS = 3000  # of a scatter plot
_LEVELS = np.linspace(0.02, 0.98, 49)


def step_errors(table: pd.DataFrame, path: Path) -> Path:
    """Plot the relative k-step error of every column against k, of mean, drawn and recalibrated
    predictions.

    Args:
        table: of `model_measures.step_table`.
        path: of the SVG or PNG file.
    """
    figure = new_figure(NARROW, 10.5)
    last = table[table["steps"] == table["steps"].max()].set_index("column")["relative"]
    worst = list(last.sort_values(ascending=False).index[:_LINES])
    panels = (
        ("relative", "mean prediction"),
        ("relative_drawn", "drawn, as in rollouts"),
        ("relative_recalibrated", "drawn, recalibrated"),
    )
    axes: Axes | None = None
    for place, (column, title) in enumerate(panels):
        axes = figure.add_subplot(3, 1, place + 1, sharey=axes)
        _lines(
            axes,
            {
                str(name): (part["steps"].to_numpy(), part[column].to_numpy())
                for name, part in table.groupby("column", sort=False)
            },
            worst,
        )
        axes.axhline(1, color=INK, linestyle=":", linewidth=1.2)
        axes.set_yscale("log")
        label = "relative error"
        style_axes(axes, title, "steps" if place == 2 else "", label, grid="both")
    assert axes is not None
    legend_below(figure, axes, columns=3)
    return save_figure(figure, path)


def reliability(scores: Mapping[str, Tensor], names: list[str], path: Path) -> Path:
    """Plot the share of truths in central intervals against their level, one line per column.

    Args:
        scores: normal scores by predictions, (rows, columns) each.
        names: of the columns.
        path: of the SVG or PNG file.
    """
    figure = new_figure(NARROW, 11.5)
    levels = torch.from_numpy(_LEVELS)
    shares = {
        kind: is_covered(part, levels).double().mean(1).numpy() for kind, part in scores.items()
    }
    distance = np.abs(shares[DRAWN] - _LEVELS[:, None]).sum(0)
    worst = [names[place] for place in np.argsort(-distance, kind="stable")[:_LINES]]
    for place, kind in enumerate((ONE_ELITE, DRAWN, RECALIBRATED)):
        axes = figure.add_subplot(3, 1, place + 1)
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1.2)
        _lines(
            axes,
            {name: (_LEVELS, shares[kind][:, column]) for column, name in enumerate(names)},
            worst,
        )
        axes.set_aspect("equal")
        label = "share of truths inside"
        below = "level of the central interval" if place == 2 else ""
        style_axes(axes, kind, below, label, grid="both")
    legend_below(figure, axes, columns=3)
    return save_figure(figure, path)


def pit_histograms(scores: Mapping[str, Tensor], names: list[str], path: Path) -> Path:
    """Plot histograms of the PIT before and after recalibration, for at most 12 columns, those
    furthest from uniform. A calibrated column is flat.

    Args:
        scores: normal scores by predictions, (rows, columns) each.
        names: of the columns.
        path: of the SVG or PNG file.
    """
    transformed = {kind: torch.special.ndtr(part).numpy() for kind, part in scores.items()}
    bins = np.linspace(0, 1, 21)
    counts = np.stack([np.histogram(part, bins)[0] for part in transformed[DRAWN].T])
    order = np.argsort(-np.abs(counts - counts.mean(1, keepdims=True)).sum(1), kind="stable")
    chosen = sorted(order[:_LINES].tolist())
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(NARROW, 2.1 * rows + 0.6)
    for place, column in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, place + 1)
        for kind, colour in ((DRAWN, BAR), (RECALIBRATED, ACCENT)):
            axes.hist(
                transformed[kind][:, column],
                bins=bins.tolist(),
                density=True,
                histtype="step",
                color=colour,
                linewidth=1.5,
                label=kind,
            )
        axes.axhline(1, color=INK, linestyle=":", linewidth=1.0)
        style_axes(axes, names[column], "", "", grid="y")
        if place == len(chosen) - 1:
            legend_below(figure, axes)
    return save_figure(figure, path)


def penalties(values: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Plot each penalty against the true one-step error (in units of each column's change), on
    logarithmic axes.

    Args:
        values: of `model_measures.penalty_table`, by rows.
        path: of the SVG or PNG file.
    """
    first = next(iter(values.values()))
    names = [name for name in first.columns if not name.startswith("error_")]
    figure = new_figure(NARROW, 2.6 * -(-len(names) // 2) + 0.5)
    for place, name in enumerate(names):
        axes = figure.add_subplot(-(-len(names) // 2), 2, place + 1)
        for (kind, table), colour in zip(values.items(), (BAR, ACCENT), strict=False):
            points = table.iloc[:: -(-len(table) // _POINTS)]
            positive = points[(points[name] > 0) & (points["error_column"] > 0)]
            axes.scatter(
                positive["error_column"],
                positive[name],
                s=3,
                color=colour,
                alpha=0.35,
                linewidths=0,
                label=kind,
            )
        few_log_ticks(axes)
        axes.set_yscale("log")
        below = "true one-step error" if place >= len(names) - 2 else ""
        left = "" if place % 2 else "penalty"
        style_axes(axes, name.replace("_", " "), below, left, grid="both")
        axes.set_title(axes.get_title(loc="left"), loc="left", fontsize=9.5)
        if place == len(names) - 1:
            legend_below(figure, axes)
    return save_figure(figure, path)


def _lines(
    axes: Axes, lines: Mapping[str, tuple[np.ndarray, np.ndarray]], coloured: list[str]
) -> None:
    """Draw lines (x, y) by name, those of `coloured` with a colour and a label."""
    styles = cycle([(colour, dash) for dash in DASHES for colour in COLOURS])
    for name, (x, y) in lines.items():
        if name not in coloured:
            axes.plot(x, y, color=GREY, linewidth=0.5, alpha=0.5)
    for name, (x, y) in lines.items():
        if name in coloured:
            colour, dash = next(styles)
            marker = "o" if len(x) == 1 else ""
            axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.5, marker=marker, label=name)
