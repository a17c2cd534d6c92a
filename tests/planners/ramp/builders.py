"""Environments, runs and random walks that the tests of RAMP use."""

from __future__ import annotations

import numpy as np

from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.rules import CraftingMap
from worldplan.planners.numeric.symbolic_env import crafting_task, state_of
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.ramp import Ramp
from worldplan.planners.ramp.settings import RampSettings

SMALL = RampSettings(net=(8,), rollout=64, epochs=2, imitation_epochs=2)


def sword(count: int, seed: int = 0, max_steps: int = 60) -> tuple[CraftingEnv, list[CraftingMap]]:
    """Random 5 x 5 sword maps, and an environment on the first of them."""
    maps = generate("wooden_sword", 5, count, np.random.default_rng(seed))
    return CraftingEnv("wooden_sword", maps=maps[0], max_steps=max_steps), maps


def ramp_on(env: CraftingEnv, settings: RampSettings = SMALL, **arguments: object) -> Ramp:
    """A new run on the environment's task."""
    return Ramp(env, *crafting_task(env), settings, **arguments)  # type: ignore[arg-type]


def timeless(ramp: Ramp) -> list[dict]:
    """The records of a run without their times."""
    return [{**record.to_dict(), "planning_seconds": 0} for record in ramp.records]


def walk(env: CraftingEnv, steps: int, seed: int, experience: Experience) -> None:
    """Take random steps and record them in the experience."""
    generator, views = np.random.default_rng(seed), experience.views
    env.reset()
    for _ in range(steps):
        before, action = state_of(env), int(generator.integers(env.action_space.n))
        calls = [views.splitter.split(env.call(number)) for number in range(env.action_space.n)]
        experience.offer([views.view(call, before) for call in calls])
        *_, terminated, truncated, _ = env.step(action)
        experience.add(calls[action], before, state_of(env))
        if terminated or truncated:
            env.reset()
