"""A planner that has decided before decides as a fresh one: same action, value, bound, status."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from tests.planners.bandits.builders import instance_of, random_dynamics
from worldplan.envs.bandits.domains import DOMAINS, generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.errors import SolverFailed, WorldplanError
from worldplan.milp.highs import HighsSession
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.observations import one_hot
from worldplan.planners.bandits.policies import (
    POLICIES,
    PolicyContext,
    make_policy,
)
from worldplan.planners.bandits.sequoia.greedy import greedy_planner
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner, build_network
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.base import Decision, Planner

KINDS = (*DOMAINS, "exactly", "custom", "equal arms", "ensemble")
TRAINED = ("sequoia", "sequoia_paper", "iterative_dqn", "repaired_dqn")
NAMES = [name for name in POLICIES if name not in TRAINED]


def pairs(block: Any) -> None:
    """Rules of one's own: arms in pairs, at most four, not the empty action."""
    block.rows = pyo.ConstraintList()
    for arm in range(0, 6, 2):
        block.rows.add(block.a[arm] == block.a[arm + 1])
    block.rows.add(sum(block.a[arm] for arm in block.arms) <= 4)
    block.rows.add(sum(block.a[arm] for arm in block.arms) >= 2)


def instance_of_kind(kind: str) -> BanditInstance:
    if kind in DOMAINS:
        return generate(kind, 6, 2, seed=1, horizon=7)
    dynamics = random_dynamics(np.random.default_rng(3), 6, 3)
    if kind == "custom":
        return BanditInstance(dynamics, PyomoSet(pairs, 6), 7, np.full((6, 3), 1 / 3))
    if kind == "equal arms":  # every solve has many optima
        transition = np.repeat(dynamics.transition[:1].round(1), 6, axis=0)
        transition[..., -1] += 1 - transition.sum(-1)
        dynamics = ArmDynamics(transition, np.tile([0.0, 1.0, 2.0], (6, 1)))
    return instance_of(dynamics, Budget(6, 2, exactly=kind == "exactly"), 7)


def context_of(kind: str, solver: str = "highs") -> PolicyContext:
    instance = instance_of_kind(kind)
    settings = SolverSettings(solver, gap=0.02)
    generator, models = np.random.default_rng(5), None
    if kind == "ensemble":
        models = tuple(random_dynamics(generator, 6, 3) for _ in range(3))
    return PolicyContext(instance, models, solver=settings, samples=4, fluid_window=2)


def summary(decision: Decision) -> tuple[Any, ...]:
    return decision.action.tolist(), decision.value, decision.bound, decision.status


def observations(instance: BanditInstance, generator: np.random.Generator, count: int) -> Any:
    """States and steps to go that jump up and down."""
    states, arms = instance.dynamics.states, instance.dynamics.arms
    return {
        "state": generator.integers(0, states, (count, arms)),
        "steps_left": generator.integers(1, instance.horizon + 1, count),
    }


def decisions(planner: Planner, seen: Any, way: int) -> list[tuple[Any, ...]]:
    """By `plan`, `plan_batch` or `act`; random numbers start anew."""
    planner.reset(seed=way)
    if way == 0:
        return [summary(decision) for decision in planner.plan_batch(seen)]
    each = [{name: column[i] for name, column in seen.items()} for i in range(len(seen["state"]))]
    if way == 1:
        return [summary(planner.plan(observation)) for observation in each]
    return [(planner.act(observation).tolist(),) for observation in each]


