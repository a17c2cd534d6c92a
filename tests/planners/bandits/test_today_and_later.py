"""Today's feasible set holds today, that of any day later."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.planners.bandits.builders import random_dynamics
from worldplan.envs.bandits import BanditInstance
from worldplan.milp.sets import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits import FluidBound, FluidPlanner
from worldplan.planners.bandits.reasons import Explainer

ARMS, DAYS = 5, 4


@pytest.mark.parametrize("window", [2, 4])
def test_the_rules_of_today_hold_for_one_day(window: int) -> None:
    dynamics = random_dynamics(np.random.default_rng(3), ARMS, 3)
    initial = np.full((ARMS, 3), 1 / 3)
    usual = BanditInstance(dynamics, Budget(ARMS, 3), DAYS, initial)
    today = BanditInstance(dynamics, Budget(ARMS, 1), DAYS, initial)
    state = np.arange(ARMS) % 3
    observation = {"state": state, "steps_left": DAYS}
    exact = SolverSettings(gap=0.0)
    planner = FluidPlanner(today, window, settings=exact, later=usual.actions)
    bound = FluidBound(usual, exact)
    values = {}
    for action in itertools.product((0, 1), repeat=ARMS):
        if sum(action) <= 1:
            after = dynamics.transition[np.arange(ARMS), list(action), state]
            reward = float(dynamics.expected_reward(state, np.array(action)))
            values[action] = reward + bound.from_distribution(after, DAYS - 1)
    decision = planner.plan(observation)
    if window == DAYS:
        assert tuple(decision.action.tolist()) == max(values, key=values.__getitem__)
        assert decision.value == pytest.approx(max(values.values()))
        reasons = Explainer(planner, today, observation).reasons(next_best=9)
        assert reasons.value == pytest.approx(max(values.values()))
    else:  # the duals' values at the end of the window are upper bounds
        assert decision.value is not None
        assert decision.value >= max(values.values()) - 1e-6
    assert decision.action.sum() <= 1
