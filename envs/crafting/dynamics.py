"""The transition rules of crafting tasks, as functions of immutable states: applicability,
successor states, observations and symbolic states.

A gym action is an index. A symbolic action is a name with its objects, such as `("tp_to", "cell3",
"cell7")`. States are hashable, for search.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.crafting.rules import (
    GOAL,
    ITEMS,
    TREES,
    Counts,
    CraftingCounts,
    CraftingInstance,
    CraftingMap,
    Recipe,
    recipes,
)
from worldplan.milp.errors import ConfigError, InfeasibleAction

Call = tuple[str, ...]
Atoms = frozenset[Call]
Fluents = dict[Call, int]
AIR, TREE, TABLE = 0, 1, 2  # block codes of the observation
TABLE_CELL = "crafting_table"  # name of the table's cell; a constant of the PDDL domain


class MapState(NamedTuple):
    """A state of the map variant; `reached` is whether the goal item was made."""

    inventory: Counts
    trees: frozenset[int]
    position: int
    reached: bool = False


class CountState(NamedTuple):
    """A state of the basic variant; `reached` is whether the goal item was made."""

    inventory: Counts
    trees: int
    reached: bool = False


class Dynamics(Protocol):
    """The transition rules of one instance. Actions are 0 .. actions - 1; other numbers are not
    checked.
    """

    @property
    def instance(self) -> CraftingInstance:
        """The start state as an instance."""
        ...

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes; they are the last actions."""
        ...

    @property
    def start(self) -> Any:
        """The start state."""
        ...

    @property
    def actions(self) -> int:
        """Number of gym actions."""
        ...

    @property
    def objects(self) -> Mapping[str, str]:
        """Name and type of every symbolic object, constants included."""
        ...

    def applicable(self, state: Any, action: int) -> bool:
        """Whether the preconditions of an action hold."""
        ...

    def successor(self, state: Any, action: int) -> Any:
        """The state after an applicable action."""
        ...

    def mask(self, state: Any) -> NDArray[np.bool_]:
        """Applicability of every action: bool (actions,)."""
        ...

    def observe(self, state: Any) -> NDArray[np.float32]:
        """The observation: float32 (size,)."""
        ...

    def call(self, state: Any, action: int) -> Call:
        """The symbolic action of a gym action in this state, applicable or not."""
        ...

    def action_of(self, state: Any, call: Call) -> int:
        """The gym action of a symbolic action in this state.

        Raises:
            InfeasibleAction: there is none with this name and these objects.
        """
        ...

    def symbols(self, state: Any) -> tuple[Atoms, Fluents]:
        """True ground atoms, and the value of every ground fluent."""
        ...


class MapDynamics:
    """The rules of the map variant. Actions: teleport to cell 0 .. size**2 - 1, then the recipes.

    Observations (3 + size**2 + items,), not normalised: [block under the agent, block of every
    cell, amount of each item, amount of the goal item, the agent's cell].
    """

    def __init__(self, instance: CraftingMap) -> None:
        self.instance, self.recipes = instance, recipes(instance.task, "map")
        self.cells = instance.size**2
        self.actions = self.cells + len(self.recipes)
        self.start = MapState(instance.inventory, instance.trees, instance.agent)
        self.names = tuple(
            TABLE_CELL if cell == instance.table else f"cell{cell}" for cell in range(self.cells)
        )
        self.objects: Mapping[str, str] = MappingProxyType(dict.fromkeys(self.names, "cell"))
        self._cell = {name: cell for cell, name in enumerate(self.names)}

    def applicable(self, state: MapState, action: int) -> bool:
        """Whether the preconditions of an action hold."""
        if action < self.cells:
            return action != state.position
        recipe = self.recipes[action - self.cells]
        if recipe.place == "tree" and state.position not in state.trees:
            return False
        if recipe.place == "table" and state.position == self.instance.table:
            return False
        return recipe.affordable(state.inventory)

    def successor(self, state: MapState, action: int) -> MapState:
        """The state after an applicable action."""
        if action < self.cells:
            return state._replace(position=action)
        recipe = self.recipes[action - self.cells]
        return MapState(
            recipe.craft(state.inventory),
            state.trees - {state.position} if recipe.fells else state.trees,
            self.instance.table if recipe.place == "table" else state.position,
            state.reached or recipe.wins,
        )

    def mask(self, state: MapState) -> NDArray[np.bool_]:
        """Applicability of every action: bool (actions,)."""
        mask = np.ones(self.actions, np.bool_)
        mask[state.position] = False
        mask[self.cells :] = [
            self.applicable(state, action) for action in range(self.cells, self.actions)
        ]
        return mask

    def blocks(self, state: MapState) -> NDArray[np.float32]:
        """Block code of every cell (size**2,)."""
        blocks = np.full(self.cells, AIR, np.float32)
        blocks[list(state.trees)] = TREE
        blocks[self.instance.table] = TABLE
        return blocks

    def observe(self, state: MapState) -> NDArray[np.float32]:
        """The observation: float32 (3 + size**2 + items,)."""
        blocks = self.blocks(state)
        rest = (*state.inventory, int(state.reached), state.position)
        return np.concatenate([blocks[[state.position]], blocks, np.array(rest, np.float32)])

    def call(self, state: MapState, action: int) -> Call:
        """The symbolic action of a gym action in this state, applicable or not."""
        here = self.names[state.position]
        if action < self.cells:
            return ("tp_to", here, self.names[action])
        recipe = self.recipes[action - self.cells]
        return (recipe.name,) if recipe.place == "anywhere" else (recipe.name, here)

    def action_of(self, state: MapState, call: Call) -> int:
        """The gym action of a symbolic action in this state.

        Raises:
            InfeasibleAction: the action is unknown, or its first cell is not the agent's.
        """
        name, *objects = call
        if name == "tp_to" and len(objects) == 2 and objects[1] in self._cell:
            action = self._cell[objects[1]]
        else:
            action = self.cells + _recipe_index(self.recipes, call)
        if call != self.call(state, action):
            raise InfeasibleAction(
                f"call {call}: the agent stands on {self.names[state.position]}, "
                f"so here it could only be {self.call(state, action)}"
            )
        return action

    def symbols(self, state: MapState) -> tuple[Atoms, Fluents]:
        """True ground atoms, and the value of every ground fluent."""
        cells = [
            ("tree_cell" if cell in state.trees else "air_cell", name)
            for cell, name in enumerate(self.names)
            if cell != self.instance.table
        ]
        atoms = {*cells, ("position", self.names[state.position])} | (
            {(GOAL[self.instance.task],)} if state.reached else set()
        )
        return frozenset(atoms), _inventory_fluents(self.instance, state.inventory)