def check_planner(make: Callable[[], Planner], instance: BanditInstance, rounds: int) -> None:
    """Decisions of one planner against those of a fresh planner per round."""
    used, generator = make(), np.random.default_rng(0)
    for number in range(rounds):
        seen = observations(instance, generator, 1 + number % 3)
        before = {name: column.copy() for name, column in seen.items()}
        assert decisions(used, seen, number % 3) == decisions(make(), seen, number % 3)
        for name, column in seen.items():  # the caller's arrays are left alone
            np.testing.assert_array_equal(column, before[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_policy_on_every_kind_of_instance(name: str, kind: str) -> None:
    context = context_of(kind)
    if (
        name in ("whittle", "thompson", "ucwhittle")
        and context.instance.dynamics.effect is not None
    ):
        pytest.skip("not defined for several interventions per arm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        check_planner(lambda: make_policy(name, context), context.instance, 9)


@pytest.mark.parametrize("kind", ["capacity", "interventions", "equal arms"])
@pytest.mark.parametrize("name", ["fluid", "myopic"])
def test_with_gurobi(name: str, kind: str) -> None:
    pytest.importorskip("gurobipy")
    context = context_of(kind, "gurobi")
    check_planner(lambda: make_policy(name, context), context.instance, 9)


@pytest.mark.parametrize("kind", ["capacity", "path", "interventions"])
@pytest.mark.parametrize("networks", [1, 2])
def test_learned_policies(kind: str, networks: int) -> None:
    instance = instance_of_kind(kind)
    small = SequoiaSettings(hidden=(6, 6))
    members = [build_network(instance, small, seed) for seed in range(networks)]
    settings = SolverSettings(gap=0.001)
    check_planner(lambda: SequoiaPlanner(instance, members, settings), instance, 6)
    check_planner(lambda: greedy_planner(instance, members[0]), instance, 3)


@pytest.mark.parametrize("kind", ["budget", "exactly", "equal arms"])
def test_the_price_planner_and_bound(kind: str) -> None:
    instance = instance_of_kind(kind)
    check_planner(lambda: LagrangianPlanner(instance), instance, 12)
    check_bound(lambda: LagrangianBound(instance), instance, 12)


def check_bound(make: Callable[[], Any], instance: BanditInstance, rounds: int) -> None:
    used, generator, states = make(), np.random.default_rng(1), instance.dynamics.states
    for number in range(rounds):
        seen = observations(instance, generator, 1)
        state, left = seen["state"][0], int(seen["steps_left"][0])
        if number % 3 == 2:
            start = 0.5 * one_hot(state, states) + 0.5 / states
            assert used.from_distribution(start, left) == make().from_distribution(start, left)
        else:
            steps = None if number % 3 else left
            assert used.from_state(state, steps) == make().from_state(state, steps)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("kind", ["capacity", "schedule", "path", "interventions", "equal arms"])
def test_the_fluid_bound(kind: str, solver: str) -> None:
    if solver == "gurobi":
        pytest.importorskip("gurobipy")
    instance, settings = instance_of_kind(kind), SolverSettings(solver)
    check_bound(lambda: FluidBound(instance, settings), instance, 9)


@pytest.mark.parametrize("kind", ["capacity", "path", "interventions", "custom"])
def test_the_level_maximiser(kind: str) -> None:
    instance, generator = instance_of_kind(kind), np.random.default_rng(2)
    settings = SolverSettings(gap=0.1)
    used = LevelMaximiser(instance, settings)
    for _ in range(15):
        values = generator.integers(-2, 4, (6, instance.dynamics.levels)).astype(float)
        fresh = LevelMaximiser(instance, settings).maximise(values)
        assert summary(used.maximise(values)) == summary(fresh)


def test_the_decision_that_was_wrong_once() -> None:
    """Final values were looked up by the address of an object that was gone: 134.08."""
    instance = generate("capacity", 10, 3, seed=1, horizon=10)
    planner = make_policy("fluid", PolicyContext(instance))
    state = instance.draw_start(np.random.default_rng([3, 0]), 1)[0]
    first = planner.plan({"state": state, "steps_left": 10})
    generator = np.random.default_rng([3, 0])
    generator.random(instance.dynamics.arms)
    state = instance.dynamics.sample_next(state, first.action, generator)
    second = planner.plan({"state": state, "steps_left": 9})
    assert second.value == pytest.approx(118.91, abs=0.005)


@pytest.mark.parametrize("name", ["fluid", "myopic", "whittle"])
@pytest.mark.parametrize("method", ["set_cost", "set_row_bounds", "solve", "_read"])
def test_after_an_interrupt_in_the_middle_of_a_decision(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of("capacity")
    used, generator = make_policy(name, context), np.random.default_rng(4)
    original = getattr(HighsSession, method)
    for call in range(1, 7):
        seen, calls = observations(context.instance, generator, 1), iter(range(1, 100))

        def interrupted(*args: Any, _at: int = call, _calls: Any = calls, **kwargs: Any) -> Any:
            if next(_calls) == _at:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        monkeypatch.setattr(HighsSession, method, interrupted)
        with contextlib.suppress(KeyboardInterrupt):
            used.plan_batch(observations(context.instance, generator, 1))
        monkeypatch.setattr(HighsSession, method, original)
        assert decisions(used, seen, 1) == decisions(make_policy(name, context), seen, 1)


@pytest.mark.parametrize("left", [1, 5, 64, 99])
def test_a_first_decision_late_in_a_long_episode_takes_few_solves(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, original = FluidBound(generate("budget", 4, 2, horizon=100)), HighsSession.solve
    calls: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(HighsSession, "solve", counted)
    bound.from_state([0] * 4, left)
    assert len(calls) <= 9


def planner_of(name: str, context: PolicyContext) -> Planner:
    if name != "sequoia":
        return make_policy(name, context)
    network = build_network(context.instance, SequoiaSettings(hidden=(6, 6)))
    return SequoiaPlanner(context.instance, network, context.solver)


@pytest.mark.parametrize("kind", ["budget", "capacity", "path", "interventions", "custom"])
@pytest.mark.parametrize("name", ["fluid", "myopic", "sampling", "sequoia"])
def test_copies_and_threads(name: str, kind: str) -> None:
    """A copy of a used planner decides like a fresh one, and so does a planner in two threads."""
    context = context_of(kind)
    used, generator = planner_of(name, context), np.random.default_rng(8)
    seen = [observations(context.instance, generator, 3) for _ in range(2)]
    fresh = [decisions(planner_of(name, context), each, 1) for each in seen]
    decisions(used, seen[0], 1)
    for same in (copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
        assert [decisions(same, each, 1) for each in seen] == fresh
    if name == "sampling":  # threads share its stream of random numbers
        return
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: decisions(used, seen[i], 1)}))
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.get(i) for i in range(2)] == fresh


def test_after_a_decision_that_met_its_time_limit() -> None:
    context = context_of("capacity")
    instance = context.instance
    used, bound = FluidPlanner(instance, 2), FluidBound(instance)
    generator = np.random.default_rng(6)
    for _ in range(8):
        seen = observations(instance, generator, 1)
        for program in (used.program, used.relaxation, bound.program):
            assert program is not None
            settings = program.session.settings
            program.session.settings = dataclasses.replace(settings, time_limit=1e-9)
        used.plan_batch(seen)
        with pytest.raises(SolverFailed, match="raise solver.time_limit"):
            bound.from_state(seen["state"][0])
        for program in (used.program, used.relaxation, bound.program):
            assert program is not None
            program.session.settings = settings
        assert decisions(used, seen, 1) == decisions(FluidPlanner(instance, 2), seen, 1)
        state = seen["state"][0]
        assert bound.from_state(state) == FluidBound(instance, settings).from_state(state)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": [0, 1, 2]},
        {"state": [0, 1, 2, 0, -1, 0]},
        {"state": [0, 1, 4, 0, 1, 0]},
        {"state": [0, 1, 0.5, 0, 1, 0]},
        {"state": [0, 1, np.nan, 0, 1, 0]},
        {"steps_left": 8},
        {"steps_left": -1},
        {"steps_left": 1.5},
    ],
)
def test_observations_of_another_instance_are_refused(wrong: Any) -> None:
    instance = instance_of_kind("budget")
    network = build_network(instance, SequoiaSettings(hidden=(4,)))
    planners: list[Planner] = [FluidPlanner(instance), LagrangianPlanner(instance)]
    planners += [SequoiaPlanner(instance, network), greedy_planner(instance, network)]
    if "state" in wrong:
        names = ("myopic", "iterative_myopic", "sampling", "whittle")
        planners += [make_policy(name, PolicyContext(instance)) for name in names]
    for planner in planners:
        with pytest.raises(WorldplanError, match=next(iter(wrong))):
            planner.plan({"state": np.zeros(6, int), "steps_left": 3} | wrong)


