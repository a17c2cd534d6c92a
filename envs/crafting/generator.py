"""Random instances of the crafting tasks, drawn as in PolyPlan, with our own exact check that a
plan exists.

PolyPlan draws x from 2 .. size - 1 and z from 2 .. size - 2 for the table, the agent and every
tree, and keeps free the cells that its game needs in front of them (towards larger z): one before
the table, two before a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import (
    CraftingCounts,
    CraftingInstance,
    CraftingMap,
    Task,
    check_domain,
)
from worldplan.milp.errors import ConfigError

CAPS: Mapping[Task, tuple[int, ...]] = {
    "wooden_sword": (8, 8, 0),
    "pogo_stick": (8, 8, 8, 0, 0),
}  # most of each item to start with
TRIES = 100  # places tried for one tree before the map counts as full
REJECTED = 1000  # unsolvable or repeated draws in a row before giving up

SMALLEST = 5  # cells per side that leave room for a table, the agent and a tree

Instance = TypeVar("Instance", bound=CraftingInstance)


def generate(task: Task, size: int, count: int, rng: np.random.Generator) -> list[CraftingMap]:
    """Solvable maps of size x size cells, no two of them equal.

    Raises:
        ConfigError: an unknown task, a map below 5 x 5, or fewer different solvable maps than asked
            for.
    """
    return _different(lambda: _draw(task, size, rng), count, tap_consumed=False)


def generate_counts(
    task: Task, size: int, count: int, rng: np.random.Generator, tap_consumed: bool = False
) -> list[CraftingCounts]:
    """Solvable instances of the basic variant, no two of them equal, with as many trees as a random
    map of size x size cells.

    Args:
        tap_consumed: the rules they are to be solvable under, see `crafting_rules.recipes`.

    Raises:
        ConfigError: as `generate`, or a consumed tap where the rules do not foresee it.
    """
    return _different(lambda: _draw(task, size, rng).counted(), count, tap_consumed)


def check_size(size: int) -> None:
    """Raises ConfigError: too small a map to draw at random."""
    if size < SMALLEST:
        raise ConfigError(
            f"crafting generator: size {size}: objects keep off the border, so a random map needs at least {SMALLEST} x {SMALLEST} cells"
        )


def _different(draw: Callable[[], Instance], count: int, tap_consumed: bool) -> list[Instance]:
    found: dict[Instance, None] = {}  # keeps the order
    rejected = 0
    while len(found) < count:
        instance = draw()
        if instance in found or shortest_plan(instance, tap_consumed) is None:
            rejected += 1
            if rejected == REJECTED:
                raise ConfigError(
                    f"crafting generator: only {len(found)} of {count} different solvable instances found: ask for fewer, or a larger map"
                )
        else:
            found[instance] = None
            rejected = 0
    return list(found)


def _draw(task: Task, size: int, rng: np.random.Generator) -> CraftingMap:
    """Any map, solvable or not."""
    check_domain(task, "map")
    check_size(size)

    def cell() -> tuple[int, int]:
        return int(rng.integers(2, size)), int(rng.integers(2, size - 1))

    wanted = int(rng.integers(0, size * (size // 3) + 1))
    table = agent = cell()
    while agent == table:
        agent = cell()
    taken = {table, (table[0], table[1] + 1), agent}
    trees: list[tuple[int, int]] = []
    while len(trees) < wanted:
        for _ in range(TRIES):
            x, z = cell()
            needed = {(x, z), (x, z + 1), (x, z + 2)}
            if not needed & taken:
                break
        else:
            break
        taken |= needed
        trees.append((x, z))

    def number(place: tuple[int, int]) -> int:
        return place[0] - 1 + (place[1] - 1) * size

    inventory = tuple(int(rng.integers(0, cap + 1)) for cap in CAPS[task])
    return CraftingMap(
        task, size, frozenset(map(number, trees)), number(table), number(agent), inventory
    )
