"""Box plots of the critics' spread inside reach and beyond its edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from worldplan.commands.studies.plots import dynamics_label
from worldplan.commands.studies.spreads import EDGE, QUANTILES
from worldplan.output.style import (
    ACCENT,
    BAR,
    INK,
    legend_below,
    new_figure,
    save_figure,
    style_axes,
)


def spread_boxes(spreads: pd.DataFrame, path: Path) -> Path:
    """Plot the quantiles of the critics' spread by place, one group of boxes per row of the study
    and one panel per share of the true dynamics; save it and return the path. The last place, the
    edge of reach or the last step of a rollout, has another colour.

    Args:
        spreads: columns policy, true_share, place and those of `QUANTILES`.
        path: of the SVG or PNG file.
    """
    shares = sorted(set(spreads["true_share"])) or [0.0]
    groups = [spreads[spreads["true_share"] == share] for share in shares]
    widest = max(len(group) for group in groups)
    figure = new_figure(1.4 + max(0.36 * widest, 3.4), 1.0 + 3.6 * len(shares))
    panels = figure.subplots(len(shares), 1, sharey=True, squeeze=False)[:, 0]
    for axes, share, group in zip(panels, shares, groups, strict=True):
        _draw(axes, group)
        title = dynamics_label(share) if len(shares) > 1 else ""
        style_axes(axes, title, "", "deviation over critics", grid="y")
    exact = bool((spreads["place"] == EDGE).any())
    within, beyond = ("within reach", EDGE) if exact else ("earlier steps", "last rollout step")
    panels[0].plot([], [], color=BAR, linewidth=6, alpha=0.6, label=within)
    panels[0].plot([], [], color=ACCENT, linewidth=6, alpha=0.6, label=beyond)
    legend_below(figure, panels[0])
    return save_figure(figure, path)


def _draw(axes: Axes, spreads: pd.DataFrame) -> None:
    """Draw the boxes of one panel: 5, 25, 50, 75 and 95 % of the transitions."""
    ticks, places = [], []
    left = 0.0
    for policy, table in spreads.groupby("policy", sort=False):
        positions = left + 0.8 * np.linspace(0, 1, len(table) + 1)[:-1]
        for position, row in zip(positions, table.to_dict("records"), strict=True):
            if not all(row[name] > 0 for name in QUANTILES):  # a single critic: no spread
                continue
            box = {
                "med": row["median"],
                "q1": row["lower"],
                "q3": row["upper"],
                "whislo": row["low"],
                "whishi": row["high"],
            }
            last = row["place"] == table["place"].iloc[-1]
            axes.bxp(
                [box],
                positions=[position],
                widths=0.7 / len(table),
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": ACCENT if last else BAR, "alpha": 0.6},
                medianprops={"color": INK},
                manage_ticks=False,
            )
        places.append(float(positions.mean()))
        ticks.append(str(policy))
        left += 1.0
    axes.set_xticks(places, ticks, rotation=30, ha="right")
    if ticks and len(axes.patches):
        axes.set_yscale("log")
