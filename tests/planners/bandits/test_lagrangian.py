"""The priced bound equals the linear program's, and its planner is feasible and near the bound with
many arms.
"""

from __future__ import annotations

import numpy as np
import pytest

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.base import Planner, evaluate


@pytest.mark.parametrize(("arms", "budget", "states"), [(20, 5, 4), (40, 10, 3), (5, 5, 4)])
def test_bound_equals_the_fluid_bound(arms: int, budget: int, states: int) -> None:
    instance = generate("budget", arms, budget, seed=arms, states=states, horizon=8)
    fluid, priced = FluidBound(instance), LagrangianBound(instance, gap=5e-7)
    generator = np.random.default_rng(0)
    for left in (8, 8, 3):  # the second solve starts from what the first found
        state = generator.integers(0, states, arms)
        assert priced.from_state(state, left) == pytest.approx(
            fluid.from_state(state, left), rel=1e-6
        )
    assert priced.from_distribution(instance.initial) == pytest.approx(
        fluid.from_distribution(instance.initial), rel=1e-6
    )


def test_any_prices_give_a_valid_bound() -> None:
    instance = generate("budget", 20, 5, seed=1, horizon=8)
    state = np.ones(20, np.int64)
    assert (
        LagrangianBound(instance, gap=0.5).from_state(state)
        >= FluidBound(instance).from_state(state) - 1e-6
    )


def test_planner_with_many_arms() -> None:
    instance = generate("budget", 1000, 200, seed=0, horizon=6)
    planner = LagrangianPlanner(instance, [instance.dynamics, instance.dynamics])
    assert isinstance(planner, Planner)
    env = BanditVectorEnv(instance)
    decision = planner.plan({"state": env.reset(seed=3)[0]["state"][0], "steps_left": 6})
    assert decision.status == "heuristic"
    assert decision.value is not None and decision.bound is not None
    assert decision.bound * 0.999 < decision.value <= decision.bound
    assert instance.actions.contains(decision.action) and decision.detail["gap"] <= 1e-4
    result = evaluate(planner, env, 1, seed=3)
    assert 0.97 * decision.bound <= result.episodes["return"][0] <= 1.03 * decision.bound
