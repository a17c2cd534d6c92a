"""Bounds against the optimum of all policies by dynamic programming, in any unit of reward."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

from tests.planners.bandits.builders import feasible, instance_of, random_dynamics
from worldplan.envs.bandits.environment import ArmDynamics, BanditEnv, BanditInstance
from worldplan.milp.errors import DatasetError
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule
from worldplan.planners.bandits.baselines import MyopicPolicy
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner

KINDS = ("budget", "exactly", "capacity", "schedule", "path", "interventions")
UNITS = ((1.0, 0.0), (1e-6, 0.0), (1e7, 0.0), (1.0, 1e6), (1e-4, -1e3))  # factor, constant


def optimum(instance: BanditInstance) -> np.ndarray:
    """The optimal return of all policies, by steps to go and joint state."""
    model = instance.dynamics
    states = np.array(list(itertools.product(range(model.states), repeat=model.arms)))
    value = [np.zeros(len(states))]
    for _ in range(instance.horizon):
        choices = []
        for action in feasible(instance):
            kernel = np.ones((1, 1))
            for arm, level in enumerate(model.level(action)):
                kernel = np.kron(kernel, model.transition[arm, level])
            reward = model.expected_reward(states, np.repeat(action[None], len(states), axis=0))
            choices.append(reward + kernel @ value[-1])
        value.append(np.max(choices, axis=0))
    return np.array(value).reshape(-1, *(model.states,) * model.arms)


def instance_of_kind(kind: str, generator: np.random.Generator) -> BanditInstance:
    arms, states = int(generator.integers(2, 4)), int(generator.integers(1, 4))
    effects = 3 if kind == "interventions" else 0
    free = generator.random((arms, 3)) < 0.6
    free[:, 0] = True
    sets: dict[str, ActionSet] = {
        "budget": Budget(arms, int(generator.integers(0, arms + 1))),
        "exactly": Budget(arms, int(generator.integers(0, arms + 1)), exactly=True),
        "capacity": Capacity(generator.integers(1, 4, arms), [3.0, 1.0]),
        "schedule": Schedule(free, free[:2], 1),
        "path": Path(nx.path_graph(arms), 0, 2, 2),
        "interventions": Budget(3, int(generator.integers(0, 4)), exactly=True),
    }
    dynamics = random_dynamics(generator, arms, states, effects)
    start = np.full((arms, states), 1 / states)
    return BanditInstance(dynamics, sets[kind], int(generator.integers(1, 5)), start)


def in_unit(instance: BanditInstance, factor: float, constant: float) -> BanditInstance:
    model = instance.dynamics
    reward = factor * model.reward + constant
    dynamics = ArmDynamics(model.transition, reward, model.effect, model.strengths)
    return BanditInstance(dynamics, instance.actions, instance.horizon, instance.initial)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_policy_exceeds_a_bound(kind: str, unit: tuple[float, float]) -> None:
    for seed in range(2):
        generator = np.random.default_rng(seed)
        plain = instance_of_kind(kind, generator)
        instance, best = in_unit(plain, *unit), optimum(plain)
        factor, constant = unit[0], unit[1] * instance.dynamics.arms
        window = int(generator.integers(1, instance.horizon + 1))
        bounds = [FluidBound(instance)]
        planners = [FluidPlanner(instance, window)]
        if kind in ("budget", "exactly"):
            bounds.append(LagrangianBound(instance))  # type: ignore[arg-type]
            planners.append(LagrangianPlanner(instance))  # type: ignore[arg-type]
        for _ in range(3):
            state = generator.integers(0, instance.dynamics.states, instance.dynamics.arms)
            left = int(generator.integers(1, instance.horizon + 1))
            exact = best[(left, *state)] * factor + left * constant
            # the rewards themselves are rounded
            slack = 1e-6 * factor + 1e-12 * abs(left * constant)
            decisions = [p.plan({"state": state, "steps_left": left}) for p in planners]
            proven = [b.from_state(state, left) for b in bounds]
            assert min([*proven, *(d.bound or 0.0 for d in decisions)]) >= exact - slack
            first = decisions[0]
            assert first.value is not None and first.bound is not None
            assert first.value <= first.bound + slack
            assert all(instance.actions.contains(d.action) for d in decisions)
            if left == 1:  # both are exact: the action earns what is promised
                myopic = MyopicPolicy(instance).plan({"state": state}).value
                assert myopic == pytest.approx(exact, abs=slack)
                assert first.value == pytest.approx(exact, abs=1e-4 * abs(exact) + slack)


@pytest.mark.parametrize("unit", [(1e-7, 0.0), (1e8, 0.0), (1.0, 1e7), (1e3, -1e9)])
def test_units_and_constants_change_no_decision_with_prices(unit: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    plain = instance_of(random_dynamics(generator, 30, 3), Budget(30, 7), 6)
    instance = in_unit(plain, *unit)
    for _ in range(3):
        seen = {"state": generator.integers(0, 3, 30), "steps_left": 5}
        expected = LagrangianPlanner(plain).plan(seen).action
        assert LagrangianPlanner(instance).plan(seen).action.tolist() == expected.tolist()


def test_a_padded_level_is_not_used() -> None:
    """Both arms have strengths 0 and 1; the third level is padding, and would be the best."""
    transition = np.zeros((2, 3, 2, 2))
    transition[:, :2, :, 0] = transition[:, 2, :, 1] = 1.0
    model = ArmDynamics(transition, [[0.0, 9.0]] * 2, np.eye(2), [[0.0, 1.0, 1.0]] * 2)
    instance = instance_of(model, Budget(2, 2), 3)
    assert FluidBound(instance).from_state([0, 0]) == pytest.approx(0.0)
    assert FluidPlanner(instance).plan({"state": [0, 0]}).value == pytest.approx(0.0)


def test_a_strength_that_is_not_listed_is_refused() -> None:
    """The solvers exclude such an action; the environment took the nearest strength."""
    model = ArmDynamics(np.full((1, 2, 2, 2), 0.5), [[0.0, 1.0]], [[1.0, 1.0]], [[0.0, 2.0]])
    env = BanditEnv(instance_of(model, Budget(2, 2), 3))
    env.reset(seed=0)
    with pytest.raises(DatasetError, match="strength 1 at arm 0"):
        env.step(np.array([1, 0]))
    env.step(np.array([1, 1]))