def test_many_arms_are_planned_for_within_the_time_limit_of_the_scenario() -> None:
    generator = np.random.default_rng(7)
    instance = instance_of(random_dynamics(generator, 1001, 3), Budget(1001, 20), 6)
    hasty = SolverSettings(time_limit=1e-6)
    state = np.zeros(1001, int)
    decision = make_policy("fluid", PolicyContext(instance, solver=hasty)).plan({"state": state})
    assert decision.status == "time_limit" and instance.actions.contains(decision.action)
    loose, tight = (make_bound(instance, s).from_state(state) for s in (hasty, SolverSettings()))
    assert loose > tight + 1e-3 and decision.bound is not None and decision.bound > tight


def test_many_arms_are_planned_for_with_all_posterior_samples() -> None:
    generator = np.random.default_rng(7)
    instance = instance_of(random_dynamics(generator, 1001, 2), Budget(1001, 20), 3)
    models = tuple(random_dynamics(generator, 1001, 2) for _ in range(3))
    seen = {"state": np.zeros(1001, int), "steps_left": 3}
    both = make_policy("fluid", PolicyContext(instance, models)).plan(seen)
    assert summary(both) == summary(LagrangianPlanner(instance, models).plan(seen))
    assert summary(both) != summary(LagrangianPlanner(instance, models[0]).plan(seen))
