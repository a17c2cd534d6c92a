"""Pictures of decisions and episodes of restless bandits, as pure functions of their data: each
draws one figure, writes it as an SVG or PNG file and returns the path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from worldplan.name_lists import natural_key
from worldplan.output.style import (
    ACCENT,
    COLOURS,
    GREY,
    INK,
    NARROW,
    SKY,
    new_figure,
    save_figure,
    style_axes,
)

if TYPE_CHECKING:
    import networkx as nx


_EMPTY = "#f4f5f7"  # fill of an empty cell or of free capacity


def schedule_grid(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    workers: Sequence[Any] | None = None,
    slots: Sequence[Any] | None = None,
) -> Path:
    """Draw a schedule as a grid of workers by slots with the arms in each cell.

    Args:
        rows: mappings with arm, worker and slot.
        path: the SVG or PNG file to write.
        workers: all workers in their order, idle ones included; those in `rows` if None.
        slots: all slots in their order, empty ones included; those in `rows` if None.
    """
    workers = natural_order(row["worker"] for row in rows) if workers is None else workers
    slots = natural_order(row["slot"] for row in rows) if slots is None else slots
    cells: dict[tuple[Any, Any], list[str]] = {}
    for row in rows:
        cells.setdefault((row["worker"], row["slot"]), []).append(str(row["arm"]))
    widest = max((len(line) for names in cells.values() for line in names), default=2)
    width = min(max(0.75, 0.1 * widest + 0.3), 2.4)
    figure = new_figure(max(1.8 + width * len(slots), 4.0), 1.1 + 0.46 * max(len(workers), 1))
    axes = figure.add_subplot()
    for y, worker in enumerate(workers):
        for x, slot in enumerate(slots):
            _grid_cell(axes, x, y, cells.get((worker, slot), []))
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
    visits = "; ".join(
        f"{worker}, {slot}: {', '.join(names)}" for (worker, slot), names in cells.items()
    )
    return save_figure(figure, path, f"A grid of workers by slots. {visits or 'It is empty'}.")


def _grid_cell(axes: Axes, x: int, y: int, names: Sequence[str]) -> None:
    fill = COLOURS[5] if names else _EMPTY
    axes.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, facecolor=fill, edgecolor="none"))
    axes.text(
        x + 0.5,
        y + 0.5,
        "\n".join(names),
        ha="center",
        va="center",
        fontsize=10.5 if len(names) < 2 else 9.5,
        color=INK,
    )


def worker_loads(
    rows: Sequence[Mapping[str, Any]], capacities: Mapping[Any, float], path: str | Path
) -> Path:
    """Draw the load of each worker, as a stack of the arms it serves, against its capacity.

    Args:
        rows: mappings with arm, worker and cost.
        capacities: by worker, in the order of the rows of the figure.
        path: the SVG or PNG file to write.
    """
    figure = new_figure(NARROW, 1.2 + 0.5 * max(len(capacities), 1))
    axes = figure.add_subplot()
    longest = reach = max([float(capacity) for capacity in capacities.values()] + [1e-9])
    for spot, (worker, capacity) in enumerate(capacities.items()):
        axes.barh(spot, capacity, height=0.74, color=_EMPTY, edgecolor=GREY, linewidth=1, zorder=1)
        load = _stack(axes, spot, [row for row in rows if row["worker"] == worker], reach)
        over = load > capacity * (1 + 1e-9)
        axes.text(
            max(float(capacity), load) + 0.012 * reach,
            spot,
            f"{load:.4g} of {capacity:.4g}" + (" (over)" if over else ""),
            va="center",
            fontsize=10.5,
            color=ACCENT if over else INK,
        )
        longest = max(longest, load)
    axes.set_xlim(0, 1.45 * longest)
    axes.set_ylim(max(len(capacities), 1) - 0.45, -0.55)
    axes.set_yticks(np.arange(len(capacities)), [str(worker) for worker in capacities])
    loads = {
        worker: sum(float(row["cost"]) for row in rows if row["worker"] == worker)
        for worker in capacities
    }
    text = ", ".join(f"{name} {loads[name]:.4g} of {most:.4g}" for name, most in capacities.items())
    style_axes(axes, "", "cost of the arms served\n(outline: capacity)", "worker", grid="x")
    return save_figure(figure, path, f"Load of each worker and its capacity: {text}.")


def _stack(axes: Axes, spot: int, rows: Sequence[Mapping[str, Any]], reach: float) -> float:
    """Draw one worker's arms side by side, with a name where it fits; returns their total cost."""
    load = 0.0
    for number, row in enumerate(rows):
        cost, name = float(row["cost"]), str(row["arm"])
        fill = (COLOURS[5], SKY)[number % 2]
        axes.barh(spot, cost, left=load, height=0.56, color=fill, edgecolor="white", zorder=2)
        if cost > 0.03 * reach * len(name):
            axes.text(
                load + cost / 2,
                spot,
                name,
                ha="center",
                va="center",
                fontsize=10.5,
                color=INK,
                zorder=3,
            )
        load += cost
    return load


