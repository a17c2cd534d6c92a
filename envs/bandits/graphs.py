"""Graphs for the path domain: from networkx generators, or from a CSV of connections (a transport
network).
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd

from worldplan.milp.errors import DatasetError


def random_geometric(nodes: int, seed: int) -> nx.Graph:
    """A connected, sparse, roughly planar graph: the spanning tree of random points plus their
    shortest other links.
    """
    rng = np.random.default_rng(seed)
    points = rng.random((nodes, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    full = nx.from_numpy_array(distance)
    graph = nx.minimum_spanning_tree(full)
    spare = sorted((d, u, v) for u, v, d in full.edges(data="weight") if not graph.has_edge(u, v))
    graph.add_edges_from((u, v) for _, u, v in spare[: nodes // 8])
    result = nx.Graph()
    result.add_nodes_from((str(node), {"position": tuple(points[node])}) for node in range(nodes))
    result.add_edges_from((str(u), str(v)) for u, v in graph.edges)
    return result


def read_graph(connections: str | Path, stations: str | Path | None = None) -> nx.Graph:
    """Read an undirected graph.

    `connections` has two columns of node ids (the first two columns, whatever their names); further
    columns are ignored, as are repeated connections. `stations`, optional, has `id`, `name`,
    `latitude`, `longitude`: it gives names and positions. Raises DatasetError naming file and row.
    """
    edges = _table(connections)
    if edges.shape[1] < 2:
        raise DatasetError(f"{connections}: needs two columns of node ids, one row per connection")
    empty = np.flatnonzero(edges.iloc[:, :2].isna().any(axis=1))
    if len(empty):
        raise DatasetError(
            f"{connections}, line {empty[0] + 2}: a node id is empty: fill it or remove the row"
        )
    graph = nx.Graph()
    if stations is not None:
        table = _table(stations)
        for column in ("id", "name", "latitude", "longitude"):
            if column not in table:
                raise DatasetError(
                    f"{stations}: column '{column}' is missing: needed are id, name, latitude, longitude"
                )
        names = dict(zip(table["id"], table["name"], strict=True))
        for row in table.itertuples():
            graph.add_node(
                str(row.name), position=(float(str(row.longitude)), float(str(row.latitude)))
            )
    else:
        names = {}
    for line, (first, second) in enumerate(
        zip(edges.iloc[:, 0], edges.iloc[:, 1], strict=True), start=2
    ):
        for node in (first, second):
            if names and node not in names:
                raise DatasetError(
                    f"{connections}, line {line}: station '{node}' is not in {stations}: add it there or remove the row"
                )
        graph.add_edge(str(names.get(first, first)), str(names.get(second, second)))
    graph.remove_nodes_from([node for node in list(graph) if graph.degree[node] == 0])
    return graph


def _table(path: str | Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a readable CSV file ({error})") from None


def connected_piece(graph: nx.Graph, nodes: int, centre: str | None = None) -> nx.Graph:
    """The `nodes` nodes nearest to `centre` (the best-connected node when None), in breadth-first
    order.
    """
    if centre is None:
        centre = max(graph, key=lambda node: (graph.degree[node], str(node)))
    if centre not in graph:
        raise DatasetError(
            f"station '{centre}' is not in the graph: choose one of its {len(graph)} nodes"
        )
    seen, queue = [centre], deque([centre])
    known = {centre}
    while queue and len(seen) < nodes:
        for neighbour in sorted(graph.neighbors(queue.popleft())):
            if neighbour not in known and len(seen) < nodes:
                known.add(neighbour)
                seen.append(neighbour)
                queue.append(neighbour)
    if len(seen) < nodes:
        raise DatasetError(
            f"only {len(seen)} nodes can be reached from '{centre}', {nodes} were asked for: choose fewer or another centre"
        )
    piece = nx.Graph()
    piece.add_nodes_from((node, graph.nodes[node]) for node in seen)
    piece.add_edges_from(graph.subgraph(seen).edges)
    return piece
