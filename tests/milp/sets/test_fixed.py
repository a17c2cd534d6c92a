"""Sets with fixed components against brute force: the actions of the inner set that fit."""

from __future__ import annotations

from itertools import product

import networkx as nx
import numpy as np
import pytest

from tests.milp.sets.test_action_sets import check
from worldplan.envs.bandits import ArmDynamics, BanditInstance
from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.fixed import Fixed, fixed
from worldplan.milp.sets.limits import limits_of
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule
from worldplan.planners.bandits import FluidPlanner


def equal_pair(block):
    import pyomo.environ as pyo

    block.pair = pyo.Constraint(expr=block.a[0] == block.a[1])
    block.some = pyo.Constraint(expr=sum(block.a.values()) >= 2)


SETS = {
    "budget": lambda: Budget(6, 3),
    "exactly": lambda: Budget(6, 3, exactly=True),
    "capacity": lambda: Capacity([2, 3, 2, 4, 3, 2], [5, 4]),
    "schedule": lambda: Schedule(np.tri(6, 3, 1, bool), np.ones((2, 3), bool), visits=1, budget=4),
    "path": lambda: Path(nx.cycle_graph(6), 0, moves=6, budget=3),
    "custom": lambda: PyomoSet(equal_pair, 6),
}


@pytest.mark.parametrize("kind", SETS)
def test_the_actions_that_fit(kind: str) -> None:
    generator = np.random.default_rng(len(kind))
    possible = 0
    for _ in range(6):
        inner = SETS[kind]()
        role = generator.choice(4, size=6, p=[0.6, 0.1, 0.15, 0.15])
        never, absent, forced = (role == number for number in (1, 2, 3))

        def truth(action, inner=inner, out=never | absent, forced=forced):
            taken = np.array(action, bool)
            fits = not (taken & out).any() and not (forced & ~taken).any()
            return fits and inner.contains(np.array(action))

        if not any(truth(action) for action in product((0, 1), repeat=6)):
            with pytest.raises(InfeasibleActionSet, match="force or leave out fewer"):
                Fixed(inner, never, absent, forced)
            continue
        possible += 1
        check(Fixed(inner, never, absent, forced), truth, generator)
    assert possible >= 2


def test_later_days_are_free() -> None:
    never, absent, forced = np.eye(4, dtype=bool)[:3]
    actions = Fixed(Budget(4, 2), never, absent, forced)
    relaxed = LinearProblem(actions, relaxed=True)
    assert relaxed.solve([9.0, 4.0, 1.0, 2.0]).value == pytest.approx(6.0)
    (limit,) = limits_of(actions)
    raised = LinearProblem(limit.raised(1))
    assert raised.solve([9.0, 4.0, 1.0, 2.0]).value == pytest.approx(3.0)  # the forced one, another
    assert fixed(actions, *np.zeros((3, 4), bool)) is actions


def test_a_forced_arm_is_visited_and_the_value_is_that_of_later_free_days() -> None:
    up = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.1, 0.9]]])
    dynamics = ArmDynamics(np.stack([up] * 3), np.array([[0, 5], [0, 1], [0, 1.0]]))
    inner, none = Budget(3, 1), np.zeros(3, bool)
    initial = np.full((3, 2), 0.5)
    state = {"state": np.zeros(3, int), "steps_left": 3}
    values = {}
    for arm in range(3):
        actions = Fixed(inner, none, none, np.arange(3) == arm)
        planner = FluidPlanner(BanditInstance(dynamics, actions, 3, initial), 3)
        decision = planner.plan(state)
        assert decision.action.tolist() == (np.arange(3) == arm).tolist()
        values[arm] = decision.value
    free = FluidPlanner(BanditInstance(dynamics, inner, 3, initial), 3).plan(state)
    assert free.value == pytest.approx(max(values.values()), rel=1e-3)
    assert free.action.argmax() == max(values, key=values.get) == 0
    assert values[0] - values[1] < 5 * 0.7  # one day's loss, not that of three days