def route_map(
    graph: nx.Graph,
    route: Sequence[Any],
    pulled: Sequence[Any],
    path: str | Path,
    positions: Mapping[Any, tuple[float, float]] | None = None,
) -> Path:
    """Draw a route on its graph: walked edges as arrows, pulled nodes filled, the start ringed.

    Args:
        graph: the whole graph; the unused edges of a directed graph are drawn without arrows.
        route: node labels in the order of the visits (a node may occur twice).
        pulled: nodes where an arm is pulled.
        path: the SVG or PNG file to write.
        positions: (x, y) of every node, for instance longitude and latitude; otherwise a layout is
            computed.
    """
    place = dict(positions) if positions else _layout(graph)
    small_nodes = len(graph) > 45
    figure = new_figure(8.6, 6.6)
    axes = figure.add_subplot()
    _draw_graph(axes, graph, place, node_size=60 if small_nodes else 190)
    size = 110 if small_nodes else 260
    _draw_route(axes, route, place, size)
    served = [node for node in graph if node in set(pulled)]
    passed = [node for node in dict.fromkeys(route) if node not in set(pulled)]
    _draw_visits(axes, graph, place, served, passed, route[:1], size)
    names = {node: str(graph.nodes[node].get("name", node)) for node in graph}
    shown = set(served) | set(route)
    _label_nodes(axes, place, shown, names, everything=not small_nodes, lift=0.5 * size**0.5 + 3)
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
            labelcolor=INK,
        )
    walk = " to ".join(names.get(node, str(node)) for node in route) or "nowhere"
    text = ", ".join(names[node] for node in served) or "nobody"
    return save_figure(figure, path, f"A graph with the route {walk}; pulled: {text}.")


def _draw_graph(axes: Axes, graph: nx.Graph, place: Mapping[Any, Any], node_size: int) -> None:
    """All nodes and edges in grey."""
    import networkx as nx

    nx.draw_networkx_edges(graph.to_undirected(), place, ax=axes, edge_color="#cfd4da", width=1.2)
    nx.draw_networkx_nodes(
        graph,
        place,
        ax=axes,
        node_color="white",
        edgecolors=GREY,
        node_size=node_size,
        linewidths=1,
    )


def _draw_route(axes: Axes, route: Sequence[Any], place: Mapping[Any, Any], size: int) -> None:
    """An arrow for every step of the route that changes the node."""
    import networkx as nx

    legs = [leg for leg in zip(route, route[1:], strict=False) if leg[0] != leg[1]]
    walk = nx.DiGraph(legs)
    walk.add_nodes_from(route)
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


def _draw_visits(
    axes: Axes,
    graph: nx.Graph,
    place: Mapping[Any, Any],
    served: Sequence[Any],
    passed: Sequence[Any],
    start: Sequence[Any],
    size: int,
) -> None:
    """The visited nodes: pulled, only passed, and the start (no node or one)."""
    import networkx as nx

    looks: list[tuple[Sequence[Any], str, str, str, dict[str, Any]]] = [
        (served, "pulled", COLOURS[5], INK, {"node_size": size}),
        (passed, "passed", "white", ACCENT, {"node_size": size, "linewidths": 1.8}),
    ]
    if start:
        looks.append((start, "start", "none", INK, {"node_size": size + 150, "linewidths": 1.6}))
    for nodes, label, fill, edge, sizes in looks:
        nx.draw_networkx_nodes(
            graph,
            place,
            ax=axes,
            nodelist=nodes,
            node_color=fill,
            edgecolors=edge,
            label=label,
            **sizes,
        )


