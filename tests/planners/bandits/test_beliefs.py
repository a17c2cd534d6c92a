"""Decisions for arms whose state is not known today: checked against all joint states."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

from tests.planners.bandits.builders import OwnBudget, feasible, instance_of, random_dynamics
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianPlanner
from worldplan.planners.bandits.observations import belief_of, state_of
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.reasons.explainer import Explainer
from worldplan.planners.base import Planner

EXACT = SolverSettings(gap=0.0)
ONE_STEP = ("myopic", "iterative_myopic", "sampling")
ALL = (*ONE_STEP, "null", "random", "whittle", "fluid", "lagrangian")
SEEDS = range(6)


def small(seed: int, effects: int = 0, horizon: int = 3) -> BanditInstance:
    generator = np.random.default_rng(seed)
    dynamics = random_dynamics(generator, 3, 2 + seed % 2, effects)
    budget = (Budget, OwnBudget)[seed % 2]
    return instance_of(dynamics, budget(effects or 3, 1 + seed % 2), horizon)


def policy(name: str, instance: BanditInstance) -> Planner:
    if name == "lagrangian":
        return LagrangianPlanner(instance, gap=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        return make_policy(name, PolicyContext(instance, solver=EXACT, samples=5, fluid_window=2))


def beliefs(seed: int, instance: BanditInstance) -> np.ndarray:
    generator = np.random.default_rng([seed, 1])
    size = (instance.dynamics.arms, instance.dynamics.states)
    return generator.dirichlet(np.full(size[1], 0.7), size=size[0])


def joint_states(belief: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Every joint state and its probability."""
    arms = np.arange(len(belief))
    every = itertools.product(range(belief.shape[1]), repeat=len(belief))
    return [(np.array(state), float(belief[arms, state].prod())) for state in every]


def best_return(instance: BanditInstance, state: tuple[int, ...], left: int, memo: Any) -> float:
    """The optimum of all policies that see states, by dynamic programming."""
    if left == 0:
        return 0.0
    if (state, left) not in memo:
        values = [
            after(instance, np.array(state), action, left, memo) for action in feasible(instance)
        ]
        memo[state, left] = max(values)
    return float(memo[state, left])


def after(
    instance: BanditInstance, state: np.ndarray, action: np.ndarray, left: int, memo: Any
) -> float:
    """The return of an action now and the optimum later."""
    model = instance.dynamics
    moves = model.transition[np.arange(model.arms), model.level(action), state]
    later = sum(
        p * best_return(instance, tuple(s.tolist()), left - 1, memo) for s, p in joint_states(moves)
    )
    return float(model.expected_reward(state, action)) + later


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("effects", [0, 2])
def test_a_known_state_and_its_belief_are_the_same_decision(name: str, effects: int) -> None:
    if effects and name in ("whittle", "lagrangian"):
        return
    for seed in SEEDS:
        if name == "lagrangian" and seed % 2:
            continue
        instance = small(seed, effects)
        state = np.random.default_rng(seed).integers(0, instance.dynamics.states, 3)
        belief = np.eye(instance.dynamics.states)[state]
        known = policy(name, instance).plan({"state": state, "steps_left": 3})
        for observation in ({"belief": belief}, {"belief": belief, "state": state}):
            other = policy(name, instance).plan(observation | {"steps_left": 3})
            assert np.array_equal(other.action, known.action)
            assert (other.value, other.bound, other.gap, other.status) == (
                known.value, known.bound, known.gap, known.status,
            )  # fmt: skip


@pytest.mark.parametrize("name", ONE_STEP)
@pytest.mark.parametrize("effects", [0, 2])
def test_expected_rewards_of_the_next_day_are_exact(name: str, effects: int) -> None:
    for seed in SEEDS:
        instance = small(seed, effects)
        belief = beliefs(seed, instance)
        decision = policy(name, instance).plan({"belief": belief})
        worth = {
            tuple(action.tolist()): sum(
                p * float(instance.dynamics.expected_reward(state, action))
                for state, p in joint_states(belief)
            )
            for action in feasible(instance)
        }
        assert decision.value == pytest.approx(worth[tuple(decision.action.tolist())], abs=1e-9)
        if name == "myopic":
            assert decision.value == pytest.approx(max(worth.values()), abs=1e-9)


