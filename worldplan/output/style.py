"""The common look of all plots: colours, dashes, axes, and how a figure becomes a PNG file.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart; lines also differ
in dash.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from worldplan.world_models.storage import replace_file

INK, GREY, LIGHT = "#22262b", "#8a9099", "#e3e6ea"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
BAR, ACCENT, SKY = COLOURS[0], COLOURS[1], "#b5dcf3"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, `width` by `height` inches, that draws without a screen."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09))
    FigureCanvasAgg(figure)  # whatever backend the user has configured
    return figure


def style_axes(axes: Axes, title: str, x: str, y: str, *, grid: str = "") -> None:
    """Set title, axis labels and the common look; `grid` is "x", "y", "both" or empty."""
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(colors=INK, labelsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.set_axisbelow(True)
    for direction in ("x", "y"):
        if grid in (direction, "both"):
            getattr(axes, f"{direction}axis").grid(True, color=LIGHT, linewidth=0.8)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write the figure as a PNG file, whole or not at all, and return its path."""
    return replace_file(Path(path), lambda draft: figure.savefig(draft, dpi=110, facecolor="white"))
