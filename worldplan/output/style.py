"""The common look of all plots: colours, dashes, axes, and how a figure becomes a file.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines also differ
in dash.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator

from worldplan.output.vector import write_vector
from worldplan.world_models.storage import replace_file

INK, GREY, LIGHT = "#22262b", "#8a9099", "#e3e6ea"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
NARROW = 4.8  # inches; a figure of this width is legible on a phone
BAR, ACCENT, SKY = COLOURS[0], COLOURS[1], "#b5dcf3"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, `width` by `height` inches, that draws without a screen."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09))
    FigureCanvasAgg(figure)  # whatever backend the user has configured
    return figure


def style_axes(axes: Axes, title: str, x: str, y: str, *, grid: str = "") -> None:
    """Set title, axis labels and the common look; `grid` is "x", "y", "both" or empty."""
    axes.set_title(title, fontsize=11.5, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    axes.tick_params(colors=INK, labelsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.set_axisbelow(True)
    for direction in ("x", "y"):
        if grid in (direction, "both"):
            getattr(axes, f"{direction}axis").grid(True, color=LIGHT, linewidth=0.8)


def few_log_ticks(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with three ticks: those of a narrow panel overlap."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks(ticks := np.geomspace(low, high, 7)[1::2], [f"{tick:.2g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)


def legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """A legend of the lines of `axes` below the figure; nothing where no line has a label. Long
    labels are in one column, in several lines.
    """
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = columns if max(map(len, labels)) * columns <= 36 else 1
        figure.legend(
            handles,
            ["\n".join(textwrap.wrap(label, 42)) or label for label in labels],
            loc="outside lower center",
            ncols=min(columns, len(handles)),
            frameon=False,
            fontsize=10.5,
            labelcolor=INK,
        )


def save_figure(figure: Figure, path: str | Path, description: str = "") -> Path:
    """Write the figure, whole or not at all, and return its path.

    Args:
        figure: to write.
        path: an SVG file where the name ends with .svg, otherwise a PNG file.
        description: what the figure shows, in words and values, for readers who cannot see it. An
            SVG file records it; if empty, it is composed from the lines and bars of the figure.
    """
    target = Path(path)
    if target.suffix.lower() == ".svg":
        return replace_file(target, lambda draft: write_vector(figure, draft, description))
    return replace_file(target, lambda draft: figure.savefig(draft, dpi=110, facecolor="white"))
