"""Shortest paths on a graph, and short closed tours over a few of its nodes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

Floats = NDArray[np.float64]


def shortest_paths(size: int, edges: list[tuple[int, int]]) -> tuple[Floats, NDArray[np.int32]]:
    """Shortest paths between all nodes of an undirected graph.

    Returns:
        Moves (size, size), and the node before the last of a path (size, size).
    """
    tails, heads = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = sparse.csr_matrix((np.ones(len(edges)), (tails, heads)), shape=(size, size))
    distance, before = csgraph.shortest_path(
        graph, directed=False, unweighted=True, return_predecessors=True
    )
    return distance, before


def closed_tour(distance: Floats, exact_up_to: int) -> tuple[float, list[int]]:
    """A short closed tour from node 0 through all nodes.

    Args:
        distance: (nodes, nodes) of a metric.
        exact_up_to: the tour is shortest if there are at most this many nodes besides node 0 (or at
            most two); else it comes from insertion and 2-opt.

    Returns:
        Its length, and the nodes in order, 0 first.
    """
    others = len(distance) - 1
    if others <= 2:
        order = list(range(others + 1))
        return _length(distance, order), order
    if others <= exact_up_to:
        return _held_karp(distance)
    order = _two_opt(distance, _insertion(distance))
    return _length(distance, order), order


def least_tour(distance: Floats, exact_up_to: int) -> float:
    """A lower bound of the length of a closed tour through all nodes.

    Up to a number of nodes it is the length. Beyond it, a shortest tour through some of them is a
    bound, as a detour to a further node is never shorter in a metric; and no move is shorter than 1
    between different nodes.

    Args:
        distance: (nodes, nodes) of a metric with distances of at least 1.
        exact_up_to: nodes besides node 0 up to which a shortest tour is computed.
    """
    if len(distance) - 1 <= exact_up_to:
        return closed_tour(distance, exact_up_to)[0]
    chosen, nearest = [0], distance[0].copy()
    for _ in range(exact_up_to):  # the node that is farthest from those before
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distance[chosen[-1]])
    some, _ = closed_tour(distance[np.ix_(chosen, chosen)], exact_up_to)
    return max(some, float(len(distance)))


def _length(distance: Floats, order: list[int]) -> float:
    return float(distance[order, order[1:] + order[:1]].sum())


def _insertion(distance: Floats) -> list[int]:
    """A tour by farthest insertion: the farthest node is added next, where it costs least."""
    order, nearest = [0], distance[0].copy()
    for _ in range(len(distance) - 1):
        node = int(np.argmax(nearest))
        following = order[1:] + order[:1]
        place = int(
            np.argmin(
                distance[order, node] + distance[node, following] - distance[order, following]
            )
        )
        order.insert(place + 1, node)
        nearest = np.minimum(nearest, distance[node])
        nearest[order] = -1.0
    return order


def _two_opt(distance: Floats, order: list[int]) -> list[int]:
    """Reverse the part of the tour that shortens it most, until no reversal does."""
    while True:
        following = order[1:] + order[:1]
        along = distance[order, following]
        gain = (
            along[:, None]
            + along[None, :]
            - distance[np.ix_(order, order)]
            - distance[np.ix_(following, following)]
        )
        i, j = divmod(int(np.argmax(np.triu(gain, 1))), len(order))
        if i >= j or gain[i, j] <= 1e-9:
            return order
        order = order[: i + 1] + order[i + 1 : j + 1][::-1] + order[j + 1 :]


@cache
def _layers(count: int) -> list[NDArray[np.int64]]:
    """Subsets of 1 to count - 1 of `count` nodes as bit masks, one array per size."""
    masks = np.arange(1 << count)
    sizes = np.array([mask.bit_count() for mask in range(1 << count)])
    return [masks[sizes == size] for size in range(1, count)]


def _held_karp(distance: Floats) -> tuple[float, list[int]]:
    """A shortest tour, by dynamic programming over (set visited, last node).

    One layer of sets of equal size at a time (Held and Karp 1962).
    """
    count = len(distance) - 1
    inner = distance[1:, 1:]
    best = np.full((1 << count, count), np.inf)
    best[1 << np.arange(count), np.arange(count)] = distance[0, 1:]
    for masks in _layers(count):
        reached = (best[masks][:, :, None] + inner[None]).min(1)
        for node in range(count):
            free = (masks >> node) & 1 == 0
            best[masks[free] | (1 << node), node] = reached[free, node]
    mask = (1 << count) - 1
    closing = best[mask] + distance[1:, 0]
    last = int(np.argmin(closing))
    length, order = float(closing[last]), [last + 1]
    while mask & (mask - 1):
        mask &= ~(1 << last)
        last = int(np.argmin(best[mask] + inner[:, last]))
        order.append(last + 1)
    return length, [0, *order[::-1]]
