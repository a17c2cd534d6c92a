"""Arms that end before the programme: nothing is earned afterwards, and the others are as before.

The values themselves are compared with exact dynamic programming in `test_exact_optimum`.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from tests.planners.bandits.transformed import parts_of_kind
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.lagrangian import LagrangianBound
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.units import default_returns
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner

EXACT = SolverSettings(gap=0.0)


def drawn(seed: int, kind: str = "budget") -> tuple[BanditInstance, np.random.Generator]:
    """A random instance of six steps, whose arms end after 0 to 6 of them."""
    generator = np.random.default_rng(seed)
    parts = parts_of_kind(kind, generator).with_action_rewards("of the state", generator)
    instance = dataclasses.replace(parts, horizon=6).instance()
    return dataclasses.replace(instance, ends=generator.integers(0, 7, 4)), generator


def quiet(name: str, instance: BanditInstance) -> Planner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        return make_policy(name, PolicyContext(instance, solver=EXACT))


@pytest.mark.parametrize("seed", range(4))
def test_episodes_earn_until_each_arm_s_end(seed: int) -> None:
    instance, generator = drawn(seed)
    assert instance.ends is not None
    whole = dataclasses.replace(instance, ends=None)
    for reward in ("expected", "sampled"):
        env, other = (BanditVectorEnv(each, 20, reward=reward) for each in (instance, whole))
        state = env.reset(seed=3)[0]["state"]
        other.reset(seed=3)
        for step in range(6):
            actions = np.stack([instance.actions.sample(generator) for _ in range(20)])
            after, earned, _, truncated, info = env.step(actions)
            other.step(actions)
            parts = instance.dynamics.earned(state, actions, after["state"])
            if reward == "expected":
                parts = instance.dynamics.one_step()[np.arange(4), actions, state]
            expected = parts[:, step < instance.ends].sum(1)
            np.testing.assert_allclose(earned, expected, atol=1e-12)
            np.testing.assert_array_equal(info[f"{reward}_reward"], earned)
            state = after["state"]
            np.testing.assert_array_equal(state, other._state)  # who ended moves on all the same
        assert truncated.all()


@pytest.mark.parametrize("seed", range(6))
def test_an_arm_without_steps_changes_nothing(seed: int) -> None:
    """Neither its rewards, however large, nor its moves reach values, bounds or decisions."""
    instance, generator = drawn(seed)
    model, ends = instance.dynamics, instance.ends
    assert ends is not None and model.action_reward is not None
    extra = np.broadcast_to(model.action_reward, (4, *model.action_reward.shape[1:]))
    bigger = ArmDynamics(
        np.concatenate([model.transition, model.transition[:1]]),
        np.concatenate([model.reward, 1e9 * generator.normal(size=(1, model.states))]),
        action_reward=np.concatenate([extra, 1e9 * extra[:1] - 3e9]),
    )
    assert isinstance(instance.actions, Budget)
    joined = BanditInstance(
        bigger, Budget(5, instance.actions.most), 6, bigger.uniform, ends=np.append(ends, 0)
    )
    for left in (6, 3, 1):
        state = generator.integers(model.states, size=4)
        more = np.append(state, 0)
        for bound in (FluidBound, HullBound, LagrangianBound):
            values = [bound(each).from_state(s, left)
                      for each, s in ((instance, state), (joined, more))]  # fmt: skip
            assert values[1] == pytest.approx(values[0], rel=1e-5, abs=1e-5)
        for name in ("myopic", "iterative_myopic", "whittle", "fluid"):
            found = [
                quiet(name, each).plan({"state": s, "steps_left": left})
                for each, s in ((instance, state), (joined, more))
            ]
            if name != "fluid":  # ties of arms that have ended are broken at will
                np.testing.assert_array_equal(found[0].action, found[1].action[:4])
                assert not found[1].action[4]
            if found[0].value is not None:
                assert found[1].value == pytest.approx(found[0].value, abs=1e-5)
    starts = np.zeros((1, 5), int)
    np.testing.assert_allclose(
        default_returns(joined, starts), default_returns(instance, starts[:, :4])
    )


def test_ends_at_the_horizon_are_no_ends() -> None:
    instance, _ = drawn(0)
    assert dataclasses.replace(instance, ends=np.full(4, 6)).ends is None
    assert dataclasses.replace(instance, ends=np.full(4, 99)).late is None
    for wrong in (np.full(4, -1), np.full(3, 6), np.full(4, 1.5)):
        with pytest.raises(DatasetError, match="ends"):
            dataclasses.replace(instance, ends=wrong)


@pytest.mark.parametrize("seed", range(4))
def test_whittle_indices_are_those_of_an_arm_s_own_steps(seed: int) -> None:
    instance, generator = drawn(seed)
    assert instance.ends is not None
    policy = quiet("whittle", instance)
    assert isinstance(policy, WhittlePolicy)
    for left in range(1, 7):
        state = generator.integers(instance.dynamics.states, size=4)
        values = policy.action_values({"state": state, "steps_left": left})[:, 1]
        for arm, end in enumerate(instance.ends.tolist()):
            own = left - (6 - end)
            expected = 0.0
            if own > 0:
                alone = dataclasses.replace(instance, ends=None, horizon=own)
                expected = quiet("whittle", alone).action_values({"state": state})[arm, 1]  # type: ignore[attr-defined]
            assert values[arm] == pytest.approx(expected, abs=1e-9)


def test_a_pull_of_the_last_step_costs_nothing_to_others() -> None:
    """With one pull a step, it goes to the arm that counts, though the other would earn more."""
    move = np.zeros((2, 2, 2, 2))
    move[:, 0, :, 0] = move[:, 1, :, 1] = 1.0
    reward = np.array([[0.0, 9.0], [0.0, 1.0]])
    instance = BanditInstance(
        ArmDynamics(move, reward), Budget(2, 1), 4, np.full((2, 2), 0.5), ends=np.array([2, 4])
    )
    for name in ("myopic", "iterative_myopic", "sampling", "whittle", "fluid"):
        planner = quiet(name, instance)
        planner.reset(seed=0)
        for left in (4, 3, 2, 1):
            action = planner.plan({"state": np.zeros(2, int), "steps_left": left}).action
            assert action.tolist() == ([1, 0] if left > 2 else [0, 1]), (name, left)
    assert FluidBound(instance).from_state(np.zeros(2, int)) == pytest.approx(9 + 9 + 1 + 1)
    assert FluidPlanner(instance).plan({"state": np.zeros(2, int)}).value == pytest.approx(20)


def test_what_needs_the_whole_horizon_says_so() -> None:
    budget, _ = drawn(0)
    with pytest.raises(ConfigError, match="leave discount out"):
        WhittlePolicy(budget, discount=0.9)
    with pytest.raises(ConfigError, match="need the whole horizon"):
        LagrangianBound(budget, steps=3)


@pytest.mark.parametrize("discount", [1.0, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_a_plain_budget_agree(seed: int, discount: float) -> None:
    """Linear program, prices and columns find the same optimum, from every number of steps."""
    instance, generator = drawn(seed)
    instance = dataclasses.replace(instance, discount=discount)
    linear, prices = FluidBound(instance), LagrangianBound(instance)
    columns = HullBound(instance, gap=1e-7) if discount == 1 else None
    for left in (6, 4, 2):
        state = generator.integers(instance.dynamics.states, size=4)
        optimum = linear.from_state(state, left)
        assert prices.from_state(state, left) == pytest.approx(optimum, rel=1e-4, abs=1e-5)
        if columns is not None:
            assert columns.from_state(state, left) == pytest.approx(optimum, rel=1e-4, abs=1e-5)
