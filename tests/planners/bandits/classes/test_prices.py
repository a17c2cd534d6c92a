"""Prices of classes against the fluid linear program, and against all joint actions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from tests.planners.bandits.builders import feasible, random_dynamics
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets import ActionSet, Budget, Capacity, PyomoSet, Schedule
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import is_classed
from worldplan.planners.bandits.classes import ClassBound, ClassPlanner
from worldplan.planners.bandits.classes.limits import ClassLimits
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.reasons import Explainer

ARMS, STATES, STEPS = 10, 3, 3
KINDS = ("budget", "exactly", "capacity", "schedule", "rules", "fixed", "fixed rules")


def rules(block: Any) -> None:
    """At most two of the first half, at least one of the second, at most four in all."""
    block.day = pyo.Constraint(expr=sum(block.a.values()) <= 4)
    block.north = pyo.Constraint(expr=sum(block.a[j] for j in range(5)) <= 2)
    block.south = pyo.Constraint(expr=sum(block.a[j] for j in range(5, 10)) >= 1)


def set_of(kind: str, generator: np.random.Generator) -> ActionSet:
    if kind == "budget":
        return Budget(ARMS, 3)
    if kind == "exactly":
        return Budget(ARMS, 3, exactly=True)
    if kind == "capacity":
        return Capacity(generator.integers(1, 4, ARMS), [4, 3], budget=4)
    if kind == "schedule":
        slots = np.array([[1, 1, 0], [0, 1, 1]], bool)
        return Schedule(slots[generator.integers(2, size=ARMS)], np.ones((2, 3), bool), 2)
    if kind == "rules":
        return PyomoSet(rules, ARMS)
    inner = set_of("rules" if kind == "fixed rules" else "capacity", generator)
    place = np.arange(ARMS)
    return fixed(inner, place == 1, np.isin(place, (2, 7)), place == 6)


def drawn(kind: str, seed: int) -> tuple[BanditInstance, np.random.Generator]:
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    dynamics = random_dynamics(generator, ARMS, STATES)
    if seed % 2:
        extra = generator.normal(size=(ARMS, 2, STATES, STATES))
        dynamics = dataclasses.replace(dynamics, action_reward=extra)
    initial = generator.dirichlet(np.ones(STATES), ARMS)
    instance = BanditInstance(
        dynamics, set_of(kind, generator), STEPS, initial, discount=(1.0, 0.9)[seed // 2]
    )
    if seed == 1:
        instance = dataclasses.replace(instance, ends=generator.integers(1, STEPS + 1, ARMS))
    return instance, generator


def cases() -> list[Any]:
    """Each kind with one seed, and the other seeds among the slow tests."""
    every = [(number, kind, seed) for number, kind in enumerate(KINDS) for seed in range(4)]
    return [
        pytest.param(kind, seed, marks=() if seed == number % 4 else pytest.mark.slow)
        for number, kind, seed in every
    ]


@pytest.mark.parametrize(("kind", "seed"), cases())
def test_the_bound_is_that_of_the_linear_program(kind: str, seed: int) -> None:
    instance, generator = drawn(kind, seed)
    bound, fluid = ClassBound(instance, gap=1e-5), FluidBound(instance)
    for left in (STEPS, 2, 1):
        start = generator.dirichlet(np.ones(STATES), ARMS)
        if left == 2:
            start = np.eye(STATES)[generator.integers(STATES, size=ARMS)]
        prices, expected = bound.solve(start, left), fluid.from_distribution(start, left)
        if "fixed" not in kind:  # the program's first step leaves out what is fixed today only
            assert prices.bound >= expected - 1e-6 * (1 + abs(expected))
            assert prices.lower <= expected + 1e-6 * (1 + abs(expected))
        assert prices.bound <= expected + 1e-3 * (1 + abs(expected - prices.zero))
        assert prices.lower <= prices.bound and not prices.limited


@pytest.mark.parametrize("kind", KINDS)
def test_decisions_are_within_the_gap_of_the_best_first_action(kind: str) -> None:
    instance, generator = drawn(kind, 0)
    exact = SolverSettings(gap=0.0)
    planner = ClassPlanner(instance, settings=exact, gap=1e-6)
    fluid = FluidPlanner(instance, window=STEPS, settings=exact)
    for left in (STEPS, 1):
        state = generator.integers(STATES, size=ARMS)
        observation = {"state": state, "steps_left": left}
        decision, best = planner.plan(observation), fluid.plan(observation)
        scale = 1e-4 * (1 + abs(best.value))
        assert instance.actions.contains(decision.action)
        assert decision.bound >= best.value - scale  # every first action keeps below it
        values = planner.action_values(observation)
        actions = feasible(instance)
        scores = np.where(actions == 1, values[:, 1], values[:, 0]).sum(1)
        chosen = np.where(decision.action == 1, values[:, 1], values[:, 0]).sum()
        assert chosen == pytest.approx(scores.max(), abs=scale)
        if left == 1:
            assert decision.value == pytest.approx(best.value, abs=scale)
            assert decision.value == pytest.approx(decision.bound, abs=scale)


def test_classes_are_those_that_the_limits_tell_apart() -> None:
    costs = [2, 3, 2, 3, 5, 2]
    limits = ClassLimits(Capacity(costs, [5, 4]), today=True)
    assert [limits.labels[j] == limits.labels[0] for j in range(6)] == [c == 2 for c in costs]
    assert sorted(limits.counts.tolist()) == [1.0, 2.0, 3.0]
    limits = ClassLimits(PyomoSet(rules, ARMS), today=True)
    assert len(limits.counts) == 2 and len(set(limits.labels[:5])) == 1


def test_many_arms_with_capacities_are_decided_by_prices() -> None:
    generator = np.random.default_rng(0)
    size = 320
    dynamics = random_dynamics(generator, size, 2)
    actions = Capacity(generator.integers(2, 4, size), np.full(30, 6))
    instance = BanditInstance(dynamics, actions, 3, np.full((size, 2), 0.5))
    assert is_classed(instance)
    planner = make_policy("fluid", PolicyContext(instance))
    decision = planner.plan({"state": generator.integers(2, size=size), "steps_left": 3})
    assert isinstance(planner, ClassPlanner) and actions.contains(decision.action)
    assert decision.gap is not None and decision.gap < 1e-3


def test_arms_that_the_limits_all_tell_apart_are_refused() -> None:
    def each(block: Any) -> None:
        block.rows = pyo.ConstraintList()
        for j in range(49):
            block.rows.add(block.a[j] + (j + 2) * block.a[j + 1] <= j + 2)

    instance = BanditInstance(
        random_dynamics(np.random.default_rng(0), 50, 2),
        PyomoSet(each, 50),
        3,
        np.full((50, 2), 0.5),
    )
    with pytest.raises(ConfigError, match="classes of arms apart"):
        ClassBound(instance)


def test_reasons_limit_the_search_for_prices_and_take_those_of_the_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = []
    whole = ClassBound.solve

    def solve(self: ClassBound, *args: Any, time_limit: float | None = None) -> Any:
        limits.append(time_limit)
        return whole(self, *args, time_limit=time_limit)

    monkeypatch.setattr(ClassBound, "solve", solve)
    instance, generator = drawn("capacity", 0)
    planner = ClassPlanner(instance)
    first, second = (
        {"state": generator.integers(STATES, size=ARMS), "steps_left": STEPS} for _ in range(2)
    )
    reasons = Explainer(planner, instance, first, time_limit=7.0).reasons()
    assert limits == [7.0] and reasons.left_out == ()
    decision = planner.plan(second)
    values = planner.action_values(second)
    assert len(limits) == 2
    fresh = ClassPlanner(instance)
    np.testing.assert_array_equal(values, fresh.action_values(second))
    assert fresh.plan(second).value == decision.value
