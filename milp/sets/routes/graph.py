"""A transport network from CSV files."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd

from worldplan.milp.errors import DatasetError, InfeasibleActionSet
from worldplan.milp.tables import read_frame, separator


def read_graph(connections: str | Path, stations: str | Path | None = None) -> nx.Graph:
    """An undirected graph whose nodes are the ids of stations, as text.

    Args:
        connections: CSV whose first two columns, whatever their names, are node ids; further
            columns and repeated connections are ignored.
        stations: CSV id, name, latitude, longitude: gives the nodes a `name`, for people only, and
            a `position`. Two stations may have the same name.

    Raises:
        DatasetError: a file is missing or malformed, or an id is empty, repeated or not in
            `stations`; the message names file and line.
    """
    edges = _read(connections)
    if edges.shape[1] < 2:
        remedy = separator(edges.columns) or "needs two columns of node ids, one row per connection"
        raise DatasetError(f"{connections}, line 1: {remedy}")
    lines = edges.index.to_numpy() + 2
    empty = np.flatnonzero((edges.iloc[:, :2] == "").any(axis=1))
    if len(empty):
        raise DatasetError(
            f"{connections}, line {lines[empty[0]]}: a node id is empty: fill it or remove the row"
        )
    graph = nx.Graph()
    if stations is not None:
        _add_stations(graph, stations)
    for line, first, second in zip(lines, edges.iloc[:, 0], edges.iloc[:, 1], strict=True):
        for node in (first, second):
            if stations is not None and node not in graph:
                raise DatasetError(
                    f"{connections}, line {line}: station '{node}' is not in {stations}"
                    f"{named_hint(graph, node)}: add it there or remove the row"
                )
        graph.add_edge(first, second)
    graph.remove_nodes_from([node for node in list(graph) if graph.degree[node] == 0])
    return graph


def _add_stations(graph: nx.Graph, stations: str | Path) -> None:
    """Add every station by its id, with its name and its position (longitude, latitude).

    Raises:
        DatasetError: the file has no such columns, an id is empty or repeated, or a position is no
            number.
    """
    table = _read(stations)
    for column in ("id", "name", "latitude", "longitude"):
        if column not in table:
            raise DatasetError(
                f"{stations}: column '{column}' is missing: "
                "needed are id, name, latitude, longitude"
            )
    lines: dict[str, int] = {}
    for row in table.itertuples():
        line, node = int(str(row.Index)) + 2, str(row.id)
        if node == "" or node in lines:
            what = f"already appeared on line {lines[node]}" if node else "is empty"
            raise DatasetError(
                f"{stations}, line {line}: id '{node}' {what}: give every station an id of its own"
            )
        lines[node] = line
        try:
            position = (float(str(row.longitude)), float(str(row.latitude)))
        except ValueError:
            position = (math.nan, math.nan)
        if not all(map(math.isfinite, position)):
            raise DatasetError(
                f"{stations}, line {line}: latitude and longitude must be numbers: correct them"
            )
        graph.add_node(node, name=str(row.name) or node, position=position)


def label_of(graph: nx.Graph, node: object) -> str:
    """The name of a station, for people; its id where it has none."""
    return str(graph.nodes[node].get("name", node))


def named_hint(graph: nx.Graph, text: object) -> str:
    """What to add to a message that `text` is no station: the ids of stations of that name."""
    ids = [str(node) for node, name in graph.nodes(data="name") if name == text]
    if not ids:
        return ""
    return f" (it is the name of the station with the id {' and '.join(map(repr, ids))})"


def check_source(graph: nx.Graph, source: object) -> None:
    """Refuse a graph with directions, or a source from which no round trip starts.

    Raises:
        InfeasibleActionSet: says what is wrong.
    """
    if graph.is_directed():
        raise InfeasibleActionSet("the graph is directed: give an undirected networkx.Graph")
    if not isinstance(source, Hashable) or source not in graph:
        raise InfeasibleActionSet(
            f"source {source!r} is not a node of the graph: give one of its {len(graph)} nodes"
        )
    if len(graph) > 1 and not set(graph[source]) - {source}:
        raise InfeasibleActionSet(
            f"source {source!r} has no edge: join it to the graph or choose another source"
        )


def check_stations(graph: nx.Graph, arms: Sequence[str], connections: str) -> None:
    """Refuse a graph whose nodes are not the arms.

    Raises:
        DatasetError: names the node or arm.
    """
    nodes = [str(node) for node in graph]
    for name in arms:
        if name not in nodes:
            raise DatasetError(
                f"{connections}: arm '{name}' has no connection{named_hint(graph, name)}: "
                "add one, or remove the arm from the rewards file"
            )
    unknown = next((node for node in nodes if node not in arms), None)
    if unknown is not None:
        raise DatasetError(
            f"{connections}: station '{unknown}' is not an arm of the rewards file: "
            "add it there or remove its connections"
        )


def _read(path: str | Path) -> pd.DataFrame:
    """The rows of a CSV as text, by their line number less two; blank lines are left out.

    Raises:
        DatasetError: the file is missing, empty, unreadable or no CSV.
    """
    table = read_frame(str(path))
    table.columns = table.columns.str.strip()
    table = table.fillna("").apply(lambda column: column.str.strip())
    filled: pd.DataFrame = table[(table != "").any(axis=1)]
    return filled
