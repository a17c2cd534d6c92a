"""Plots of a study: learning curves over seeds, model rollouts in the plane, critics' spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from worldplan.envs.edge_of_reach import Plane
from worldplan.output.style import (
    ACCENT,
    BAR,
    COLOURS,
    DASHES,
    GREY,
    INK,
    new_figure,
    save_figure,
    style_axes,
)


@dataclass(frozen=True)
class RolloutPanel:
    """Model rollouts of one method.

    Args:
        method: its name.
        rollouts: states by epoch, (rollouts, horizon + 1, 2).
        plane: the task.
        horizon: steps of a rollout.
    """

    method: str
    rollouts: Mapping[int, np.ndarray]
    plane: Plane
    horizon: int


def seed_curves(
    curves: pd.DataFrame,
    column: str,
    label: str,
    path: Path,
    *,
    line: tuple[float, str] | None = None,
) -> Path:
    """Plot the mean over seeds against the epoch, with the range of all seeds as a band, and save
    it.

    Args:
        curves: columns method, seed, epoch and `column`.
        column: the metric.
        label: of the axis.
        path: of the PNG.
        line: a value to mark with a horizontal line, and its label.

    Returns:
        The path.
    """
    figure = new_figure(8.6, 4.2)
    axes = figure.add_subplot()
    styles = [(colour, dash) for dash in DASHES for colour in COLOURS]
    for (method, table), (colour, dash) in zip(
        curves.groupby("method", sort=False), cycle(styles), strict=False
    ):
        band = table.dropna(subset=[column]).groupby("epoch")[column].agg(["mean", "min", "max"])
        axes.plot(
            band.index, band["mean"], color=colour, linestyle=dash, linewidth=1.8, label=str(method)
        )
        axes.fill_between(
            band.index, band["min"], band["max"], color=colour, alpha=0.12, linewidth=0
        )
    if line is not None:
        axes.axhline(line[0], color=INK, linestyle=":", linewidth=1.5, label=line[1])
    values = curves[column].dropna()
    if len(values) and values.max() > 20 * max(abs(values.median()), 1e-9):
        axes.set_yscale("symlog", linthresh=max(abs(values.median()), 1e-3))
        axes.set_ylim(bottom=min(0.0, float(values.min())))
    style_axes(axes, "", "epoch", f"{label} (band: all seeds)", grid="both")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return save_figure(figure, path)


def rollout_panels(panels: Sequence[RolloutPanel], path: Path) -> Path:
    """Plot model rollouts, one row per method and one column per epoch, with the states at the edge
    of reach in another colour; save it and return the path.
    """
    columns = max((len(panel.rollouts) for panel in panels), default=1)
    figure = new_figure(2.6 * columns, 2.5 * len(panels) + 0.4)
    for row, panel in enumerate(panels):
        for column, (epoch, states) in enumerate(panel.rollouts.items()):
            axes = figure.add_subplot(len(panels), columns, row * columns + column + 1)
            edge = panel.plane.is_edge(torch.from_numpy(states), panel.horizon).numpy()
            for track in states:
                axes.plot(track[:, 0], track[:, 1], color=GREY, linewidth=0.4, alpha=0.5)
            axes.scatter(states[~edge][:, 0], states[~edge][:, 1], s=3, color=BAR, linewidths=0)
            axes.scatter(states[edge][:, 0], states[edge][:, 1], s=6, color=ACCENT, linewidths=0)
            axes.plot(*panel.plane.goal, marker="*", color=INK, markersize=8)
            reach = 1.05 * (panel.plane.start + panel.horizon * panel.plane.step)
            axes.set_xlim(-reach, reach)
            axes.set_ylim(-reach, reach)
            axes.set_aspect("equal")
            style_axes(axes, f"{panel.method}, epoch {epoch}", "", "", grid="both")
            axes.title.set_fontsize(9)
    return save_figure(figure, path)


def spread_boxes(spreads: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path) -> Path:
    """Plot box plots of the critics' spread at next states within reach and at the edge of reach.

    Args:
        spreads: by method, the spreads within reach, (n,), and at the edge, (m,).
        path: of the PNG.

    Returns:
        The path.
    """
    figure = new_figure(1.6 + 1.1 * len(spreads), 4.2)
    axes = figure.add_subplot()
    for place, (within, edge) in enumerate(spreads.values()):
        for offset, values, colour in ((-0.18, within, BAR), (0.18, edge, ACCENT)):
            if len(values):
                axes.boxplot(
                    [values],
                    positions=[place + offset],
                    widths=0.3,
                    showfliers=False,
                    patch_artist=True,
                    boxprops={"facecolor": colour, "alpha": 0.6},
                    medianprops={"color": INK},
                )
    axes.set_xticks(range(len(spreads)), list(spreads), rotation=30, ha="right")
    axes.set_yscale("log")
    style_axes(axes, "", "", "standard deviation over critics", grid="y")
    axes.plot([], [], color=BAR, linewidth=6, alpha=0.6, label="within reach")
    axes.plot([], [], color=ACCENT, linewidth=6, alpha=0.6, label="edge of reach")
    axes.legend(frameon=False, fontsize=9)
    return save_figure(figure, path)
