"""Exact shortest plans of crafting tasks, in milliseconds.

Breadth-first search over abstract states: the inventory, the kind of cell under the agent (table,
tree or air) and the number of trees. The abstraction is exact, because all tree cells are
interchangeable, and so are all air cells. Inventory amounts are capped at `useful_inventory`: a
shortest plan uses no more, and a larger amount never disables an action. Without the cap the search
space is infinite, because a tap that is not consumed yields any number of sacks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from worldplan.envs.crafting.dynamics import MapDynamics, dynamics_of
from worldplan.envs.crafting.rules import Counts, CraftingCounts, CraftingInstance, Place, Recipe


class _Node(NamedTuple):
    """An abstract state. `place` is the kind of cell under the agent, "anywhere" for air; in the
    basic variant it is always "anywhere".
    """

    inventory: Counts
    trees: int
    place: Place


_Move = Place | int  # teleport to a cell of this kind, or use the recipe of this index


def shortest_plan(instance: CraftingInstance, tap_consumed: bool = False) -> list[int] | None:
    """A shortest plan from the start of an instance to its goal, as gym actions; None if there is
    no plan.

    Args:
        instance: the start state.
        tap_consumed: the rules, see `rules.recipes`.

    Raises:
        ConfigError: `tap_consumed` for another domain than the basic pogo stick.
    """
    dynamics = dynamics_of(instance, tap_consumed)
    moves = _search(instance, dynamics.recipes)
    if moves is None:
        return None
    if not isinstance(dynamics, MapDynamics):
        return [move for move in moves if isinstance(move, int)]
    plan, state = [], dynamics.start
    for move in moves:
        action = (
            dynamics.cells + move
            if isinstance(move, int)
            else _lowest_cell(dynamics, state.trees, state.position, move)
        )
        plan.append(action)
        state = dynamics.successor(state, action)
    return plan


def useful_inventory(task_recipes: tuple[Recipe, ...]) -> Counts:
    """Upper bound on the amount of each item that a shortest plan uses, from any start.

    Computed backwards from the goal recipe, which is used once. Each item is made by one recipe. A
    use of a recipe whose product is not needed can be dropped from a plan (if its only purpose was
    to move the agent to the table, a teleport replaces it). So a recipe is used at most as often as
    the other recipes need its product.
    """
    uses = [int(recipe.wins) for recipe in task_recipes]
    while True:  # iterates to the fixed point of uses -> demand -> uses
        demand = [
            sum(n * recipe.needs[item] for n, recipe in zip(uses, task_recipes, strict=True))
            for item in range(len(task_recipes[0].needs))
        ]
        uses_for_demand = [
            1
            if recipe.wins
            else max(
                -(-demand[item] // made) for item, made in enumerate(recipe.change) if made > 0
            )
            for recipe in task_recipes
        ]
        if uses_for_demand == uses:
            return tuple(demand)
        uses = uses_for_demand


def _search(instance: CraftingInstance, task_recipes: tuple[Recipe, ...]) -> list[_Move] | None:
    cap = useful_inventory(task_recipes)
    start, cells = _start(instance, cap)
    parents: dict[_Node, tuple[_Node, _Move] | None] = {start: None}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for move, following, wins in _successors(node, task_recipes, cap, cells):
            if wins:
                return [*_path(parents, node), move]
            if following not in parents:
                parents[following] = (node, move)
                queue.append(following)
    return None


def _start(instance: CraftingInstance, cap: Counts) -> tuple[_Node, int | None]:
    """The first node, and the number of cells without the table (None in the basic variant)."""
    inventory = tuple(map(min, instance.inventory, cap))
    if isinstance(instance, CraftingCounts):
        return _Node(inventory, instance.trees, "anywhere"), None
    place: Place = (
        "table"
        if instance.agent == instance.table
        else "tree"
        if instance.agent in instance.trees
        else "anywhere"
    )
    return _Node(inventory, len(instance.trees), place), instance.size**2 - 1


def _successors(
    node: _Node, task_recipes: tuple[Recipe, ...], cap: Counts, cells: int | None
) -> Iterator[tuple[_Move, _Node, bool]]:
    """(move, node after it, whether it reaches the goal) of every applicable move."""
    if cells is not None:
        exists: dict[Place, bool] = {
            "table": True,
            "tree": node.trees > 0,
            "anywhere": node.trees < cells,
        }
        for place, some in exists.items():
            if some and place != node.place:
                yield place, node._replace(place=place), False
    for index, recipe in enumerate(task_recipes):
        if not recipe.affordable(node.inventory) or not _place_allows(node, recipe, cells):
            continue
        after: Place = (
            node.place
            if cells is None
            else "anywhere"
            if recipe.fells
            else "table"
            if recipe.place == "table"
            else node.place
        )
        inventory = tuple(map(min, recipe.craft(node.inventory), cap))
        yield index, _Node(inventory, node.trees - int(recipe.fells), after), recipe.wins


def _place_allows(node: _Node, recipe: Recipe, cells: int | None) -> bool:
    """Whether the recipe's condition on the agent's place holds."""
    if recipe.place == "tree":
        return node.trees > 0 if cells is None else node.place == "tree"
    return recipe.place == "anywhere" or cells is None or node.place != "table"


def _path(parents: dict[_Node, tuple[_Node, _Move] | None], node: _Node) -> list[_Move]:
    """The moves from the first node to this one."""
    moves: list[_Move] = []
    step = parents[node]
    while step is not None:
        node, move = step
        moves.append(move)
        step = parents[node]
    return moves[::-1]


def _lowest_cell(dynamics: MapDynamics, trees: frozenset[int], position: int, place: Place) -> int:
    """The lowest-numbered cell of a kind, other than the agent's cell."""
    table = dynamics.instance.table
    candidates = (
        [table]
        if place == "table"
        else sorted(trees)
        if place == "tree"
        else [cell for cell in range(dynamics.cells) if cell != table and cell not in trees]
    )
    return next(cell for cell in candidates if cell != position)
