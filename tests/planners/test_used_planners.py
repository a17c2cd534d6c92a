"""After `reset` or `restart`, shooting, MoDem and numeric planners decide like fresh ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.planners.modem.builders import agent_of
from tests.planners.numeric.test_numeric import MODEL, TEN, Line, problem
from worldplan.envs.edge_of_reach import PlaneDynamics
from worldplan.planners.base import Decision, Planner
from worldplan.planners.modem.planner import ModemPlanner, UniformPlanner
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.planner import NumericPlanner
from worldplan.planners.numeric.planning import solve
from worldplan.planners.shooting.planner import ShootingPlanner
from worldplan.planners.shooting.settings import METHODS, ShootingSettings

BOX = gym.spaces.Box(-1, 1, (2,), np.float32)
SMALL = ShootingSettings(samples=16, elites=4, iterations=2, horizon=3)


def summary(decision: Decision) -> tuple[Any, ...]:
    return np.asarray(decision.action).tolist(), decision.value, decision.bound, decision.status


def check(make: Callable[[], Planner], size: int) -> None:
    """Batches of changing size, single decisions and `act`, with resets in between."""
    used, generator = make(), np.random.default_rng(0)
    for round_number in range(8):
        count = int(generator.integers(1, 4))
        seen = [generator.normal(size=(count, size)).astype(np.float32) for _ in range(3)]
        before = [rows.copy() for rows in seen]
        seed = None if round_number % 3 == 2 else round_number
        fresh = make()
        answers = []
        for planner in (used, fresh):
            planner.reset(seed=seed)
            given = []
            for rows in seen:
                decisions = planner.plan_batch(rows)
                given.append([summary(decision) for decision in decisions])
                for decision in decisions:  # what was handed out belongs to the caller
                    for part in (decision.action, *decision.detail.values()):
                        if isinstance(part, np.ndarray) and part.flags.writeable:
                            part[...] = 0
            planner.restart(np.ones(count, bool))
            given.append([summary(planner.plan(seen[0][0])), planner.act(seen[0][0]).tolist()])
            answers.append(given)
        assert answers[0] == answers[1]
        for rows, copy in zip(seen, before, strict=True):
            np.testing.assert_array_equal(rows, copy)


@pytest.mark.parametrize("scale", ["elites", "running", "none"])
@pytest.mark.parametrize("method", METHODS)
def test_shooting(method: Any, scale: Any) -> None:
    for pick in ("mean", "draw"):
        settings = replace(SMALL, method=method, scale=scale, pick=pick)
        check(lambda s=settings: ShootingPlanner(PlaneDynamics(), BOX, s, seed=5, noise=0.1), 2)


@pytest.mark.parametrize("method", METHODS)
def test_restart_of_all_forgets_everything_but_the_random_numbers(method: Any) -> None:
    settings = replace(SMALL, method=method, scale="running")
    used, fresh = (ShootingPlanner(PlaneDynamics(), BOX, settings) for _ in range(2))
    rows = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    used.plan_batch(100 * rows)
    used.restart(np.ones(3, bool))
    used._generator = fresh._generator.clone_state()
    ours, others = used.plan_batch(rows), fresh.plan_batch(rows)
    assert list(map(summary, ours)) == list(map(summary, others))


@pytest.mark.parametrize("share", [1.0, 0.5, None])
def test_modem(share: float | None) -> None:
    agent = agent_of()
    check(lambda: ModemPlanner(agent, share=share, explore=True, seed=3), 5)
    check(lambda: UniformPlanner(2), 4)


class Counting(Planner):
    """Notes what it is asked to forget."""

    def __init__(self) -> None:
        self.begun: list[list[bool]] = []

    def plan(self, observation: Any) -> Decision:
        return Decision(0, None, None, "heuristic", 0.0)

    def restart(self, begun: np.ndarray) -> None:
        self.begun.append(begun.tolist())


def test_the_fallback_of_a_numeric_planner_is_restarted() -> None:
    fallback = Counting()
    planner = NumericPlanner.for_environment(Line(), MODEL, TEN, fallback=fallback)
    planner.restart(np.array([True, False]))
    assert fallback.begun == [[True, False]]


@pytest.mark.parametrize("name", ["search", "milp", "auto"])
def test_numeric_planners_solve_problem_after_problem(name: str) -> None:
    used = NumericPlanner(MODEL, lambda seen: problem(x=seen), lambda _, call: call, name)
    generator = np.random.default_rng(1)
    for start in generator.integers(1, 10, 12).tolist():
        fresh = NumericPlanner(MODEL, lambda seen: problem(x=seen), lambda _, call: call, name)
        used.reset()
        ours, others = used.plan(start), fresh.plan(start)
        assert summary(ours) == summary(others)
        assert ours.detail["plan"] == others.detail["plan"]
        again = solve(MODEL, problem(x=start), name)
        assert (again.plan, again.status) == (ours.detail["plan"], again.status)


def test_an_early_limit_is_said_plainly() -> None:
    result = milp_plan(MODEL, problem(), time_limit=1e-9)
    assert result.status == "time_limit" and result.detail["proven_horizon"] == -1
    assert "-1" not in result.detail["reason"]
    assert "before any number of actions was decided" in result.detail["reason"]
