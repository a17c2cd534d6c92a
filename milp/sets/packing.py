"""Packing items of given costs on workers of given capacity: patterns, heuristics, exact search."""

from __future__ import annotations

import numpy as np

ENUMERATION_LIMIT = 20_000  # partial patterns visited before `maximal_patterns` gives up

Pattern = tuple[int, ...]


def maximal_patterns(
    costs: list[float], available: list[int], capacity: float, limit: int
) -> list[Pattern] | None:
    """The loads of one worker to which no further item can be added.

    A pattern counts the items of each cost class (Gilmore and Gomory 1961).

    Args:
        costs: cost of each class, ascending.
        available: items of each class.
        capacity: largest total cost of a pattern.
        limit: most patterns.

    Returns:
        The patterns, or None if there are more than `limit`, or too many to enumerate.
    """
    patterns: list[Pattern] = []
    # (counts of the most expensive classes so far, capacity left)
    partial: list[tuple[Pattern, float]] = [((), capacity)]
    visited = 0
    while partial:
        pattern, room = partial.pop()
        visited += 1
        if len(patterns) > limit or visited > ENUMERATION_LIMIT:
            return None
        if len(pattern) == len(costs):
            counts = pattern[::-1]
            if all(
                count == most or cost > room
                for count, most, cost in zip(counts, available, costs, strict=True)
            ):
                patterns.append(counts)
            continue
        place = len(costs) - 1 - len(pattern)
        fits = min(available[place], int(room // costs[place]))
        lowest = fits if place == 0 else 0  # a maximal pattern is filled up with the cheapest class
        partial.extend((pattern + (k,), room - k * costs[place]) for k in range(lowest, fits + 1))
    return patterns if len(patterns) <= limit else None


def fit_decreasing(costs: list[float], room: list[float], *, tightest: bool) -> list[int] | None:
    """The worker of each item, by first-fit or best-fit, or None where an item finds no room.

    Args:
        costs: cost of each item, descending.
        room: capacity of each worker.
        tightest: the worker with the least room left (best-fit); otherwise the first with room.
    """
    left, placed = room.copy(), []
    for cost in costs:
        fitting = [i for i, free in enumerate(left) if free >= cost]
        if not fitting:
            return None
        worker = min(fitting, key=left.__getitem__) if tightest else fitting[0]
        left[worker] -= cost
        placed.append(worker)
    return placed


def search_packing(costs: list[float], room: list[float], limit: int) -> list[int] | str | None:
    """The worker of each item by depth-first search.

    A state (items placed, sorted capacities left) that failed is not entered again.

    Args:
        costs: cost of each item, descending.
        room: capacity of each worker.
        limit: most states entered.

    Returns:
        The packing, None if there is provably none, or "undecided" at the limit.
    """
    failed: set[tuple[int, tuple[float, ...]]] = set()
    remaining = np.append(np.cumsum(costs[::-1])[::-1], 0.0).tolist()
    left, placed, nodes = room.copy(), [0] * len(costs), 0

    def place_from(k: int) -> bool:
        """Place item `k` and those after it."""
        nonlocal nodes
        if k == len(costs):
            return True
        useful = tuple(sorted(round(free, 9) for free in left if free >= costs[-1]))
        if (k, useful) in failed or nodes >= limit or sum(useful) + 1e-6 < remaining[k]:
            return False
        nodes += 1
        tried = set()
        for worker in sorted(range(len(left)), key=left.__getitem__):
            free = left[worker]
            if free < costs[k] or free in tried:
                continue
            tried.add(free)
            left[worker], placed[k] = free - costs[k], worker
            if place_from(k + 1):
                return True
            left[worker] = free
        failed.add((k, useful))
        return False

    if place_from(0):
        return placed
    return "undecided" if nodes >= limit else None
