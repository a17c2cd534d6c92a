"""Random solvable instances of the crafting tasks, drawn as in PolyPlan.

PolyPlan draws the column x from 2 .. size - 1 and the row z from 2 .. size - 2, for the table, the
agent and every tree. The cells in front of an object (larger z) stay free: one for the table, two
for a tree. Here an exact search also rejects instances without a plan.
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

# largest start amount of each item
MAX_INVENTORY: Mapping[Task, tuple[int, ...]] = {
    "wooden_sword": (8, 8, 0),
    "pogo_stick": (8, 8, 8, 0, 0),
}
MAX_TREE_DRAWS = 100  # cells drawn for one tree; if none is free, the map has no more trees
MAX_REJECTED = 1000  # unsolvable or repeated instances in a row, after which generation fails
MIN_SIZE = 5  # cells per side; smaller maps have no room for a table, the agent and a tree

Instance = TypeVar("Instance", bound=CraftingInstance)


def generate(task: Task, size: int, count: int, rng: np.random.Generator) -> list[CraftingMap]:
    """Draw `count` different solvable maps of size x size cells.

    Args:
        task: "wooden_sword" or "pogo_stick".
        size: cells per side, at least 5.
        count: number of maps.
        rng: random numbers.

    Raises:
        ConfigError: an unknown task, a size below 5, or fewer than `count` different solvable maps
            were found.
    """
    return _draw_different(lambda: _draw(task, size, rng), count, tap_consumed=False)


def generate_counts(
    task: Task, size: int, count: int, rng: np.random.Generator, tap_consumed: bool = False
) -> list[CraftingCounts]:
    """Draw `count` different solvable instances of the basic variant, with the numbers of trees of
    random maps of size x size cells.

    Args:
        task: "wooden_sword" or "pogo_stick".
        size: cells per side of the random maps, at least 5.
        count: number of instances.
        rng: random numbers.
        tap_consumed: the rules under which the instances are solvable, see `rules.recipes`.

    Raises:
        ConfigError: as `generate`, or `tap_consumed` for another task than the pogo stick.
    """
    return _draw_different(lambda: _draw(task, size, rng).to_counts(), count, tap_consumed)


def check_size(size: int) -> None:
    """Check the size of random maps.

    Raises:
        ConfigError: a size below 5 cells per side.
    """
    if size < MIN_SIZE:
        raise ConfigError(
            f"crafting generator: size {size}: objects keep off the border, "
            f"so a random map needs at least {MIN_SIZE} x {MIN_SIZE} cells"
        )


def _draw_different(draw: Callable[[], Instance], count: int, tap_consumed: bool) -> list[Instance]:
    """Draw until there are `count` different solvable instances.

    Raises:
        ConfigError: `MAX_REJECTED` draws in a row were unsolvable or repeated.
    """
    instances: dict[Instance, None] = {}  # an ordered set
    rejected = 0
    while len(instances) < count:
        instance = draw()
        if instance in instances or shortest_plan(instance, tap_consumed) is None:
            rejected += 1
            if rejected == MAX_REJECTED:
                raise ConfigError(
                    f"crafting generator: only {len(instances)} of {count} different solvable "
                    "instances found: ask for fewer, or a larger map"
                )
        else:
            instances[instance] = None
            rejected = 0
    return list(instances)


def _draw(task: Task, size: int, rng: np.random.Generator) -> CraftingMap:
    """A random map, solvable or not."""
    check_domain(task, "map")
    check_size(size)

    def cell() -> tuple[int, int]:
        return int(rng.integers(2, size)), int(rng.integers(2, size - 1))

    tree_count = int(rng.integers(0, size * (size // 3) + 1))
    table = agent = cell()
    while agent == table:
        agent = cell()
    taken = {table, (table[0], table[1] + 1), agent}
    trees: list[tuple[int, int]] = []
    while len(trees) < tree_count:
        for _ in range(MAX_TREE_DRAWS):
            x, z = cell()
            tree_and_front = {(x, z), (x, z + 1), (x, z + 2)}
            if not tree_and_front & taken:
                break
        else:
            break
        taken |= tree_and_front
        trees.append((x, z))

    def number(place: tuple[int, int]) -> int:
        return place[0] - 1 + (place[1] - 1) * size

    inventory = tuple(int(rng.integers(0, most + 1)) for most in MAX_INVENTORY[task])
    return CraftingMap(
        task, size, frozenset(map(number, trees)), number(table), number(agent), inventory
    )
