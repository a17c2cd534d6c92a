"""The picture of the start page, drawn from measured results for light and for dark pages."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from sphinx.application import Sphinx

_RESULTS = (
    Path(__file__).resolve().parents[2]
    / "benchmarks/bandits/results/bandit_domains_fluid_bound.csv"
)
_NAMES = {
    "fluid": "fluid planner",
    "sequoia": "SEQUOIA",
    "whittle": "Whittle indices",
    "iterative_dqn": "greedy DQN",
    "myopic": "most visits worth today",
    "random": "random visits",
}
_INKS = {  # of the text, the bars, the text on them, the lines
    "light": ("#222222", "#0b5c99", "#ffffff", "#767676"),
    "dark": ("#e6e6e6", "#6cb6f0", "#111111", "#9a9a9a"),
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw the pictures before the pages are read."""
    app.connect("config-inited", lambda app, config: draw(Path(app.srcdir) / "_static"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def draw(folder: Path) -> None:
    """Write results-light.svg and results-dark.svg: reward of policies below the proven bound."""
    table = pd.read_csv(_RESULTS).query("domain == 'capacity'").set_index("policy")
    for theme, inks in _INKS.items():
        figure = _figure(table.loc[list(_NAMES)], *inks)
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "worldplan"}):
            file = folder / f"results-{theme}.svg"
            figure.savefig(file, transparent=True, metadata={"Date": None})


def _figure(table: pd.DataFrame, ink: str, bar: str, on_bar: str, line: str) -> Figure:
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.add_subplot()
    heights = range(len(table))[::-1]
    axes.barh(heights, table["mean"], height=0.62, color=bar)
    for height, mean in zip(heights, table["mean"], strict=True):
        axes.text(mean - 0.3, height, f"{mean:.1f}", color=on_bar, ha="right", va="center")
    axes.axvline(table["bound"].iloc[0], color=line, linestyle="--")
    axes.set_yticks(heights, list(_NAMES.values()), color=ink)
    axes.set_xlabel("mean reward per step (dashed: proven bound)", color=ink)
    axes.tick_params(colors=ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(line)
    return figure
