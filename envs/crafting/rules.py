"""The Wooden Sword and Pogo Stick tasks of the RAMP paper (arXiv 2502.13006): items, recipes and
instances, without Minecraft.

"map" is the paper's advanced domain, a grid of cells with trees, one crafting table and an agent
that teleports; "basic" only counts the trees. Amounts are those of the PDDL domains of PolyPlan.
Crafting at the table teleports there and must start elsewhere: odd, but so it is.
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
Counts = tuple[int, ...]  # one number per item of the task

TASKS: tuple[Task, ...] = get_args(Task)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
ITEMS: Mapping[Task, tuple[str, ...]] = {
    "wooden_sword": ("log", "planks", "stick"),
    "pogo_stick": ("log", "planks", "stick", "sack_polyisoprene_pellets", "tree_tap"),
}
GOAL: Mapping[Task, str] = {"wooden_sword": "have_wooden_sword", "pogo_stick": "have_pogo_stick"}
TREES = "trees_in_map"  # fluent of the basic variant
MOST = (
    2**19
)  # of anything at the start: then no count can ever grow beyond 2^24, up to where float32 is exact


@dataclass(frozen=True, slots=True)
class Recipe:
    """An action that works on the inventory.

    Args:
        name: its symbolic name.
        needs: least inventory it may start from.
        change: what it adds to the inventory (negative: takes).
        place: "tree": on a tree cell (basic: while a tree is left); "table": starts away from the
            table and ends at it (basic: no matter).
        fells: whether the tree is gone afterwards.
        wins: whether it reaches the goal.
    """

    name: str
    needs: Counts
    change: Counts
    place: Place = "anywhere"
    fells: bool = False
    wins: bool = False

    def affordable(self, inventory: Counts) -> bool:
        """Whether the inventory holds what is needed."""
        return all(have >= need for have, need in zip(inventory, self.needs, strict=True))

    def craft(self, inventory: Counts) -> Counts:
        """The inventory afterwards, needs unasked."""
        return tuple(have + more for have, more in zip(inventory, self.change, strict=True))


def check_domain(task: str, variant: str, tap_consumed: bool = False) -> None:
    """Raises ConfigError: an unknown task or variant, or a consumed tap where the rules do not
    foresee it.
    """
    if task not in TASKS:
        raise ConfigError(f"crafting task '{task}': must be one of {', '.join(TASKS)}")
    if variant not in VARIANTS:
        raise ConfigError(f"crafting variant '{variant}': must be one of {', '.join(VARIANTS)}")
    if tap_consumed and (task, variant) != ("pogo_stick", "basic"):
        raise ConfigError(
            f"tap_consumed: only the basic pogo_stick task has a version that consumes the tap, not {variant} {task}: leave it False"
        )


def recipes(task: Task, variant: Variant, tap_consumed: bool = False) -> tuple[Recipe, ...]:
    """Every action but the teleport, in the order of the gym actions.

    Args:
        tap_consumed: whether PLACE_TREE_TAP uses the tap up (the dataset of numeric-sam) or leaves
            it (PolyPlan).

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
    """An instance of the map variant. Cells are numbered row by row, 0 .. size^2 - 1: (x - 1) + (z
    - 1) * size with x, z in 1 .. size.

    Args:
        task: "wooden_sword" or "pogo_stick".
        size: cells per side.
        trees: cells that hold a tree.
        table: cell of the crafting table.
        agent: cell where the agent starts.
        inventory: how many there are of each of `ITEMS[task]`.

    Raises:
        ConfigError: a cell off the grid, a tree on the table, or an inventory of the wrong length
            or with a negative number.
    """

    task: Task
    size: int
    trees: frozenset[int]
    table: int
    agent: int
    inventory: Counts

    def __post_init__(self) -> None:
        check_domain(self.task, "map")
        _set_whole(self, "size", self.size, least=2)
        _set_whole(self, "table", self.table)
        _set_whole(self, "agent", self.agent)
        object.__setattr__(self, "trees", frozenset(_wholes(self.trees, "trees")))
        object.__setattr__(self, "inventory", _inventory(self.task, self.inventory))
        off = sorted(cell for cell in {*self.trees, self.table, self.agent} if cell >= self.size**2)
        if off:
            raise ConfigError(
                f"crafting map: cells {off} are off the grid: a {self.size} x {self.size} map has cells 0 to {self.size**2 - 1}"
            )
        if self.table in self.trees:
            raise ConfigError(f"crafting map: cell {self.table} holds both the table and a tree")

    @property
    def variant(self) -> Variant:
        """ "map"."""
        return "map"

    def counted(self) -> CraftingCounts:
        """The same instance of the basic variant."""
        return CraftingCounts(self.task, len(self.trees), self.inventory)


@dataclass(frozen=True, slots=True)
class CraftingCounts:
    """An instance of the basic variant.

    Args:
        task: "wooden_sword" or "pogo_stick".
        trees: how many trees there are.
        inventory: how many there are of each of `ITEMS[task]`.

    Raises:
        ConfigError: a negative number, or an inventory of the wrong length.
    """

    task: Task
    trees: int
    inventory: Counts

    def __post_init__(self) -> None:
        check_domain(self.task, "basic")
        _set_whole(self, "trees", self.trees)
        object.__setattr__(self, "inventory", _inventory(self.task, self.inventory))

    @property
    def variant(self) -> Variant:
        """ "basic"."""
        return "basic"


CraftingInstance = CraftingMap | CraftingCounts


def _set_whole(instance: CraftingInstance, name: str, value: Any, least: int = 0) -> None:
    (number,) = _wholes((value,), name)
    if number < least:
        raise ConfigError(f"crafting map: {name} is {number}: must be at least {least}")
    object.__setattr__(instance, name, number)


def _wholes(values: Iterable[Any], name: str) -> list[int]:
    """The numbers as Python integers, none of them negative."""
    try:
        whole = [index(value) for value in values]
    except TypeError as error:
        raise ConfigError(f"crafting map: {name} is {values!r}: must be whole numbers") from error
    if min(whole, default=0) < 0:
        raise ConfigError(f"crafting map: {name} is {values!r}: no number may be negative")
    if max(whole, default=0) > MOST:
        raise ConfigError(f"crafting map: {name} is {values!r}: no number may be above {MOST}")
    return whole


def _inventory(task: Task, inventory: Iterable[Any]) -> Counts:
    counts = tuple(_wholes(inventory, "inventory"))
    if len(counts) != len(ITEMS[task]):
        raise ConfigError(
            f"crafting map: inventory {counts}: must have {len(ITEMS[task])} numbers: {', '.join(ITEMS[task])}"
        )
    return counts
