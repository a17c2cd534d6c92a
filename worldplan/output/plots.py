"""Plots of runs, as pure functions of tables: each draws one figure, saves it as PNG, and returns
the path.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers; lines also differ in
dash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from worldplan.world_models.storage import replace_file

if TYPE_CHECKING:
    import networkx as nx

INK, GREY, LIGHT = "#22262b", "#8a9099", "#e3e6ea"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
BAR, ACCENT, SKY = COLOURS[0], COLOURS[1], "#b5dcf3"


# --- learning and comparison ----------------------------------------------------------------------


def learning_curve(metrics: pd.DataFrame, path: str | Path, bound: float | None = None) -> Path:
    """What was logged while learning, against the step.

    Args:
        metrics: a column "step" and any of "train/...", "val/...", ...; each column may hold gaps.
            Columns with the same last word ("loss", "reward") share a panel; a number after it
            ("return/0") is a seed, not a word.
        path: where the PNG goes.
        bound: upper bound on the reward, drawn in the panels of rewards and returns.
    """
    groups: dict[str, list[str]] = {}
    for column in metrics.columns:
        if column not in ("step", "epoch") and metrics[column].notna().any():
            words = str(column).split("/")
            groups.setdefault(
                words[-2] if words[-1].isdigit() and len(words) > 1 else words[-1], []
            ).append(str(column))
    panels = list(groups.items()) or [("no metrics logged", [])]
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure = new_figure(5.2 * columns + 1.2 * (columns == 1), 2.9 * rows + 0.2)
    for index, (name, group) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        for column, colour, dash in zip(group, cycle(COLOURS), cycle(DASHES), strict=False):
            points = metrics[["step", column]].dropna()
            marker = "o" if len(points) <= 30 else ""
            axes.plot(
                points["step"],
                points[column],
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=3.5,
                label=column,
            )
        if bound is not None and any(word in name for word in ("reward", "return")):
            _bound_line(axes.axhline, bound)
        style_axes(axes, name.replace("_", " "), "step", "", grid="both")
        if group:
            axes.legend(frameon=False, fontsize=8.5)
    return save_figure(figure, path)


def policy_comparison(table: pd.DataFrame, bound: float | None, path: str | Path) -> Path:
    """Mean reward of each policy with its 95 % interval, best on top, and the upper bound as a
    line.

    Args:
        table: columns policy, mean, low, high, and optionally bound_share (1 = the bound).
    """
    ordered = table.sort_values("mean", kind="stable").reset_index(drop=True)
    place = np.arange(len(ordered))
    errors = np.clip(
        np.stack([ordered["mean"] - ordered["low"], ordered["high"] - ordered["mean"]]), 0, None
    )
    figure = new_figure(8.2, 1.3 + 0.42 * max(len(ordered), 2))
    axes = figure.add_subplot()
    axes.barh(place, ordered["mean"], height=0.66, color=BAR, alpha=0.85, zorder=2)
    axes.errorbar(
        ordered["mean"],
        place,
        xerr=errors,
        fmt="none",
        ecolor=INK,
        elinewidth=1.4,
        capsize=3.5,
        zorder=3,
    )
    reach = (
        float(np.nanmax([*ordered["high"], bound if bound is not None else -np.inf, 0.0]))
        if len(ordered)
        else 1.0
    )
    floor = float(min([*ordered["low"].dropna(), 0.0]))
    span = (reach - floor) or 1.0
    for spot, row in zip(place, ordered.to_dict("records"), strict=True):
        share = row.get("bound_share")
        note = f"{row['mean']:.4g}" + (
            f"  ({100 * share:.1f} %)" if share is not None and np.isfinite(share) else ""
        )
        axes.text(reach + 0.02 * span, float(spot), note, va="center", fontsize=9.5, color=INK)
    if bound is not None:
        _bound_line(axes.axvline, bound)
        axes.legend(
            frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
        )
    axes.set_xlim(floor if floor == 0 else floor - 0.03 * span, reach + 0.2 * span)
    axes.set_yticks(place, [str(name) for name in ordered["policy"]])
    style_axes(
        axes,
        "",
        "mean reward per step, with 95 % interval"
        + (" (share of the bound)" if bound is not None else ""),
        "",
        grid="x",
    )
    return save_figure(figure, path)


def step_rewards(steps: pd.DataFrame, path: str | Path) -> Path:
    """Mean reward at each step of an episode, one line per policy. `steps` has columns policy,
    step, mean.
    """
    figure = new_figure(8.2, 3.9)
    axes = figure.add_subplot()
    best_first = (
        steps.groupby("policy", sort=False)["mean"].mean().sort_values(ascending=False).index
    )
    styles = [(colour, dash) for dash in DASHES for colour in COLOURS]
    for policy, (colour, dash) in zip(best_first, cycle(styles), strict=False):
        line = steps[steps["policy"] == policy].sort_values("step")
        axes.plot(
            line["step"],
            line["mean"],
            color=colour,
            linestyle=dash,
            linewidth=1.8,
            marker="o",
            markersize=2.5,
            label=str(policy),
        )
    style_axes(axes, "", "step of the episode", "mean reward", grid="both")
    if len(steps):
        axes.legend(
            frameon=False,
            fontsize=9,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            title="best first",
            alignment="left",
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save_figure(figure, path)


# --- one decision ---------------------------------------------------------------------------------


def schedule_grid(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    workers: Sequence[Any] | None = None,
    slots: Sequence[Any] | None = None,
) -> Path:
    """Who serves whom when: a grid of workers by slots with the arm in each cell.

    Args:
        rows: mappings with arm, worker and slot.
        path: where the PNG goes.
        workers: all workers in their order, so that idle ones show too; otherwise those in `rows`.
        slots: the same for slots.
    """
    workers = _ordered(row["worker"] for row in rows) if workers is None else workers
    slots = _ordered(row["slot"] for row in rows) if slots is None else slots
    cells: dict[tuple[Any, Any], list[str]] = {}
    for row in rows:
        cells.setdefault((row["worker"], row["slot"]), []).append(str(row["arm"]))
    widest = max((len(line) for names in cells.values() for line in names), default=2)
    width = min(max(0.75, 0.1 * widest + 0.25), 2.2)
    figure = new_figure(max(1.8 + width * len(slots), 4.0), 1.1 + 0.46 * max(len(workers), 1))
    axes = figure.add_subplot()
    for y, worker in enumerate(workers):
        for x, slot in enumerate(slots):
            names = cells.get((worker, slot), [])
            axes.add_patch(
                Rectangle(
                    (x + 0.03, y + 0.05),
                    0.94,
                    0.9,
                    facecolor=COLOURS[5] if names else "#f4f5f7",
                    edgecolor="none",
                )
            )
            axes.text(
                x + 0.5,
                y + 0.5,
                "\n".join(names),
                ha="center",
                va="center",
                fontsize=9 if len(names) < 2 else 7.5,
                color=INK,
            )
    axes.set_xlim(0, max(len(slots), 1))
    axes.set_ylim(max(len(workers), 1), 0)
    axes.set_xticks(
        np.arange(len(slots)) + 0.5,
        [str(slot) for slot in slots],
        rotation=0 if len(slots) <= 14 else 60,
    )
    axes.set_yticks(np.arange(len(workers)) + 0.5, [str(worker) for worker in workers])
    style_axes(axes, "" if rows else "nobody is served", "slot", "worker")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return save_figure(figure, path)


def worker_loads(
    rows: Sequence[Mapping[str, Any]], capacities: Mapping[Any, float], path: str | Path
) -> Path:
    """Load of each worker as a stack of the arms it serves, against its capacity. Each row has arm,
    worker and cost.
    """
    workers = list(capacities)
    figure = new_figure(8.2, 1.2 + 0.5 * max(len(workers), 1))
    axes = figure.add_subplot()
    longest = reach = max([float(capacity) for capacity in capacities.values()] + [1e-9])
    for spot, worker in enumerate(workers):
        axes.barh(
            spot,
            capacities[worker],
            height=0.74,
            color="#f4f5f7",
            edgecolor=GREY,
            linewidth=1,
            zorder=1,
        )
        load = 0.0
        for number, row in enumerate(row for row in rows if row["worker"] == worker):
            cost = float(row["cost"])
            axes.barh(
                spot,
                cost,
                left=load,
                height=0.56,
                color=(COLOURS[5], SKY)[number % 2],
                edgecolor="white",
                zorder=2,
            )
            if cost > 0.011 * reach * len(str(row["arm"])):
                axes.text(
                    load + cost / 2,
                    spot,
                    str(row["arm"]),
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=INK,
                    zorder=3,
                )
            load += cost
        over = load > capacities[worker] * (1 + 1e-9)
        note = f"{load:.4g} of {capacities[worker]:.4g}" + (" (over)" if over else "")
        axes.text(
            max(float(capacities[worker]), load) + 0.012 * reach,
            spot,
            note,
            va="center",
            fontsize=9,
            color=ACCENT if over else INK,
        )
        longest = max(longest, load)
    axes.set_xlim(0, 1.16 * longest)
    axes.set_ylim(max(len(workers), 1) - 0.45, -0.55)
    axes.set_yticks(np.arange(len(workers)), [str(worker) for worker in workers])
    style_axes(axes, "", "cost of the arms served (outline: capacity)", "worker", grid="x")
    return save_figure(figure, path)


def route_map(
    graph: nx.Graph,
    route: Sequence[Any],
    pulled: Sequence[Any],
    path: str | Path,
    positions: Mapping[Any, tuple[float, float]] | None = None,
) -> Path:
    """A route on its graph: the edges walked as arrows, the nodes pulled filled, the start ringed.

    Args:
        graph: the whole graph; a directed one is drawn without the arrows of unused edges.
        route: node labels in the order visited (a node may come twice).
        pulled: nodes where an arm is pulled.
        positions: (x, y) of every node, for instance longitude and latitude; otherwise a layout is
            computed.
    """
    import networkx as nx

    place = dict(positions) if positions else _layout(graph)
    small = len(graph) > 45
    figure = new_figure(8.6, 6.6)
    axes = figure.add_subplot()
    nx.draw_networkx_edges(graph.to_undirected(), place, ax=axes, edge_color="#cfd4da", width=1.2)
    nx.draw_networkx_nodes(
        graph,
        place,
        ax=axes,
        node_color="white",
        edgecolors=GREY,
        node_size=60 if small else 190,
        linewidths=1,
    )
    legs = [leg for leg in zip(route, route[1:], strict=False) if leg[0] != leg[1]]
    walk = nx.DiGraph(legs)
    walk.add_nodes_from(route)
    size = 110 if small else 260
    nx.draw_networkx_edges(
        walk,
        place,
        ax=axes,
        edgelist=legs,
        edge_color=ACCENT,
        width=2.2,
        arrowsize=13,
        node_size=size,
        connectionstyle="arc3,rad=0.08",
    )
    served = [node for node in graph if node in set(pulled)]
    nx.draw_networkx_nodes(
        graph,
        place,
        ax=axes,
        nodelist=served,
        node_color=COLOURS[5],
        edgecolors=INK,
        node_size=size,
        label="pulled",
    )
    passed = [node for node in dict.fromkeys(route) if node not in set(pulled)]
    nx.draw_networkx_nodes(
        graph,
        place,
        ax=axes,
        nodelist=passed,
        node_color="white",
        edgecolors=ACCENT,
        node_size=size,
        linewidths=1.8,
        label="passed",
    )
    if route:
        nx.draw_networkx_nodes(
            graph,
            place,
            ax=axes,
            nodelist=route[:1],
            node_color="none",
            edgecolors=INK,
            node_size=size + 150,
            linewidths=1.6,
            label="start",
        )
    _label_nodes(
        axes, place, set(served) | set(route), everything=not small, lift=0.5 * size**0.5 + 3
    )
    axes.set_axis_off()
    axes.margins(0.08)
    if served or passed:
        axes.legend(
            frameon=False,
            fontsize=9,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.02),
            ncols=3,
            markerscale=0.6,
        )
    return save_figure(figure, path)


def _layout(graph: nx.Graph) -> dict[Any, tuple[float, float]]:
    """Positions that spread a graph out, the same every time."""
    import networkx as nx

    return (
        nx.kamada_kawai_layout(graph)
        if len(graph) <= 150 and len(graph) > 1
        else nx.spring_layout(graph, seed=0)
    )


def _label_nodes(
    axes: Axes,
    place: Mapping[Any, tuple[float, float]],
    shown: set[Any],
    *,
    everything: bool,
    lift: float,
) -> None:
    """Names beside the nodes that matter; small graphs get all their names, those not visited in
    grey.
    """
    for node, (x, y) in place.items():
        if node in shown or everything:
            text = axes.annotate(
                str(node),
                (x, y),
                xytext=(0, lift),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                zorder=5,
            )
            text.set_color(INK if node in shown else GREY)
            text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def arm_states(states: NDArray[np.int64], pulls: NDArray[Any], path: str | Path) -> Path:
    """One episode as a heat map: the state of every arm at every step, with the pulled cells
    outlined.

    Args:
        states: (steps + 1, arms).
        pulls: (steps, arms), non-zero where the arm was pulled.
    """
    steps, arms = states.shape
    count = int(states.max()) + 1
    figure = new_figure(min(1.8 + 0.3 * steps, 14), min(1.4 + 0.21 * arms, 14))
    axes = figure.add_subplot()
    shades = ListedColormap(_shades(count))
    image = axes.imshow(
        states.T, aspect="auto", cmap=shades, vmin=-0.5, vmax=count - 0.5, interpolation="nearest"
    )
    for step, arm in np.argwhere(np.asarray(pulls) != 0):
        axes.add_patch(
            Rectangle(
                (step - 0.4, arm - 0.4), 0.8, 0.8, fill=False, edgecolor=ACCENT, linewidth=1.8
            )
        )
    for edge in np.arange(steps - 1):
        axes.axvline(edge + 0.5, color="white", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if arms <= 60:
        for edge in np.arange(arms - 1):
            axes.axhline(edge + 0.5, color="white", linewidth=0.8)
        axes.set_yticks(np.arange(arms))
    style_axes(axes, "outlined: pulled at that step", "step", "arm")
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image,
        ax=axes,
        ticks=np.arange(count) if count <= 12 else None,
        label="state",
        shrink=min(1, 1.6 / figure.get_figheight()),
        aspect=9,
    )
    bar.outline.set_visible(False)
    return save_figure(figure, path)


def _shades(count: int) -> NDArray[np.float64]:
    """Light to dark blue, one shade per state: readable in grey print, and orange outlines stand
    out on all of them.
    """
    light, dark = np.array([0.90, 0.94, 0.97]), np.array([0.07, 0.28, 0.45])
    return light + np.linspace(0, 1, max(count, 2))[:count, None] * (dark - light)


# --- shared look ----------------------------------------------------------------------------------


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09))
    FigureCanvasAgg(figure)  # draws without a screen, whatever backend is configured
    return figure


def style_axes(axes: Axes, title: str, x: str, y: str, *, grid: str = "") -> None:
    """The look of every plot here; `grid` is "x", "y", "both" or nothing."""
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(colors=INK, labelsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.set_axisbelow(True)
    for way in ("x", "y"):
        if grid in (way, "both"):
            getattr(axes, f"{way}axis").grid(True, color=LIGHT, linewidth=0.8)


def _bound_line(draw: Any, bound: float) -> None:
    draw(
        bound,
        color=ACCENT,
        linestyle=(0, (5, 2)),
        linewidth=1.6,
        zorder=4,
        label=f"upper bound {bound:.4g}",
    )


def _ordered(values: Any) -> list[Any]:
    """Distinct values, numbers by size and texts as people sort them."""

    def rank(
        value: Any,
    ) -> list[tuple[bool, Any]]:  # "9:00" before "10:00": digits inside a text count as numbers
        parts = re.split(r"(\d+)", value) if isinstance(value, str) else [value]
        return [
            (False, int(part))
            if isinstance(part, str) and part.isdigit()
            else (isinstance(part, str), part)
            for part in parts
            if part != ""
        ]

    return sorted(set(values), key=rank)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write the PNG, whole or not at all."""
    return replace_file(Path(path), lambda draft: figure.savefig(draft, dpi=110, facecolor="white"))
