"""Items, recipes and instances of the Wooden Sword and Pogo Stick tasks (arXiv 2502.13006).

The variant "map" is the paper's advanced domain: a grid of cells with trees, one crafting table and
an agent that teleports. The variant "basic" has no grid and only counts the trees. Item amounts are
those of PolyPlan's PDDL domains. As in PolyPlan, crafting at the table moves the agent to the
table, and is not applicable if the agent already stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any, Literal, get_args

from worldplan.milp.errors import ConfigError

Task = Literal["wooden_sword", "pogo_stick"]
Variant = Literal["basic", "map"]
Place = Literal["anywhere", "tree", "table"]
Counts = tuple[int, ...]  # one amount per item of the task, in the order of ITEMS

TASKS: tuple[Task, ...] = get_args(Task)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
ITEMS: Mapping[Task, tuple[str, ...]] = {
    "wooden_sword": ("log", "planks", "stick"),
    "pogo_stick": ("log", "planks", "stick", "sack_polyisoprene_pellets", "tree_tap"),
}
GOAL: Mapping[Task, str] = {"wooden_sword": "have_wooden_sword", "pogo_stick": "have_pogo_stick"}
TREES = "trees_in_map"  # fluent of the basic variant
SIZES = (6, 10, 15)  # cells per side of the paper's maps
# The largest start value of any count. No count can then exceed 2^24 later, up to which float32
# represents every integer exactly.
MAX_START = 2**19


@dataclass(frozen=True, slots=True)
class Recipe:
    """An action that changes the inventory.

    Args:
        name: symbolic name.
        needs: least amount of each item that must be in the inventory.
        change: amount of each item that is added to the inventory (negative: removed).
        place: "tree": the agent must stand on a tree cell (basic: a tree must be left). "table":
            the agent must not stand on the table, and stands there afterwards (basic: no effect).
            "anywhere": no condition.
        fells: whether the tree is removed.
        wins: whether the recipe reaches the goal.
    """

    name: str
    needs: Counts
    change: Counts
    place: Place = "anywhere"
    fells: bool = False
    wins: bool = False

    def affordable(self, inventory: Counts) -> bool:
        """Whether the inventory contains the ingredients."""
        return all(have >= need for have, need in zip(inventory, self.needs, strict=True))

    def craft(self, inventory: Counts) -> Counts:
        """The inventory after crafting. Does not check the ingredients."""
        return tuple(have + more for have, more in zip(inventory, self.change, strict=True))


def check_domain(task: str, variant: str, tap_consumed: bool = False) -> None:
    """Check the names of a domain.

    Raises:
        ConfigError: the task or the variant is unknown, or `tap_consumed` is set for a domain other
            than the basic pogo stick.
    """
    if task not in TASKS:
        raise ConfigError(f"crafting task '{task}': must be one of {', '.join(TASKS)}")
    if variant not in VARIANTS:
        raise ConfigError(f"crafting variant '{variant}': must be one of {', '.join(VARIANTS)}")
    if tap_consumed and (task, variant) != ("pogo_stick", "basic"):
        raise ConfigError(
            "tap_consumed: only the basic pogo_stick task has a version that consumes the tap, "
            f"not {variant} {task}: leave it False"
        )


def recipes(task: Task, variant: Variant, tap_consumed: bool = False) -> tuple[Recipe, ...]:
    """All recipes of a domain, in the order of the gym actions: all actions but the teleport.

    Args:
        task: "wooden_sword" or "pogo_stick".
        variant: "map" or "basic".
        tap_consumed: whether PLACE_TREE_TAP consumes the tap, as in the dataset of numeric-sam. In
            PolyPlan it does not.

    Raises:
        ConfigError: see `check_domain`.
    """
    check_domain(task, variant, tap_consumed)

    def counts(**amounts: int) -> Counts:
        return tuple(amounts.get(item, 0) for item in ITEMS[task])

    shared = (
        Recipe(
            "break" if variant == "map" else "get_log", counts(), counts(log=1), "tree", fells=True
        ),
        Recipe("craft_plank", counts(log=1), counts(log=-1, planks=4)),
        Recipe("craft_stick", counts(planks=2), counts(planks=-2, stick=4)),
    )
    if task == "wooden_sword":
        return (
            *shared,
            Recipe(
                "craft_wooden_sword",
                counts(planks=2, stick=1),
                counts(planks=-2, stick=-1),
                "table",
                wins=True,
            ),
        )
    return (
        *shared,
        Recipe(
            "craft_tree_tap",
            counts(planks=5, stick=1),
            counts(planks=-5, stick=-1, tree_tap=1),
            "table",
        ),
        Recipe(
            "craft_wooden_pogo",
            counts(planks=2, stick=4, sack_polyisoprene_pellets=1),
            counts(planks=-2, stick=-4, sack_polyisoprene_pellets=-1),
            "table",
            wins=True,
        ),
        Recipe(
            "place_tree_tap",
            counts(tree_tap=1),
            counts(sack_polyisoprene_pellets=1, tree_tap=-int(tap_consumed)),
            "tree",
        ),
    )


@dataclass(frozen=True, slots=True)
class CraftingMap:
    """A start state of the map variant.

    Cells are numbered row by row, 0 .. size**2 - 1: the cell at column x and row z, both counted
    from 1, has number (x - 1) + (z - 1) * size.

    Args:
        task: "wooden_sword" or "pogo_stick".
        size: cells per side.
        trees: cells with a tree.
        table: cell of the crafting table.
        agent: cell where the agent starts.
        inventory: amount of each of `ITEMS[task]`.

    Raises:
        ConfigError: a cell off the grid, a tree on the table, an inventory of the wrong length, or
            a number that is not an integer from 0 to `MAX_START`.
    """

    task: Task
    size: int
    trees: frozenset[int]
    table: int
    agent: int
    inventory: Counts

    def __post_init__(self) -> None:
        check_domain(self.task, "map")
        _set_integer(self, "size", self.size, least=2)
        _set_integer(self, "table", self.table)
        _set_integer(self, "agent", self.agent)
        object.__setattr__(self, "trees", frozenset(_integers(self.trees, "trees")))
        object.__setattr__(self, "inventory", _inventory(self.task, self.inventory))
        off_grid = sorted(
            cell for cell in {*self.trees, self.table, self.agent} if cell >= self.size**2
        )
        if off_grid:
            raise ConfigError(
                f"crafting map: cells {off_grid} are off the grid: "
                f"a {self.size} x {self.size} map has cells 0 to {self.size**2 - 1}"
            )
        if self.table in self.trees:
            raise ConfigError(f"crafting map: cell {self.table} holds both the table and a tree")

    @property
    def variant(self) -> Variant:
        """Always "map"."""
        return "map"

    def to_counts(self) -> CraftingCounts:
        """The instance of the basic variant with as many trees and the same inventory."""
        return CraftingCounts(self.task, len(self.trees), self.inventory)


@dataclass(frozen=True, slots=True)
class CraftingCounts:
    """A start state of the basic variant.

    Args:
        task: "wooden_sword" or "pogo_stick".
        trees: number of trees.
        inventory: amount of each of `ITEMS[task]`.

    Raises:
        ConfigError: an inventory of the wrong length, or a number that is not an integer from 0 to
            `MAX_START`.
    """

    task: Task
    trees: int
    inventory: Counts

    def __post_init__(self) -> None:
        check_domain(self.task, "basic")
        _set_integer(self, "trees", self.trees)
        object.__setattr__(self, "inventory", _inventory(self.task, self.inventory))

    @property
    def variant(self) -> Variant:
        """Always "basic"."""
        return "basic"


CraftingInstance = CraftingMap | CraftingCounts


def _set_integer(instance: CraftingInstance, name: str, value: Any, least: int = 0) -> None:
    """Replace a field of the frozen instance by its checked value.

    Raises:
        ConfigError: the value is not an integer from `least` to `MAX_START`.
    """
    (number,) = _integers((value,), name)
    if number < least:
        raise ConfigError(f"crafting map: {name} is {number}: must be at least {least}")
    object.__setattr__(instance, name, number)


def _integers(values: Iterable[Any], name: str) -> list[int]:
    """The values as Python integers, checked.

    Raises:
        ConfigError: a value is not an integer, negative, or above `MAX_START`.
    """
    try:
        integers = [index(value) for value in values]
    except TypeError as error:
        raise ConfigError(f"crafting map: {name} is {values!r}: must be whole numbers") from error
    if min(integers, default=0) < 0:
        raise ConfigError(f"crafting map: {name} is {values!r}: no number may be negative")
    if max(integers, default=0) > MAX_START:
        raise ConfigError(f"crafting map: {name} is {values!r}: no number may be above {MAX_START}")
    return integers


def _inventory(task: Task, inventory: Iterable[Any]) -> Counts:
    """The amounts as a tuple, checked.

    Raises:
        ConfigError: not one valid amount per item of the task.
    """
    counts = tuple(_integers(inventory, "inventory"))
    if len(counts) != len(ITEMS[task]):
        raise ConfigError(
            f"crafting map: inventory {counts}: "
            f"must have {len(ITEMS[task])} numbers: {', '.join(ITEMS[task])}"
        )
    return counts