class CountDynamics:
    """The rules of the basic variant. The actions are the recipes: those at a tree are applicable
    while a tree is left, those at the table everywhere.

    Observations (2 + items,), not normalised: [trees left, amount of each item, amount of the goal
    item].
    """

    def __init__(self, instance: CraftingCounts, tap_consumed: bool = False) -> None:
        self.instance, self.recipes = instance, recipes(instance.task, "basic", tap_consumed)
        self.actions = len(self.recipes)
        self.start = CountState(instance.inventory, instance.trees)
        self.objects: Mapping[str, str] = MappingProxyType({})

    def applicable(self, state: CountState, action: int) -> bool:
        """Whether the preconditions of an action hold."""
        recipe = self.recipes[action]
        return recipe.affordable(state.inventory) and (recipe.place != "tree" or state.trees >= 1)

    def successor(self, state: CountState, action: int) -> CountState:
        """The state after an applicable action."""
        recipe = self.recipes[action]
        return CountState(
            recipe.craft(state.inventory),
            state.trees - int(recipe.fells),
            state.reached or recipe.wins,
        )

    def mask(self, state: CountState) -> NDArray[np.bool_]:
        """Applicability of every action: bool (actions,). All False in a dead end."""
        return np.array(
            [self.applicable(state, action) for action in range(self.actions)], np.bool_
        )

    def observe(self, state: CountState) -> NDArray[np.float32]:
        """The observation: float32 (2 + items,)."""
        return np.array((state.trees, *state.inventory, int(state.reached)), np.float32)

    def call(self, state: CountState, action: int) -> Call:
        """The symbolic action of a gym action, applicable or not."""
        return (self.recipes[action].name,)

    def action_of(self, state: CountState, call: Call) -> int:
        """The gym action of a symbolic action.

        Raises:
            InfeasibleAction: there is none of this name, or objects are given.
        """
        action = _recipe_index(self.recipes, call)
        if call != self.call(state, action):
            raise InfeasibleAction(f"call {call}: actions of the basic variant take no objects")
        return action

    def symbols(self, state: CountState) -> tuple[Atoms, Fluents]:
        """True ground atoms, and the value of every ground fluent."""
        return frozenset([(GOAL[self.instance.task],)] if state.reached else []), {
            (TREES,): state.trees,
            **_inventory_fluents(self.instance, state.inventory),
        }


def dynamics_of(instance: CraftingInstance, tap_consumed: bool = False) -> Dynamics:
    """The transition rules of an instance.

    Args:
        instance: the start state.
        tap_consumed: see `rules.recipes`.

    Raises:
        ConfigError: `tap_consumed` for another domain than the basic pogo stick.
    """
    if isinstance(instance, CraftingCounts):
        return CountDynamics(instance, tap_consumed)
    if tap_consumed:
        raise ConfigError(
            "tap_consumed: only the basic pogo_stick task has a version that consumes the tap: "
            "leave it False for a map"
        )
    return MapDynamics(instance)


def fluent(item: str) -> str:
    """Name of the fluent that holds the amount of an item."""
    return f"count_{item}_in_inventory"


def _inventory_fluents(instance: CraftingInstance, inventory: Counts) -> Fluents:
    return {
        (fluent(item),): count for item, count in zip(ITEMS[instance.task], inventory, strict=True)
    }


def _recipe_index(task_recipes: tuple[Recipe, ...], call: Call) -> int:
    """Index of the recipe with the name of a symbolic action.

    Raises:
        InfeasibleAction: no recipe has this name.
    """
    names = [recipe.name for recipe in task_recipes]
    if call[0] not in names:
        raise InfeasibleAction(
            f"call {call}: there is no such action: give one of {', '.join(names)}, "
            "or in a map (tp_to, from, to) with cells of it"
        )
    return names.index(call[0])
