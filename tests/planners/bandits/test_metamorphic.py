"""No unit of the rewards, no constant in them, no order of the arms and no idle arm changes a
decision, for every policy and every kind of set.
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planners.bandits.builders import examples
from tests.planners.bandits.transformed import EXTRAS, KINDS, Apart, Parts, parts_of_kind
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.schedule import Schedule
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.base import Decision, Planner

POLICIES = (
    "null", "random", "sampling", "myopic", "iterative_myopic", "whittle", "fluid", "lagrangian",
)  # fmt: skip
LEARNED = ("sequoia", "sequoia_paper", "iterative_dqn", "repaired_dqn")
EXACT = SolverSettings(gap=0.0)
ROUNDING = 1e-6  # of the rewards' spread: what solvers leave
FACTORS = st.sampled_from([1e-8, 1e-5, 0.3, 7.0, 1e4, 1e9])
CONSTANTS = st.sampled_from([0.0, -1.0, 1e3, -1e5])  # in spreads of the rewards

quick = examples(4)


def drawn(kind: str, generator: np.random.Generator) -> Parts:
    """A random instance, with rewards of actions in every other draw."""
    parts = parts_of_kind(kind, generator)
    extra = EXTRAS[generator.integers(len(EXTRAS))] if generator.random() < 0.5 else "none"
    return parts.with_action_rewards(extra, generator)


def planner_of(name: str, instance: BanditInstance) -> Planner | None:
    """The policy; None where it is not made for the instance."""
    if name == "whittle" and instance.dynamics.effect is not None:
        return None
    if name == "lagrangian":
        try:
            return LagrangianPlanner(instance, gap=1e-9)
        except ConfigError:
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        return make_policy(name, PolicyContext(instance, solver=EXACT, samples=5, fluid_window=2))


def decide(name: str, parts: Parts, state: np.ndarray, left: int) -> Decision | None:
    planner = planner_of(name, parts.instance())
    return None if planner is None else planner.plan({"state": state, "steps_left": left})


def bounds(parts: Parts, state: np.ndarray, left: int) -> list[float]:
    instance = parts.instance()
    found = [FluidBound(instance).from_state(state, left)]
    if parts.kind in ("budget", "exactly"):
        found.append(LagrangianBound(instance, gap=1e-9).from_state(state, left))
    return found


def check_same(
    first: Decision | None, second: Decision | None, factor: float, shift: float, slack: float
) -> bool:
    """Value and bound are transformed; whether the actions may be compared further."""
    assert (first is None) == (second is None)
    if first is None or second is None:
        return False
    for one, two in ((first.value, second.value), (first.bound, second.bound)):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert two == pytest.approx(factor * one + shift, abs=slack)
    return True


def seen(parts: Parts, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    model = parts.dynamics
    state = generator.integers(0, model.states, model.arms)
    return state, int(generator.integers(1, parts.horizon + 1))


def check_units(seed: int, kind: str, factor: float, constant: float) -> None:
    generator = np.random.default_rng(seed)
    parts = drawn(kind, generator)
    state, left = seen(parts, generator)
    constants = factor * constant * generator.uniform(0.5, 1.0, parts.dynamics.arms)
    other = parts.in_unit(factor, constants)
    shift = left * float(constants.sum())
    slack = factor * ROUNDING * left * (1 + 1e-9 * abs(constant))
    for name in POLICIES:
        first, second = decide(name, parts, state, left), decide(name, other, state, left)
        one_step = name in ("sampling", "myopic", "iterative_myopic")
        if check_same(first, second, factor, shift / left if one_step else shift, slack):
            assert first is not None and second is not None
            # prices are not unique: arms at the margin are worth the same
            same = first.action.tolist() == second.action.tolist()
            assert same or name == "lagrangian", name
            assert first.status == second.status, name
    for one, two in zip(bounds(parts, state, left), bounds(other, state, left), strict=True):
        assert two == pytest.approx(factor * one + shift, abs=slack)


def check_order(seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    parts = drawn(kind, generator)
    state, left = seen(parts, generator)
    order = generator.permutation(parts.dynamics.arms)
    other = parts.in_order(order)
    for name in POLICIES:
        if name in ("null", "random", "sampling"):
            continue  # they go by the numbers of the components
        first, second = decide(name, parts, state, left), decide(name, other, state[order], left)
        if check_same(first, second, 1.0, 0.0, ROUNDING * left):
            assert first is not None and second is not None
            moved = first.action if kind == "interventions" else first.action[order]
            assert second.action.tolist() == moved.tolist() or name == "lagrangian", name
    for one, two in zip(bounds(parts, state, left), bounds(other, state[order], left), strict=True):
        assert two == pytest.approx(one, abs=ROUNDING * left)


def check_idle_arm(seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    parts = drawn(kind, generator)
    state, left = seen(parts, generator)
    like, reward = int(generator.integers(parts.dynamics.arms)), generator.normal(size=(1, 9))
    reward = reward[:, : parts.dynamics.states]
    other = parts.with_idle_arm(like, reward)
    more = np.append(state, generator.integers(parts.dynamics.states))
    chain = parts.dynamics.transition[like, 0]
    value = np.zeros(parts.dynamics.states)
    returns = []
    for _ in range(left):
        value = chain @ (reward[0] + value)
        returns.append(value[more[-1]])
    for name in POLICIES:
        if name in ("null", "random", "sampling"):
            continue
        first, second = decide(name, parts, state, left), decide(name, other, more, left)
        one_step = name in ("myopic", "iterative_myopic")
        shift = float(returns[0] if one_step else returns[-1])
        if check_same(first, second, 1.0, shift, ROUNDING * left):
            assert first is not None and second is not None
            same = second.action.tolist()[: len(first.action)] == first.action.tolist()
            assert same or name == "lagrangian", name
    for one, two in zip(bounds(parts, state, left), bounds(other, more, left), strict=True):
        assert two == pytest.approx(one + returns[-1], abs=ROUNDING * left)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(st.integers(0, 10**6), FACTORS, CONSTANTS)
def test_a_unit_and_constants(kind: str, seed: int, factor: float, constant: float) -> None:
    check_units(seed, kind, factor, constant)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(st.integers(0, 10**6))
def test_another_order_of_the_arms(kind: str, seed: int) -> None:
    check_order(seed, kind)


# an arm that changes nothing is of use where a number of arms must be selected: not there
@pytest.mark.parametrize("kind", ["budget", "capacity", "schedule", "path", "interventions", "own"])
@quick
@given(st.integers(0, 10**6))
def test_an_arm_that_no_action_changes(kind: str, seed: int) -> None:
    check_idle_arm(seed, kind)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_units, check_order, check_idle_arm])
@pytest.mark.parametrize("kind", KINDS)
def test_many_more(kind: str, check: Callable[..., None]) -> None:
    if check is check_idle_arm and kind in ("exactly", "custom"):
        pytest.skip("an arm that changes nothing is of use where arms must be selected")
    generator = np.random.default_rng(5)
    for seed in range(1000, 1060):
        extra: tuple[Any, ...] = ()
        if check is check_units:
            extra = (10.0 ** generator.uniform(-8, 9), generator.choice([0.0, 1e3, -1e5]))
        check(seed, kind, *extra)


def learned(name: str, parts: Parts, folder: str) -> Planner:
    small = {"hidden": (6, 5), "pretrain_steps": 20, "updates": 10, "check_every": 15,
             "check_episodes": 2, "solves": 4, "pool": 20, "episodes": 2, "batch": 8}  # fmt: skip
    own = SequoiaSettings(**small)  # type: ignore[arg-type]
    context = PolicyContext(
        parts.instance(), solver=EXACT, folder=Path(folder), sequoia=own, seed=3
    )
    if name == "sequoia":
        return make_policy(name, context)
    maker = {"sequoia_paper": "paper", "iterative_dqn": "greedy", "repaired_dqn": "repaired_greedy"}
    full = getattr(SequoiaSettings, maker[name])()
    short = dataclasses.replace(full, **{key: small[key] for key in small if key != "solves"})
    with patch.object(SequoiaSettings, maker[name], staticmethod(lambda: short)):
        return make_policy(name, context)


@pytest.mark.parametrize(("factor", "constant"), [(1e-8, 0.0), (1e9, 0.0), (3.0, 1e3)])
@pytest.mark.parametrize("name", LEARNED)
def test_units_of_learned_policies(name: str, factor: float, constant: float) -> None:
    generator = np.random.default_rng(1)
    parts = parts_of_kind("capacity", generator)
    other = parts.in_unit(factor, np.full(parts.dynamics.arms, factor * constant))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = learned(name, parts, one), learned(name, other, two)
    for _ in range(5):
        state, left = seen(parts, generator)
        shift = left * factor * constant * parts.dynamics.arms
        observation = {"state": state, "steps_left": left}
        before, after = first.plan(observation), second.plan(observation)
        slack = factor * (1e-4 + 1e-9 * abs(constant))  # the networks have single precision
        assert check_same(before, after, factor, shift, slack)
        assert before.action.tolist() == after.action.tolist()


def many_clients(kind: str, constant: float) -> BanditInstance:
    """60 clients, of whom a visit improves each one's two states a little."""
    generator = np.random.default_rng(0)
    stay, move = generator.uniform(0.05, 0.3, (60, 2)), generator.uniform(0.35, 0.9, (60, 2))
    up = np.stack([stay, move], axis=1)
    reward = np.stack([np.zeros(60), generator.uniform(0.5, 2.0, 60)], axis=1) + constant
    dynamics = ArmDynamics(np.stack([1 - up, up], axis=-1), reward)
    sets = {
        "capacity": Capacity(generator.integers(2, 7, 60), [9.0, 7.0, 11.0]),
        "schedule": Schedule(generator.random((60, 5)) < 0.5, np.ones((4, 5), bool), 2),
        "own": Apart(60, [(arm, arm + 1) for arm in range(59)], 11),
    }
    return BanditInstance(dynamics, sets[kind], 10, np.full((60, 2), 0.5))


