"""Problems in sequence, as the benchmarks of learners play them."""

from __future__ import annotations

from operator import attrgetter

import numpy as np

from benchmarks.sequences import ProblemSequence
from tests.planners.ramp.builders import sword
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.planners.numeric.symbolic_env import state_of


def test_each_problem_is_played_for_its_budget() -> None:
    env, maps = sword(2, max_steps=10)
    sequence = ProblemSequence(env, [{"map": each} for each in maps], 25, attrgetter("state"))
    generator, played, kept = np.random.default_rng(0), [], 0
    sequence.reset()
    for _ in range(50):
        before = env.state
        action = int(generator.choice(np.flatnonzero(sequence.action_masks())))
        *_, terminated, truncated, _ = sequence.step(action)
        played.append(env.instance)
        if env.state == before:
            kept += 1
            assert not sequence.action_masks()[action]
        if terminated or truncated:
            sequence.reset()
            assert sequence.action_masks().any()
    assert played == [maps[0]] * 25 + [maps[1]] * 25 and kept
    rows = sequence.timed_rows(first_by="policy")
    assert [(row["steps"], row["first_by"]) for row in rows] == [(25, "policy")] * 2
    assert all(row["episodes"] >= 3 and row["cpu_seconds"] >= 0 for row in rows)


def test_the_first_goal_and_the_shortest_episode() -> None:
    env, maps = sword(1)
    sequence = ProblemSequence(env, [{"map": maps[0]}], 100, state_of, true_masks=True)
    plan = shortest_plan(maps[0])
    assert plan is not None
    crafting = int(env.action_space.n) - 1  # changes nothing at the start
    for wasted in (2, 0):
        sequence.reset()
        for action in [crafting] * wasted + plan:
            assert (sequence.action_masks() == env.action_masks()).all()
            *_, terminated, _, _ = sequence.step(action)
        assert terminated
    (row,) = sequence.rows
    assert row["first_goal"] == len(plan) + 2 and row["best"] == len(plan)
    assert row["steps"] == 2 * len(plan) + 2 and row["episodes"] == 2
