"""The gymnasium ids of the crafting tasks."""

from __future__ import annotations

import gymnasium as gym

from worldplan.envs.crafting.rules import SIZES

ENTRY_POINT = "worldplan.envs.crafting.environment:CraftingEnv"  # imported by the first gym.make


def register_environments() -> None:
    """Register `worldplan/WoodenSwordBasic-v0`, `worldplan/WoodenSwordMap6-v0`, `...Map10-v0`,
    `...Map15-v0`, and the same four for `PogoStick`.
    """
    for task, name in (("wooden_sword", "WoodenSword"), ("pogo_stick", "PogoStick")):
        gym.register(
            f"worldplan/{name}Basic-v0", ENTRY_POINT, kwargs={"task": task, "variant": "basic"}
        )
        for size in SIZES:
            gym.register(
                f"worldplan/{name}Map{size}-v0",
                ENTRY_POINT,
                kwargs={"task": task, "variant": "map", "size": size},
            )
