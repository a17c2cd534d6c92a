"""Graphs for the path domain: random geometric ones, and connected pieces of a larger graph."""

from __future__ import annotations

from collections import deque
from functools import partial

import networkx as nx
import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.milp.sets.routes.graph import label_of, named_hint


def random_geometric(nodes: int, seed: int) -> nx.Graph:
    """A connected, sparse, roughly planar graph of random points.

    It holds their minimum spanning tree and the shortest of their other links.
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


def connected_piece(graph: nx.Graph, nodes: int, centre: str | None = None) -> nx.Graph:
    """The subgraph of the nodes nearest to a centre, in breadth-first order.

    Args:
        graph: the whole graph.
        nodes: number of nodes of the result.
        centre: the first node, by its id; None for the best-connected one.

    Raises:
        DatasetError: the centre is not in the graph, or too few nodes can be reached from it.
    """
    if centre is None:
        centre = best_connected(graph)
    if centre not in graph:
        raise DatasetError(
            f"station '{centre}' is not in the graph{named_hint(graph, centre)}: "
            f"choose one of its {len(graph)} nodes"
        )
    reached, queue = {centre: None}, deque([centre])  # a dictionary keeps the order
    while queue and len(reached) < nodes:
        for neighbour in sorted(graph.neighbors(queue.popleft()), key=partial(_order, graph)):
            if neighbour not in reached and len(reached) < nodes:
                reached[neighbour] = None
                queue.append(neighbour)
    if len(reached) < nodes:
        raise DatasetError(
            f"only {len(reached)} nodes can be reached from '{centre}', {nodes} were asked for: "
            "choose fewer or another centre"
        )
    piece = nx.Graph()
    piece.add_nodes_from((node, graph.nodes[node]) for node in reached)
    piece.add_edges_from(graph.subgraph(reached).edges)
    return piece


def best_connected(graph: nx.Graph) -> str:
    """The node with the most neighbours; of equals the last one by name, then by id."""
    best: str = max(graph, key=lambda node: (graph.degree[node], *_order(graph, node)))
    return best


def _order(graph: nx.Graph, node: str) -> tuple[str, str]:
    return label_of(graph, node), str(node)