def _layout(graph: nx.Graph) -> dict[Any, tuple[float, float]]:
    """Positions that spread the graph out, the same in every call."""
    import networkx as nx

    few = 1 < len(graph) <= 150
    positions = nx.kamada_kawai_layout(graph) if few else nx.spring_layout(graph, seed=0)
    return dict(positions)


def _label_nodes(
    axes: Axes,
    place: Mapping[Any, tuple[float, float]],
    shown: set[Any],
    names: Mapping[Any, str],
    *,
    everything: bool,
    lift: float,
) -> None:
    """Write the names of the nodes in `shown` above them, and with `everything` those of all other
    nodes in grey; `lift` is the distance in points. A node without a name shows its id.
    """
    for node, (x, y) in place.items():
        if node in shown or everything:
            text = axes.annotate(
                names[node],
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
    """Draw one episode as a heat map: the state of every arm at every step, with the pulled cells
    outlined.

    Args:
        states: (steps + 1, arms), before each step and after the last one.
        pulls: (steps, arms), non-zero where the arm was pulled.
        path: the SVG or PNG file to write.
    """
    times, arms = states.shape
    count = int(states.max()) + 1
    figure = new_figure(min(1.8 + 0.3 * times, 14), min(1.4 + 0.21 * arms, 14))
    axes = figure.add_subplot()
    shades = ListedColormap(_shades(count))
    image = axes.imshow(
        states.T, aspect="auto", cmap=shades, vmin=-0.5, vmax=count - 0.5, interpolation="nearest"
    )
    for step, arm in np.argwhere(np.asarray(pulls) != 0):
        corner = (step - 0.4, arm - 0.4)
        axes.add_patch(Rectangle(corner, 0.8, 0.8, fill=False, edgecolor=ACCENT, linewidth=1.8))
    for edge in np.arange(times - 1):
        axes.axvline(edge + 0.5, color="white", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if arms <= 60:
        for edge in np.arange(arms - 1):
            axes.axhline(edge + 0.5, color="white", linewidth=0.8)
        axes.set_yticks(np.arange(arms))
    style_axes(axes, "outlined: pulled at that step", "step", "arm")
    axes.tick_params(labelsize=9.5, length=0)
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
    return save_figure(figure, path, _states_in_words(states, np.asarray(pulls) != 0))


def _states_in_words(states: NDArray[np.int64], pulled: NDArray[np.bool_]) -> str:
    """Which arms were pulled at each step, and the mean state at the beginning and the end."""
    shown = [
        f"step {step}: {', '.join(map(str, np.flatnonzero(row))) or 'none'}"
        for step, row in enumerate(pulled[:30])
    ]
    more = f"; {len(pulled) - 30} more steps" if len(pulled) > 30 else ""
    return (
        f"The states of {states.shape[1]} arms over {len(pulled)} steps. The mean state is "
        f"{states[0].mean():.3g} at the beginning and {states[-1].mean():.3g} at the end. Pulled "
        f"arms, {'; '.join(shown)}{more}."
    )


def _shades(count: int) -> NDArray[np.float64]:
    """(count, 3) colours from light to dark blue, a shade per state: they differ in grey print too,
    and orange outlines are visible on all of them.
    """
    light, dark = np.array([0.90, 0.94, 0.97]), np.array([0.07, 0.28, 0.45])
    share = np.linspace(0, 1, max(count, 2), dtype=np.float64)[:count, None]
    return np.asarray(light + share * (dark - light))


def natural_order(values: Iterable[Any]) -> list[Any]:
    """The distinct values: numbers by size, then texts, in which digits count as numbers ("9:00"
    before "10:00").
    """

    def rank(value: Any) -> tuple[bool, Any]:
        is_text = isinstance(value, str)
        return is_text, natural_key(value) if is_text else value

    return sorted(set(values), key=rank)
