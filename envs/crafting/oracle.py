"""Shortest plans of crafting tasks, exactly and in milliseconds.

Breadth-first search on what matters of a state: the inventory, what the agent stands on (table,
tree or air), and how many trees are left. All trees are alike and all air cells are alike, so
nothing is lost. An inventory is cut off at `enough`, which keeps the search finite (a tap that is
not consumed gives sacks without end): more never hurts, and a shortest plan uses no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from worldplan.envs.crafting.dynamics import MapDynamics, dynamics_of
from worldplan.envs.crafting.rules import Counts, CraftingCounts, CraftingInstance, Place, Recipe


class _Node(NamedTuple):
    """`place` is where the agent stands, "anywhere" meaning on air; it stays so in the basic
    variant.
    """

    inventory: Counts
    trees: int
    place: Place


_Move = Place | int  # teleport to such a place, or the recipe of this number


def shortest_plan(instance: CraftingInstance, tap_consumed: bool = False) -> list[int] | None:
    """A shortest plan from the start of an instance to its goal, as gym actions; None if there is
    no plan.

    Raises:
        ConfigError: `tap_consumed` where the rules do not foresee it.
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
            else _nearest_number(dynamics, state.trees, state.position, move)
        )
        plan.append(action)
        state = dynamics.successor(state, action)
    return plan


def enough(known: tuple[Recipe, ...]) -> Counts:
    """Of each item, the most that a shortest plan can use, from whatever start.

    Goes backwards from the goal recipe, used once. Each item has one recipe that makes it; a use
    whose product nobody needs can be left out (where it moved the agent to the table, a teleport
    does the same), so it is used no more often than what is made of its product asks for.
    """
    uses = [int(recipe.wins) for recipe in known]
    while True:
        demand = [
            sum(count * recipe.needs[item] for count, recipe in zip(uses, known, strict=True))
            for item in range(len(known[0].needs))
        ]
        wanted = [
            1
            if recipe.wins
            else max(
                -(-demand[item] // more) for item, more in enumerate(recipe.change) if more > 0
            )
            for recipe in known
        ]
        if wanted == uses:
            return tuple(demand)
        uses = wanted


def _search(instance: CraftingInstance, known: tuple[Recipe, ...]) -> list[_Move] | None:
    cap = enough(known)
    start, cells = _start(instance, cap)
    came: dict[_Node, tuple[_Node, _Move] | None] = {start: None}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for move, following, wins in _successors(node, known, cap, cells):
            if wins:
                return [*_trace(came, node), move]
            if following not in came:
                came[following] = (node, move)
                queue.append(following)
    return None


def _start(instance: CraftingInstance, cap: Counts) -> tuple[_Node, int | None]:
    """The first node, and how many cells there are that are not the table (None without a map)."""
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
    node: _Node, known: tuple[Recipe, ...], cap: Counts, cells: int | None
) -> Iterator[tuple[_Move, _Node, bool]]:
    if cells is not None:
        there: dict[Place, bool] = {
            "table": True,
            "tree": node.trees > 0,
            "anywhere": node.trees < cells,
        }
        for place, exists in there.items():
            if exists and place != node.place:
                yield place, node._replace(place=place), False
    for number, recipe in enumerate(known):
        if not recipe.affordable(node.inventory) or not _stands_right(node, recipe, cells):
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
        yield number, _Node(inventory, node.trees - int(recipe.fells), after), recipe.wins


def _stands_right(node: _Node, recipe: Recipe, cells: int | None) -> bool:
    if recipe.place == "tree":
        return node.trees > 0 if cells is None else node.place == "tree"
    return recipe.place == "anywhere" or cells is None or node.place != "table"


def _trace(came: dict[_Node, tuple[_Node, _Move] | None], node: _Node) -> list[_Move]:
    moves: list[_Move] = []
    step = came[node]
    while step is not None:
        node, move = step
        moves.append(move)
        step = came[node]
    return moves[::-1]


def _nearest_number(
    dynamics: MapDynamics, trees: frozenset[int], position: int, place: Place
) -> int:
    """The lowest-numbered cell of a kind, other than the agent's."""
    table = dynamics.instance.table
    fitting = (
        [table]
        if place == "table"
        else sorted(trees)
        if place == "tree"
        else [c for c in range(dynamics.cells) if c != table and c not in trees]
    )
    return next(cell for cell in fitting if cell != position)
