"""The gymnasium id of numeric PDDL domains."""

from __future__ import annotations

import gymnasium as gym

ID = "worldplan/NumericPddl-v0"
ENTRY_POINT = "worldplan.planners.numeric.pddl_env.environment:PddlEnv"  # imported by gym.make


def register_environments() -> None:
    """Register `worldplan/NumericPddl-v0`, whose arguments are those of `PddlEnv`."""
    gym.register(ID, ENTRY_POINT)
