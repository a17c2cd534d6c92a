"""A figure as an SVG file that records in words what it shows."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_POINTS = 400  # a scatter plot of more points is embedded as a picture: each point is an element
_LINES = 8  # lines of one panel that the description lists


def write_vector(figure: Figure, path: Path, description: str = "") -> None:
    """Write the figure as an SVG file with selectable text. Equal figures give equal files.

    Args:
        figure: to write.
        path: the file.
        description: what the figure shows; if empty, `describe(figure)`.
    """
    for axes in figure.axes:
        for part in axes.collections:
            if isinstance(part, PathCollection) and len(np.asarray(part.get_offsets())) > _POINTS:
                part.set_rasterized(True)
    recorded = {"Date": None, "Creator": None, "Description": description or describe(figure)}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "worldplan"}):
        figure.savefig(path, format="svg", dpi=150, facecolor="white", metadata=recorded)


def describe(figure: Figure) -> str:
    """What a figure shows, panel by panel: axes, and the values of its lines, bars and points."""
    panels = [_panel(axes) for axes in figure.axes]
    return " ".join(panel for panel in panels if panel) or "An empty plot."


def _panel(axes: Axes) -> str:
    """The description of one panel; empty where nothing is drawn."""
    parts = [_bars(axes, bars) for bars in axes.containers if isinstance(bars, BarContainer)]
    lines = [line for line in axes.get_lines() if _named(line) and len(line.get_xydata())]  # type: ignore[arg-type]
    if not lines:  # lines without a label: of panels with one line
        lines = [line for line in axes.get_lines() if len(line.get_xydata()) > 1][:1]  # type: ignore[arg-type]
    parts += [_line(line) for line in lines[:_LINES]]
    if len(lines) > _LINES:
        parts.append(f"{len(lines) - _LINES} more lines.")
    parts += [_points(part) for part in axes.collections if isinstance(part, PathCollection)]
    parts = [part for part in parts if part]
    if not parts:
        return ""
    title = axes.get_title(loc="left") or axes.get_title()
    across = f" against {axes.get_xlabel()}" if axes.get_xlabel() else ""
    head = f"{title or axes.get_ylabel() or 'Values'}{across}:"
    return " ".join([head, *parts])


def _named(line: Line2D) -> bool:
    return not str(line.get_label()).startswith("_")


def _line(line: Line2D) -> str:
    """A line: a level, or its first and last point and its range."""
    name = str(line.get_label()) if _named(line) else "the line"
    points = np.asarray(line.get_xydata(), dtype=np.float64)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return f"{name} has no values."
    (first_x, first_y), (last_x, last_y) = points[0], points[-1]
    if len(points) == 1:
        return f"{name} {first_y:.4g} at {first_x:.4g}."
    low, high = points[:, 1].min(), points[:, 1].max()
    if low == high:
        return f"{name} is {low:.4g} throughout."
    return (
        f"{name} goes from {first_y:.4g} at {first_x:.4g} to {last_y:.4g} at {last_x:.4g}, "
        f"between {low:.4g} and {high:.4g}."
    )


def _bars(axes: Axes, bars: BarContainer) -> str:
    """Horizontal bars by the labels of their axis."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    widths = [float(bar.get_width()) for bar in bars]
    if len(names) != len(widths) or not widths:
        return ""
    return ", ".join(f"{name} {width:.4g}" for name, width in zip(names, widths, strict=True)) + "."


def _points(part: PathCollection) -> str:
    """The number of points and where they lie."""
    points = np.ma.getdata(part.get_offsets()).astype(np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return ""
    (left, low), (right, high) = points.min(0), points.max(0)
    label = str(part.get_label())
    name = "" if label.startswith("_") else f" ({label})"
    return (
        f"{len(points)} points{name}, across from {left:.4g} to {right:.4g}, "
        f"up from {low:.4g} to {high:.4g}."
    )
