"""Plots of a study: learning curves over seeds, return against the share of the true dynamics,
model rollouts in the plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from worldplan.envs.edge_of_reach import Plane
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

_MARKERS = "os^DvPX<>"


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


def dynamics_label(share: float) -> str:
    """The title of a panel: learned dynamics, 0.5 of true dynamics, true dynamics."""
    named = {0.0: "learned dynamics", 1.0: "true dynamics"}
    return named.get(share, f"{share:g} of true dynamics")


def method_styles(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and dash of each method's line, the same in all panels and figures."""
    styles = cycle([(colour, dash) for dash in DASHES for colour in COLOURS])
    return {
        method: {"color": colour, "linestyle": dash}
        for method, (colour, dash) in zip(dict.fromkeys(methods), styles, strict=False)
    }


def seed_curves(
    curves: pd.DataFrame,
    column: str,
    label: str,
    path: Path,
    *,
    lines: Sequence[tuple[float, str]] = (),
    logarithmic: bool = False,
) -> Path:
    """Plot the mean over seeds against the epoch, with the range of all seeds as a band, in a panel
    for each share of the true dynamics, and save it. Methods without a share are in all panels.

    Args:
        curves: columns method, true_share, seed, epoch and `column`.
        column: the metric.
        label: of the axis.
        path: of the SVG or PNG file.
        lines: values to mark with a horizontal line, and their labels.
        logarithmic: whether the axis is logarithmic (linear between -1 and 1 where there are values
            of 0 or less); it also is where the greatest value is far from the median.

    Returns:
        The path.
    """
    points = curves.reindex(columns=["method", "true_share", "seed", "epoch", column])
    points = points.dropna(subset=[column])
    styles = method_styles(points["method"])
    shares = sorted(set(points["true_share"].dropna())) or [0.0]
    figure = new_figure(NARROW, 1.2 + 2.8 * len(shares))
    panels = figure.subplots(len(shares), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, share in zip(panels, shares, strict=True):
        of_share = points[points["true_share"].isna() | (points["true_share"] == share)]
        for method, table in of_share.groupby("method", sort=False):
            band = table.groupby("epoch")[column].agg(["mean", "min", "max"])
            style = styles[str(method)]
            axes.plot(band.index, band["mean"], linewidth=1.8, label=str(method), **style)
            axes.fill_between(
                band.index, band["min"], band["max"], color=style["color"], alpha=0.12, linewidth=0
            )
        for number, (value, name) in enumerate(lines):
            dash = DASHES[(2 + number) % len(DASHES)]
            axes.axhline(value, color=INK, linestyle=dash, linewidth=1.5, label=name)
        title = dynamics_label(share) if len(shares) > 1 else ""
        below = "epoch" if axes is panels[-1] else ""
        style_axes(axes, title, below, f"{label} (band: all seeds)", grid="both")
    _scale(panels[0], points[column], logarithmic)
    legend_below(figure, panels[-1], columns=1 if lines else 2)
    return save_figure(figure, path)


def _scale(axes: Axes, values: pd.Series, logarithmic: bool) -> None:
    """Set a logarithmic vertical axis where it is wanted or values need it; linear near zero, if
    there are values of 0 or less.
    """
    if values.empty:
        return
    median, least = abs(values.median()), float(values.min())
    if logarithmic and least > 0:
        axes.set_yscale("log")
    elif logarithmic or values.max() > 20 * max(median, 1e-9):
        axes.set_yscale("symlog", linthresh=1.0 if logarithmic else max(median, 1e-3))
        axes.set_ylim(bottom=min(0.0, least))


def return_by_share(summary: pd.DataFrame, path: Path) -> Path:
    """Plot the return of each method against the share of the true dynamics, with 95 % intervals,
    and the returns of methods without a share, of the data and of a random policy as lines (figure
    1 of RAVL, arXiv 2402.12527); save it and return the path.

    Args:
        summary: columns policy, method, true_share, mean, low, high and reference.
        path: of the SVG or PNG file.
    """
    measured = summary[~summary["reference"]]
    styles = method_styles(measured["method"])
    figure = new_figure(NARROW, 4.6)
    axes = figure.add_subplot()
    for number, (method, table) in enumerate(measured.groupby("method", sort=False)):
        if table["true_share"].isna().all():
            (row,) = table.to_dict("records")
            axes.axhline(row["mean"], linewidth=1.8, label=str(method), **styles[str(method)])
            colour = styles[str(method)]["color"]
            axes.axhspan(row["low"], row["high"], color=colour, alpha=0.12, linewidth=0)
            continue
        table = table.sort_values("true_share")
        shift = 0.012 * (number - (len(styles) - 1) / 2)  # keeps the intervals apart
        errors = np.stack([table["mean"] - table["low"], table["high"] - table["mean"]])
        axes.errorbar(
            table["true_share"] + shift,
            table["mean"],
            yerr=np.clip(errors, 0, None),
            linewidth=1.8,
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            capsize=3,
            label=str(method),
            **styles[str(method)],
        )
    references = summary[summary["reference"]].to_dict("records")
    for row, dash in zip(references, cycle(DASHES[1:]), strict=False):
        axes.axhline(row["mean"], color=GREY, linestyle=dash, linewidth=1.5, label=row["policy"])
    shares = sorted(set(measured["true_share"].dropna()))
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    label = "share of the true dynamics\n(0: learned, 1: true)"
    style_axes(axes, "", label, "return, with 95 % interval", grid="both")
    legend_below(figure, axes)
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
