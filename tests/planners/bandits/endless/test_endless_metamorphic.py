"""As `test_metamorphic`, for programmes without an end: discounted, and on average."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planners.bandits.test_metamorphic import (
    CONSTANTS,
    EXACT,
    FACTORS,
    ROUNDING,
    check_same,
    decide,
    drawn,
    many_clients,
    quick,
)
from tests.planners.bandits.transformed import KINDS, Parts
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.endless.bound import EndlessBound
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.units import default_returns

POLICIES = ("null", "random", "sampling", "myopic", "iterative_myopic", "whittle", "fluid")
ONE_STEP = ("sampling", "myopic", "iterative_myopic")
BY_NUMBER = ("null", "random", "sampling")  # they go by the numbers of the components
DISCOUNTS = st.sampled_from([0.5, 0.95, 1.0])


def without_end(
    kind: str, seed: int, discount: float
) -> tuple[Parts, np.ndarray, np.random.Generator]:
    """A random programme, a state of its arms, and random numbers for more."""
    generator = np.random.default_rng(seed)
    parts = dataclasses.replace(drawn(kind, generator), discount=discount, endless=True)
    state = generator.integers(0, parts.dynamics.states, parts.dynamics.arms)
    return parts, state, generator


def length(discount: float) -> float:
    """What a reward of 1 in each step is worth."""
    return 1.0 if discount == 1 else 1.0 / (1.0 - discount)


def slack_of(discount: float) -> float:
    """What solvers leave, of values with a discount of 0.999 where averages are planned for."""
    return ROUNDING * (20.0 if discount == 1 else length(discount))


def bound(parts: Parts, state: np.ndarray) -> float:
    return EndlessBound(parts.instance()).from_state(state)


def check_units(seed: int, kind: str, discount: float, factor: float, constant: float) -> None:
    parts, state, generator = without_end(kind, seed, discount)
    constants = factor * constant * generator.uniform(0.5, 1.0, parts.dynamics.arms)
    other, one = parts.in_unit(factor, constants), float(constants.sum())
    slack = factor * slack_of(discount) * (1 + 1e-9 * abs(constant) * length(discount))
    for name in POLICIES:
        first, second = decide(name, parts, state, 1), decide(name, other, state, 1)
        shift = one if name in ONE_STEP else one * length(discount)
        if check_same(first, second, factor, shift, slack):
            assert first is not None and second is not None
            assert first.action.tolist() == second.action.tolist(), name
            assert first.status == second.status, name
    expected = factor * bound(parts, state) + one * length(discount)
    assert bound(other, state) == pytest.approx(expected, abs=slack)


def check_order(seed: int, kind: str, discount: float) -> None:
    parts, state, generator = without_end(kind, seed, discount)
    order = generator.permutation(parts.dynamics.arms)
    other = parts.in_order(order)
    for name in POLICIES:
        if name in BY_NUMBER:
            continue
        first, second = decide(name, parts, state, 1), decide(name, other, state[order], 1)
        if check_same(first, second, 1.0, 0.0, slack_of(discount)):
            assert first is not None and second is not None
            moved = first.action if kind == "interventions" else first.action[order]
            assert second.action.tolist() == moved.tolist(), name
    expected = bound(parts, state)
    assert bound(other, state[order]) == pytest.approx(expected, abs=slack_of(discount))


def check_idle_arm(seed: int, kind: str, discount: float) -> None:
    parts, state, generator = without_end(kind, seed, discount)
    model = parts.dynamics
    like, reward = int(generator.integers(model.arms)), generator.normal(size=(1, model.states))
    other = parts.with_idle_arm(like, reward)
    more = np.append(state, generator.integers(model.states))
    chain = model.transition[like, 0]
    shift = float(
        default_returns(other.instance(), more[None])[0]
        - default_returns(parts.instance(), state[None])[0]
    )
    for name in POLICIES:
        if name in BY_NUMBER:
            continue
        first, second = decide(name, parts, state, 1), decide(name, other, more, 1)
        moved = float(chain[more[-1]] @ reward[0]) if name in ONE_STEP else shift
        if check_same(first, second, 1.0, moved, slack_of(discount)):
            assert first is not None and second is not None
            assert second.action.tolist()[: len(first.action)] == first.action.tolist(), name
    expected = bound(parts, state) + shift
    assert bound(other, more) == pytest.approx(expected, abs=slack_of(discount))


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(st.integers(0, 10**6), DISCOUNTS, FACTORS, CONSTANTS)
def test_a_unit_and_constants(
    kind: str, seed: int, discount: float, factor: float, constant: float
) -> None:
    check_units(seed, kind, discount, factor, constant)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(st.integers(0, 10**6), DISCOUNTS)
def test_another_order_of_the_arms(kind: str, seed: int, discount: float) -> None:
    check_order(seed, kind, discount)


# an arm that changes nothing is of use where a number of arms must be selected: not there
@pytest.mark.parametrize("kind", ["budget", "capacity", "schedule", "path", "interventions", "own"])
@quick
@given(st.integers(0, 10**6), DISCOUNTS)
def test_an_arm_that_no_action_changes(kind: str, seed: int, discount: float) -> None:
    check_idle_arm(seed, kind, discount)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_units, check_order, check_idle_arm])
@pytest.mark.parametrize("kind", KINDS)
def test_many_more(kind: str, check: Callable[..., None]) -> None:
    if check is check_idle_arm and kind in ("exactly", "custom"):
        pytest.skip("an arm that changes nothing is of use where arms must be selected")
    generator = np.random.default_rng(6)
    for seed in range(2000, 2030):
        extra: tuple[Any, ...] = ()
        if check is check_units:
            extra = (10.0 ** generator.uniform(-8, 9), generator.choice([0.0, 1e3, -1e5]))
        check(seed, kind, generator.choice([0.5, 0.95, 1.0]), *extra)


@pytest.mark.parametrize("constant", [1000.0, -1e6])
@pytest.mark.parametrize("discount", [0.99, 1.0])
@pytest.mark.parametrize("kind", ["capacity", "own"])
def test_the_gap_is_one_of_the_gain(kind: str, discount: float, constant: float) -> None:
    """Neither a constant nor the many days that follow hide what today's visits are worth."""
    plain, moved = (
        dataclasses.replace(many_clients(kind, each), discount=discount, endless=True)
        for each in (0.0, constant)
    )
    state = np.random.default_rng(1).integers(0, 2, 60)
    best, near, far = (
        make_policy("fluid", PolicyContext(instance, solver=solver)).plan({"state": state})
        for instance, solver in (
            (plain, EXACT),
            (plain, SolverSettings(gap=1e-2)),
            (moved, SolverSettings(gap=1e-2)),
        )
    )
    assert best.action.sum() > 0
    assert abs(int(far.action.sum()) - int(near.action.sum())) <= 2
    assert far.gap is not None and far.gap <= 1e-2
    values = [best.value, near.value, far.value]
    assert all(value is not None for value in values)
    whole = 60 * constant * length(discount)
    gained = 4 * 2.0 * best.action.sum()  # of the window's visits, at most
    assert near.value == pytest.approx(best.value, abs=0.02 * gained)
    assert far.value == pytest.approx(best.value + whole, abs=0.02 * gained + 1e-9 * abs(whole))
