"""The joint bound of interventions: exact dynamic programming, and any prices."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest

from tests.planners.bandits.test_bounds_are_bounds import in_unit, optimum
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits import level_method
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.joint import JointBound


def groups_of(seed: int, *, exactly: bool = True, idle: bool = True) -> BanditInstance:
    """Two or three groups of one or two arms, rewards of both signs, perhaps an idle arm and an
    intervention without an arm.
    """
    rng = np.random.default_rng(seed)
    sizes = [(int(rng.integers(1, 3)), int(rng.integers(1, 3))) for _ in range(2)]
    arms = sum(size for size, _ in sizes) + idle
    components = sum(count for _, count in sizes) + idle
    effect = np.zeros((arms, components))
    arm = component = 0
    for size, count in sizes:
        effect[arm : arm + size, component : component + count] = rng.integers(1, 4)
        arm, component = arm + size, component + count
    levels = 1 + max(count for _, count in sizes)
    weight = effect.max(1, keepdims=True)
    strengths = np.minimum(weight * np.arange(levels), effect.sum(1, keepdims=True))
    transition = rng.dirichlet(np.ones(2), (arms, levels, 2))
    model = ArmDynamics(transition, rng.normal(size=(arms, 2)), effect, strengths)
    budget = Budget(components, int(rng.integers(0, components + 1)), exactly=exactly)
    return BanditInstance(model, budget, int(rng.integers(2, 5)), np.full((arms, 2), 0.5))


@pytest.mark.parametrize("exactly", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_no_policy_exceeds_it_and_one_block_is_exact(seed: int, exactly: bool) -> None:
    instance = groups_of(seed, exactly=exactly, idle=bool(seed % 2))
    best, arms = optimum(instance), instance.dynamics.arms
    separate, whole = JointBound(instance, states=4), JointBound(instance, gap=1e-6)
    fluid = FluidBound(instance)
    for state in itertools.product(range(2), repeat=arms):
        for left in (1, instance.horizon):
            exact = best[(left, *state)]
            tight = separate.from_state(state, left)
            assert exact - 1e-6 <= tight <= fluid.from_state(state, left) + 1e-6
            assert whole.from_state(state, left) >= exact - 1e-6
    mean = best[instance.horizon].mean()  # of uniform first states
    assert whole.from_distribution(instance.initial) == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_every_early_stop_is_a_bound(iterations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level_method, "ITERATIONS", iterations)
    for seed in range(4):
        instance = groups_of(seed)
        best, bound = optimum(instance), JointBound(instance, states=4)
        for state in itertools.product(range(2), repeat=instance.dynamics.arms):
            exact = best[(instance.horizon, *state)]
            assert bound.from_state(state) >= exact - 1e-6
            planned = bound._bound(np.eye(2)[list(state)], list(bound._prices or []))
            assert bound._units.total(planned, instance.horizon) >= exact - 1e-6


def test_the_domain_is_far_tighter_and_in_any_unit() -> None:
    instance = generate("interventions", 12, 4, seed=1, horizon=5)
    auto = make_bound(instance, SolverSettings())
    assert isinstance(auto, JointBound)
    value = auto.from_distribution(instance.initial)
    assert value <= FluidBound(instance).from_distribution(instance.initial)
    assert copy.deepcopy(auto).from_distribution(instance.initial) == value
    for unit in ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e4)):
        other = JointBound(in_unit(instance, *unit)).from_distribution(instance.initial)
        expected = unit[0] * value + 5 * 12 * unit[1]
        assert other == pytest.approx(expected, abs=2e-3 * unit[0] * abs(value))


def test_other_structures_are_refused_and_get_the_fluid_bound() -> None:
    plain = generate("path", 6, 2)
    with pytest.raises(ConfigError, match="use the fluid bound"):
        JointBound(plain)
    with pytest.raises(ConfigError, match="use the fluid bound"):
        make_bound(plain, SolverSettings(), "joint")
    shared = ArmDynamics(
        np.full((2, 3, 2, 2), 0.5), np.eye(2), [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], [[0, 1, 2]] * 2
    )
    instance = BanditInstance(shared, Budget(3, 1), 2, np.full((2, 2), 0.5))
    assert isinstance(make_bound(instance, SolverSettings()), FluidBound)
    with pytest.raises(ConfigError, match="64 joint states, states is 10"):
        JointBound(generate("interventions", 12, 4), states=10)
