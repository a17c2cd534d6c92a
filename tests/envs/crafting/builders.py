"""Crafting instances that the tests use."""

from __future__ import annotations

from hypothesis import strategies as st

from worldplan.envs.crafting.rules import ITEMS, TASKS, CraftingCounts, CraftingMap

SETTINGS = [(task, variant, False) for task in TASKS for variant in ("basic", "map")] + [
    ("pogo_stick", "basic", True)
]  # task, variant, tap_consumed
MAP = CraftingMap("pogo_stick", 4, frozenset({1, 5}), table=10, agent=3, inventory=(1, 6, 2, 0, 0))
SWORD = CraftingMap("wooden_sword", 4, frozenset({5}), table=6, agent=6, inventory=(0, 4, 0))


@st.composite
def instances(draw, task, variant, sizes=(2, 4), most=9):
    """Any instance, solvable or not."""
    inventory = tuple(draw(st.integers(0, most)) for _ in ITEMS[task])
    if variant == "basic":
        return CraftingCounts(task, draw(st.integers(0, 3)), inventory)
    size = draw(st.integers(*sizes))
    cell = st.integers(0, size**2 - 1)
    table = draw(cell)
    return CraftingMap(
        task,
        size,
        frozenset(draw(st.sets(cell, max_size=size**2)) - {table}),
        table,
        draw(cell),
        inventory,
    )
