"""How the value of a run developed: over updates, trials, or the amount of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pandas as pd

from worldplan.commands.overview.figures import RESULTS
from worldplan.commands.overview.kinds import Kind
from worldplan.milp.errors import DatasetError
from worldplan.output.judged import judged_by
from worldplan.output.style import COLOURS, DASHES, new_figure, save_figure, style_axes
from worldplan.runs import METRICS, Run

_MOST = 24  # curves of a plot
_CHECK = "check/return"


@dataclass(frozen=True)
class Curve:
    """A line of the plot.

    Args:
        label: run and row.
        x: name of what stands on the horizontal axis.
        points: columns x and y, in the order of x.
    """

    label: str
    x: str
    points: pd.DataFrame


def curves_of(run: Run, title: str, kind: Kind) -> list[Curve]:
    """The curves of a run; none where nothing was measured on the way.

    Args:
        run: the run folder.
        title: of the run, for labels.
        kind: of the run.

    Raises:
        DatasetError: a table of the run is damaged.
    """
    try:
        if kind.training:
            return _of_training(run, title)
        if kind.name == "bandits":
            return _by_policy(run.read_csv(METRICS), "val/reward", "step", title)
        if kind.name == "study":
            return _by_policy(run.read_csv("curves.csv"), _CHECK, "epoch", title)
        if kind.name == "tuning":
            return _of_tuning(run.read_csv("trials.csv"), title)
        if kind.name == "action models":
            return _line(run.read_csv(RESULTS), "solved_mean", "count", "trajectories", title)
    except (TypeError, ValueError) as error:  # texts where numbers belong
        raise DatasetError(f"{run.path}: its tables hold texts where numbers belong") from error
    return []


def _of_training(run: Run, title: str) -> list[Curve]:
    metrics = run.read_csv(METRICS)
    if metrics is None:
        return []
    name, values = judged_by(metrics)
    x = next((column for column in ("step", "epoch") if column in metrics), None)
    if not name or x is None:
        return []
    return _line(pd.DataFrame({x: metrics[x], name: values}), name, x, x, title)


def _of_tuning(trials: pd.DataFrame | None, title: str) -> list[Curve]:
    """The best score so far."""
    if trials is None or not {"trial", "score", "state"} <= set(trials):
        return []
    done = trials[trials["state"] == "finished"].sort_values("trial")
    best = done.assign(score=done["score"].cummax())
    return _line(best, "score", "trial", "trial", title)


def _by_policy(table: pd.DataFrame | None, y: str, x: str, title: str) -> list[Curve]:
    """A curve per policy, the mean over its seeds."""
    if table is None or not {"policy", x, y} <= set(table):
        return []
    curves = list[Curve]()
    for policy, part in table.groupby("policy", sort=False):
        means = part.groupby(x)[y].mean().rename(y).reset_index()
        curves += _line(means, y, x, x, f"{title}: {policy}")
    return curves


def _line(table: pd.DataFrame | None, y: str, x: str, name: str, label: str) -> list[Curve]:
    if table is None or not {x, y} <= set(table):
        return []
    points = table[[x, y]].dropna().sort_values(x).set_axis(["x", "y"], axis=1).astype(float)
    return [Curve(label, name, points)] if len(points) else []


def plot_curves(curves: Sequence[Curve], value: str, path: Path) -> Path:
    """Draw all curves in one plot.

    Args:
        curves: as many as can be told apart: the first 24 are drawn.
        value: what they are of.
        path: the file, .svg or .png.
    """
    drawn = curves[:_MOST]
    figure = new_figure(8.6, 4.2 + 0.18 * max(len(drawn) - 8, 0))
    axes = figure.add_subplot()
    styles = [(colour, dash) for dash in DASHES for colour in COLOURS]
    for curve, (colour, dash) in zip(drawn, cycle(styles), strict=False):
        points = curve.points
        axes.plot(
            points["x"],
            points["y"],
            color=colour,
            linestyle=dash,
            marker="o" if len(points) <= 30 else "",
            markersize=3.5,
            label=curve.label,
        )
    names = list(dict.fromkeys(curve.x for curve in drawn))
    more = f" (the first {_MOST} of {len(curves)} curves)" if len(curves) > _MOST else ""
    style_axes(axes, more, " or ".join(names), value, grid="both")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return save_figure(figure, path)
