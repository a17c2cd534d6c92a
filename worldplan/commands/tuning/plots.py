"""Plots of a tuning: history of the scores, scores by setting, importance of settings."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from worldplan.commands.tuning.space import Choice, Parameter, shown
from worldplan.output.style import (
    ACCENT,
    BAR,
    GREY,
    INK,
    NARROW,
    few_log_ticks,
    legend_below,
    new_figure,
    save_figure,
    style_axes,
)

_COLUMNS = 2  # panels side by side


def history(table: pd.DataFrame, label: str, path: Path) -> Path:
    """Plot the score of every trial, and the best so far; save it and return the path.

    Args:
        table: columns trial, state and score.
        label: of the score.
        path: of the SVG or PNG file.
    """
    figure = new_figure(NARROW, 4.2)
    axes = figure.add_subplot()
    finished = table[table["state"] == "finished"]
    pruned = table[table["state"] == "pruned"]
    worst = table[table["state"] == "worst"]
    axes.plot(finished["trial"], finished["score"], "o", color=BAR, label="finished")
    axes.plot(finished["trial"], finished["score"].cummax(), color=INK, label="best so far")
    if len(pruned):
        axes.plot(pruned["trial"], pruned["score"], "o", color=GREY, label="pruned")
    if len(worst):
        bottom = float(table["score"].min())
        axes.plot(worst["trial"], [bottom] * len(worst), "x", color=ACCENT, label="diverged")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_axes(axes, _wrapped(label), "trial", "score", grid="both")
    legend_below(figure, axes)
    return save_figure(figure, path)


def slices(space: Sequence[Parameter], table: pd.DataFrame, label: str, path: Path) -> Path:
    """Plot the score against each setting, one panel per setting; save it and return the path.

    Args:
        space: the parameters.
        table: columns score, trial, and one per setting.
        label: of the score.
        path: of the SVG or PNG file.
    """
    rows = -(-len(space) // _COLUMNS)
    figure = new_figure(NARROW, 2.4 * rows + 0.7)
    scored = table.dropna(subset=["score"])
    for place, parameter in enumerate(space):
        axes = figure.add_subplot(rows, min(len(space), _COLUMNS), place + 1)
        column = scored[parameter.name]
        if isinstance(parameter, Choice):
            texts = [str(shown(option)) for option in parameter.options]
            spots: list[float] = [
                texts.index(str(value)) if str(value) in texts else -1 for value in column
            ]
            axes.set_xticks(range(len(texts)), [text[:14] for text in texts], rotation=25)
            axes.set_xlim(-0.5, len(texts) - 0.5)
        else:
            spots = column.astype(float).tolist()
        axes.scatter(spots, scored["score"], c=scored["trial"], cmap="viridis", s=18)
        if not isinstance(parameter, Choice) and parameter.log:
            few_log_ticks(axes)
        style_axes(axes, "", parameter.name, "score" if place % _COLUMNS == 0 else "", grid="both")
    figure.suptitle(f"{_wrapped(label)} \n(later trials brighter)", fontsize=11)
    return save_figure(figure, path)


def importance(shares: Mapping[str, float], path: Path) -> Path:
    """Plot the share of each setting in the variance of the scores; save it and return the path."""
    figure = new_figure(NARROW, 1.1 + 0.4 * len(shares))
    axes = figure.add_subplot()
    names = list(shares)[::-1]
    axes.barh(range(len(names)), [shares[name] for name in names], color=BAR)
    axes.set_yticks(range(len(names)), names)
    style_axes(axes, "", "share of the variance of the scores\n(PED-ANOVA)", "", grid="x")
    return save_figure(figure, path)


def penalties(table: pd.DataFrame, correlations: Mapping[str, float], path: Path) -> Path:
    """Plot each penalty against the true error of the model, one panel per penalty; save it and
    return the path.

    Args:
        table: columns error and one per penalty, (rows,).
        correlations: rank correlation with the error, by penalty.
        path: of the SVG or PNG file.
    """
    rows = -(-len(correlations) // _COLUMNS)
    figure = new_figure(NARROW, 2.6 * rows)
    for place, (name, rank) in enumerate(correlations.items()):
        axes = figure.add_subplot(rows, _COLUMNS, place + 1)
        # on log axes: both spread over orders of magnitude
        tiny = np.finfo(np.float32).tiny
        axes.scatter(
            np.maximum(table[name], tiny), np.maximum(table["error"], tiny), s=3, color=BAR
        )
        few_log_ticks(axes)
        axes.set_yscale("log")
        left = "true error" if place % _COLUMNS == 0 else ""
        style_axes(axes, f"{name}: rank {rank:.2f}", "", left, grid="both")
        axes.title.set_fontsize(9)
    return save_figure(figure, path)


def _wrapped(label: str) -> str:
    return "\n".join(textwrap.wrap(label, 46, max_lines=3, placeholder=" ..."))
