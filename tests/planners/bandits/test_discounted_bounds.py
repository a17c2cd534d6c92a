"""The hull and the joint bound with a discount and with ends of arms, against exact dynamic
programming; and what ends early says so.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.planners.bandits.test_bounds_are_bounds import in_unit, instance_of_kind
from tests.planners.bandits.test_exact_optimum import Joint
from tests.planners.bandits.test_hull import plain_hull, star
from tests.planners.bandits.test_joint import groups_of
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits import hull, level_method
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.joint import JointBound
from worldplan.planners.bandits.lagrangian import LagrangianBound
from worldplan.planners.bandits.observations import one_hot


def changed(instance: BanditInstance, discount: float, *, ends: bool, seed: int) -> BanditInstance:
    """With a discount, and perhaps ends of its arms, 0 to all steps."""
    own = np.random.default_rng(seed).integers(0, instance.horizon + 1, instance.dynamics.arms)
    return dataclasses.replace(instance, discount=discount, ends=own if ends else None)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("discount", [0.9, 0.4])
@pytest.mark.parametrize("kind", ["exactly", "capacity", "schedule", "path"])
def test_the_hull_equals_a_linear_program_over_all_actions(
    kind: str, discount: float, ends: bool
) -> None:
    for seed in range(3):
        generator = np.random.default_rng(seed)
        instance = changed(instance_of_kind(kind, generator), discount, ends=ends, seed=seed)
        bound, joint = HullBound(instance, gap=1e-6), Joint(instance)
        quick = HullBound(instance, refine=False)
        for _ in range(3):
            number = int(generator.integers(len(joint.states)))
            state, left = joint.states[number], int(generator.integers(1, instance.horizon + 1))
            value, best = bound.from_state(state, left), joint.optimum(left)[0][number]
            start = one_hot(state, instance.dynamics.states)
            assert value == pytest.approx(plain_hull(instance, start, left), abs=1e-5)
            assert best - 1e-6 <= value <= FluidBound(instance).from_state(state, left) + 1e-5
            assert best - 1e-6 <= quick.from_state(state, left)


@pytest.mark.parametrize("discount", [0.9, 0.3])
def test_every_early_stop_of_the_hull_is_a_bound(
    discount: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(2):
        instance = changed(star(seed), discount, ends=bool(seed), seed=seed)
        joint = Joint(instance)
        for rounds in (0, 1, 3):
            monkeypatch.setattr(hull, "ROUNDS", rounds)
            bound = HullBound(instance)
            tables = bound.value_tables()
            for left in (2, 4):
                best = joint.optimum(left)[0]
                for number, state in enumerate(joint.states):
                    value = tables.table[left, np.arange(5), state].sum() + tables.constant[left]
                    assert value >= best[number] - 1e-6
                    assert bound.from_state(state, left) >= best[number] - 1e-6


@pytest.mark.parametrize(("discount", "ends"), [(1.0, True), (0.8, False), (0.3, True)])
def test_the_joint_bound_of_one_block_is_exact(discount: float, ends: bool) -> None:
    for seed in range(4):
        plain = groups_of(seed, exactly=bool(seed % 2), idle=seed < 2)
        instance = changed(plain, discount, ends=ends, seed=seed)
        joint = Joint(instance)
        separate, whole = JointBound(instance, states=4), JointBound(instance, gap=1e-6)
        fluid = FluidBound(instance)
        for left in (1, instance.horizon):
            best = joint.optimum(left)[0]
            for number, state in enumerate(joint.states):
                tight = separate.from_state(state, left)
                assert best[number] - 1e-6 <= tight <= fluid.from_state(state, left) + 1e-6
                assert whole.from_state(state, left) >= best[number] - 1e-6
        mean = joint.optimum(instance.horizon)[0].mean()
        assert whole.from_distribution(instance.initial) == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("kind", ["path", "interventions"])
def test_they_are_the_tightest_in_any_unit(kind: str) -> None:
    """Over 30 steps, where the discount leaves nothing of the last ones."""
    steps, discount = (30, 0.2) if kind == "path" else (8, 0.9)
    plain = generate(kind, 6, 2, seed=1, horizon=steps)
    instance = dataclasses.replace(plain, discount=discount)
    auto, fluid = make_bound(instance, SolverSettings()), FluidBound(instance)
    assert type(auto) is (HullBound if kind == "path" else JointBound)
    value, state = auto.from_distribution(instance.initial), np.zeros(6, np.int64)
    assert value <= fluid.from_distribution(instance.initial) + 1e-6
    for left in (1, 4, steps):
        assert auto.from_state(state, left) <= fluid.from_state(state, left) + 1e-6
    scaled = dataclasses.replace(in_unit(plain, 1e-6, 0.0), discount=discount)
    found = make_bound(scaled, SolverSettings()).from_distribution(instance.initial)
    assert found == pytest.approx(1e-6 * value, rel=2e-3)


def test_a_search_that_ends_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    path, interventions = star(0), groups_of(3)
    for bound in (HullBound(path), JointBound(interventions, states=4)):
        bound.from_distribution(bound.instance.initial)
        assert not bound.limited and 0 <= bound.slack <= bound.gap
    monkeypatch.setattr(level_method, "ITERATIONS", 1)
    monkeypatch.setattr(hull, "ROUNDS", 1)
    generated = generate("interventions", 12, 4, seed=1, horizon=5)
    for limited in (
        HullBound(generate("path", 12, 3, horizon=8)),
        JointBound(generated, states=64),
    ):
        limited.from_state(np.zeros(12, np.int64))
        assert limited.limited and limited.slack > limited.gap
    plain = dataclasses.replace(star(0), actions=type(interventions.actions)(5, 2))
    prices = LagrangianBound(plain, SolverSettings(time_limit=1e-9))
    prices.from_distribution(plain.initial)
    assert prices.limited