@pytest.mark.parametrize("name", ["fluid", "lagrangian"])
def test_the_bound_holds_for_states_seen_from_tomorrow_on(name: str) -> None:
    for seed in SEEDS:
        if name == "lagrangian" and seed % 2:
            continue
        instance = small(seed)
        belief, memo = beliefs(seed, instance), {}
        worth = {
            tuple(action.tolist()): sum(
                p * after(instance, state, action, 3, memo) for state, p in joint_states(belief)
            )
            for action in feasible(instance)
        }
        decision = policy(name, instance).plan({"belief": belief, "steps_left": 3})
        assert decision.bound is not None and decision.value is not None
        assert decision.bound >= max(worth.values()) - 1e-7
        assert decision.value >= worth[tuple(decision.action.tolist())] - 1e-7
        assert decision.value <= decision.bound + 1e-7


def test_one_day_before_the_end_the_fluid_policy_is_exact() -> None:
    for seed in SEEDS:
        instance = small(seed)
        observation = {"belief": beliefs(seed, instance), "steps_left": 1}
        fluid = policy("fluid", instance).plan(observation)
        myopic = policy("myopic", instance).plan(observation)
        assert fluid.value == pytest.approx(myopic.value, abs=1e-7)
        assert fluid.bound == pytest.approx(myopic.value, abs=1e-7)


def test_the_index_is_the_mean_under_the_belief() -> None:
    instance = small(2)
    whittle = policy("whittle", instance)
    belief = beliefs(2, instance)
    states = [whittle.action_values({"state": np.full(3, s)})[:, 1] for s in range(2)]
    expected = (np.stack(states, axis=1) * belief).sum(1)
    assert whittle.action_values({"belief": belief})[:, 1] == pytest.approx(expected, abs=1e-12)


def test_a_belief_of_fifty_fifty_is_no_state_in_between() -> None:
    """Both known states want another arm; the mean of the two gains decides."""
    instance = small(0)
    low, high = np.eye(2)[[0, 0, 0]], np.eye(2)[[1, 1, 1]]
    values = [policy("myopic", instance).action_values({"belief": b}) for b in (low, high)]
    both = policy("myopic", instance).action_values({"belief": (low + high) / 2})
    assert both == pytest.approx((values[0] + values[1]) / 2, abs=1e-12)


def test_reasons_hold_for_a_belief() -> None:
    instance = small(1)
    belief = beliefs(1, instance)
    belief[0] = [0.0, 1.0, 0.0]
    observation = {"belief": belief, "steps_left": 3}
    for planner in (FluidPlanner(instance, 2, settings=EXACT), policy("myopic", instance)):
        reasons = Explainer(planner, instance, observation).reasons()
        decision = planner.plan(observation)
        assert reasons.value == pytest.approx(decision.value, abs=1e-6)
        whys = {why.name: why for why in (*reasons.chosen, *reasons.not_chosen)}
        assert whys["0"].state == 1 and whys["1"].state is None
        moved = belief[1] @ instance.dynamics.transition[1, 1]
        assert whys["1"].next_with == pytest.approx(moved)


@pytest.mark.parametrize(
    ("observation", "error", "words"),
    [
        ({"belief": [[0.5, 0.6], [1, 0], [1, 0]]}, DatasetError, "sum"),
        ({"belief": [[-0.5, 1.5], [1, 0], [1, 0]]}, DatasetError, "belief"),
        ({"belief": [[0.5, 0.5], [1, 0]]}, DatasetError, "belief"),
        ({"belief": [[1, 0], [1, 0], [1, 0]], "state": [0, 1, 0]}, DatasetError, "arm '1'"),
        ({"belief": None}, DatasetError, "belief"),
        ({"steps_left": 2}, ConfigError, "'state'"),
    ],
)
def test_what_is_refused(observation: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        belief_of(small(0), observation)


def test_a_policy_that_needs_states_says_so() -> None:
    with pytest.raises(ConfigError, match="arm '1' has a belief .* choose fluid, myopic"):
        state_of(small(0), {"belief": [[1, 0], [0.5, 0.5], [1, 0]]})