@pytest.mark.parametrize("constant", [0.0, 10.0, 1000.0, -1e6])
@pytest.mark.parametrize("name", ["myopic", "fluid", "whittle"])
@pytest.mark.parametrize("kind", ["capacity", "schedule", "own"])
def test_the_gap_is_one_of_the_gain(kind: str, name: str, constant: float) -> None:
    """A gap of the whole value is as large as all visits where each client earns 1000 anyway."""
    plain, moved = many_clients(kind, 0.0), many_clients(kind, constant)
    state = np.random.default_rng(1).integers(0, 2, 60)
    decisions = [
        make_policy(name, PolicyContext(instance, solver=solver)).plan(
            {"state": state, "steps_left": 10}
        )
        for instance, solver in (
            (plain, EXACT),
            (plain, SolverSettings(gap=1e-2)),
            (moved, SolverSettings(gap=1e-2)),
        )
    ]
    best, near, far = (decision.action for decision in decisions)
    gains = plain.dynamics.one_step()[np.arange(60), :, state] @ np.array([-1.0, 1.0])
    if name == "myopic":
        assert gains @ far >= 0.99 * (gains @ best) - 1e-9
    if name == "fluid":  # the value of the decision, from that of no visits
        values = [decision.value for decision in decisions]
        bound = decisions[0].bound
        assert bound is not None and all(value is not None for value in values)
        steps = 10 * 60 * constant
        assert values[2] - steps == pytest.approx(values[1], abs=0.02 * bound + 1e-9 * abs(steps))
    assert near.sum() > 0 and abs(int(far.sum()) - int(near.sum())) <= 2
    assert decisions[2].gap is None or decisions[2].gap <= 1e-2
