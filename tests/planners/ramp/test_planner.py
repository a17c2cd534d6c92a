"""The planner that a RAMP run results in."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym

from tests.planners.ramp.builders import ramp_on, sword
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import CraftingMap
from worldplan.planners.base import evaluate
from worldplan.planners.numeric.symbolic_env import crafting_task
from worldplan.planners.ramp.planner import RampPlanner


def test_the_finished_run_is_a_planner(tmp_path) -> None:
    env, maps = sword(4, 1)
    ramp = ramp_on(env)
    ramp.run([{"map": instance} for instance in maps], 400, tmp_path)
    wrapped = gym.wrappers.TimeLimit(env, 60)
    env.reset(options={"map": maps[2]})
    planner = RampPlanner.load(tmp_path, env, *crafting_task(env))
    table = evaluate(planner, wrapped, 2, seed=0).episodes
    assert (
        list(table["success"]) == [1, 1]
        and list(table["length"]) == [len(shortest_plan(maps[2]) or ())] * 2
    )
    decision = planner.plan(env.reset()[0])
    assert decision.detail["source"] == "plan" and decision.action == env.action_of(
        decision.detail["plan"][0]
    )


def test_without_a_plan_the_policy_decides() -> None:
    env, _ = sword(1, 3)
    planner = RampPlanner(ramp_on(env))
    observation, _ = env.reset()
    decision = planner.plan(observation)
    assert decision.detail == {"source": "policy"} and env.action_space.contains(decision.action)


def test_an_optimistic_plan_that_succeeds_is_used_in_the_next_episode() -> None:
    """The goal is one action away, so each episode starts in the state of the last decision."""
    learned = CraftingMap("wooden_sword", 5, frozenset({6}), 12, 8, (0, 8, 1))
    env = CraftingEnv("wooden_sword", maps=learned, max_steps=60)
    ramp = ramp_on(env)
    assert ramp.run_map(400).best == 1
    env = ramp.env = CraftingEnv("wooden_sword", maps=replace(learned, inventory=(0, 7, 2)))
    planner = RampPlanner(ramp)
    assert list(evaluate(planner, env, 3, seed=0).episodes["length"]) == [1, 1, 1]
    planner.reset()
    assert planner.plan(env.reset()[0]).detail["source"] == "guess", "never tried with these items"
