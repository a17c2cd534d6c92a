"""Whittle indices against independent computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.planners.bandits.builders import OwnBudget, feasible, instance_of, random_dynamics
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.planners.bandits.whittle import WhittlePolicy, whittle_indices
from worldplan.world_models.arms.example_log import example_dynamics


def advantage(
    dynamics: ArmDynamics, subsidy: np.ndarray, discount: float, sweeps: int
) -> np.ndarray:
    """Advantage of pulling, (subsidies, arms, states), by plain value iteration."""
    one_step = dynamics.one_step()
    bonus = np.zeros((len(subsidy), dynamics.arms, 2, dynamics.states))
    bonus[:, :, 0] = subsidy.reshape(len(subsidy), -1, 1)
    value = np.zeros((len(subsidy), dynamics.arms, dynamics.states))
    for _ in range(sweeps):
        q = one_step + bonus + discount * np.einsum("jkst,mjt->mjks", dynamics.transition, value)
        value = q.max(2)
    return q[:, :, 1] - q[:, :, 0]


def bisected(dynamics: ArmDynamics, discount: float, sweeps: int) -> np.ndarray:
    """Index by bisection on the subsidy, one problem per (arm, state)."""
    result = np.empty((dynamics.arms, dynamics.states))
    for state in range(dynamics.states):
        low, high = np.full(dynamics.arms, -60.0), np.full(dynamics.arms, 60.0)
        for _ in range(45):
            middle = (low + high) / 2
            pull = advantage(dynamics, middle[None], discount, sweeps)[0, :, state] > 0
            low, high = np.where(pull, middle, low), np.where(pull, high, middle)
        result[:, state] = low
    return result


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_whittle_against_bisection_with_value_iteration(discount: float) -> None:
    generator = np.random.default_rng(2)
    random = random_dynamics(generator, 30, 4)
    drawn = ArmDynamics(
        np.concatenate([random.transition, example_dynamics(10, 5, generator).transition]),
        np.concatenate([random.reward, example_dynamics(10, 5, generator).reward]),
    )
    found = whittle_indices(drawn, discount)
    assert found.indexable.mean() > 0.9
    expected = bisected(drawn, discount, 300 if discount > 0.8 else 60)
    np.testing.assert_allclose(found.index[found.indexable], expected[found.indexable], atol=1e-6)


def test_whittle_closed_forms() -> None:
    up, down, pay = np.array([0.9, 0.6, 0.3]), np.array([0.2, 0.5, 0.4]), np.array([1.0, 2.0, 5.0])
    law = np.stack([np.stack([1 - down, down], -1), np.stack([1 - up, up], -1)], axis=1)
    memoryless = ArmDynamics(
        np.repeat(law[:, :, None], 2, axis=2), np.stack([np.zeros(3), pay], -1)
    )
    np.testing.assert_allclose(
        whittle_indices(memoryless, 0.95).index,
        np.repeat((pay * (up - down))[:, None], 2, axis=1),
        atol=1e-9,
    )
    # no effect of pulling, no reward, equal rewards: every state is worth nothing, and all ties are
    # indexable
    generator = np.random.default_rng(0)
    chains, two = (
        generator.dirichlet(np.ones(4), size=(50, 1, 4)),
        generator.dirichlet(np.ones(4), size=(50, 2, 4)),
    )
    for transition, reward in (
        (chains.repeat(2, axis=1), generator.normal(size=(50, 4))),
        (two, np.zeros((50, 4))),
        (two, np.full((50, 4), 1e4 / 3)),
    ):
        found = whittle_indices(ArmDynamics(transition, reward))
        assert found.indexable.all()
        np.testing.assert_allclose(found.index, 0, atol=1e-8)


def test_whittle_of_a_resting_arm_is_its_gittins_index() -> None:
    """A pull earns by the next state, an arm left alone stays where it is and earns nothing: states
    0 and 1 only lead to paid copies.
    """
    generator = np.random.default_rng(4)
    law, pay, discount = generator.dirichlet(np.ones(3), size=3), generator.uniform(0, 1, 3), 0.9
    # state 2 * s + flag: flag 1 means "just pulled into s", which pays
    transition = np.zeros((1, 2, 6, 6))
    for s, flag in itertools.product(range(3), (0, 1)):
        transition[0, 0, 2 * s + flag, 2 * s] = 1
        transition[0, 1, 2 * s + flag, 1::2] = law[s]
    found = whittle_indices(
        ArmDynamics(transition, np.repeat(pay, 2)[None] * np.tile([0, 1], 3)), discount
    )
    gittins = np.full(
        3, -np.inf
    )  # largest ratio of discounted reward to discounted time over continuation sets
    for keep in itertools.product((0, 1), repeat=3):
        kept = law * np.array(keep)[None]
        reward, duration = np.linalg.solve(
            np.eye(3) - discount * kept, np.stack([law @ pay, np.ones(3)], -1)
        ).T
        gittins = np.maximum(gittins, reward / duration)
    assert found.indexable.all()
    np.testing.assert_allclose(found.index[0], np.repeat(gittins, 2), atol=1e-9)


def test_indexability_flag_against_value_iteration() -> None:
    """Among sharp random 3-state arms some are not indexable; the flag agrees with a fine sweep of
    the subsidy.
    """
    generator = np.random.default_rng(0)
    dynamics = ArmDynamics(
        generator.dirichlet(np.full(3, 0.2), size=(1500, 2, 3)), generator.normal(size=(1500, 3))
    )
    found = whittle_indices(dynamics, 0.9)
    odd = np.flatnonzero(np.logical_not(found.indexable))
    assert 5 <= len(odd) < 150
    chosen = np.concatenate([odd, np.flatnonzero(found.indexable)[:40]])
    some = ArmDynamics(dynamics.transition[chosen], dynamics.reward[chosen])
    subsidy = np.linspace(found.index[chosen].min(1) - 4, found.index[chosen].max(1) + 1, 1000)
    gain = advantage(some, subsidy, 0.9, 250)
    left = np.maximum.accumulate(gain < -1e-6, axis=0)
    returns = np.asarray(
        (left & (gain > 1e-6)).any(axis=(0, 2))
    )  # pulled again at a larger subsidy
    assert not returns[len(odd) :].any()
    assert returns[: len(odd)].mean() > 0.7  # the rest turn back between two points of the sweep


def test_whittle_policy_reports_arms_that_are_not_indexable() -> None:
    generator = np.random.default_rng(0)
    dynamics = ArmDynamics(
        generator.dirichlet(np.full(3, 0.2), size=(1500, 2, 3)), generator.normal(size=(1500, 3))
    )
    with pytest.warns(UserWarning, match="not indexable") as caught:
        policy = WhittlePolicy(instance_of(dynamics, Budget(1500, 100)), discount=0.9)
    assert len(caught) == 1
    assert policy.notes[0].startswith(f"{(~policy.indices.indexable).sum()} of 1500 arms")
    assert policy.plan({"state": generator.integers(3, size=1500)}).action.sum() <= 100


def test_whittle_refuses_several_interventions_and_odd_discounts() -> None:
    dynamics = random_dynamics(np.random.default_rng(0), 3, 2, effects=4)
    with pytest.raises(ConfigError, match="several interventions"):
        WhittlePolicy(instance_of(dynamics, Budget(4, 2)))
    with pytest.raises(ConfigError, match="several interventions"):
        whittle_indices(dynamics)
    with pytest.raises(ConfigError, match="discount"):
        whittle_indices(random_dynamics(np.random.default_rng(0), 3, 2), 1.1)


def joint_values(
    instance: BanditInstance, discount: float
) -> tuple[np.ndarray, np.ndarray, dict[tuple[int, ...], int]]:
    """Rewards (joint states, actions), laws (joint states, actions, joint states) and numbering of
    the product chain.
    """
    dynamics, candidates = instance.dynamics, feasible(instance)
    states = list(itertools.product(range(dynamics.states), repeat=dynamics.arms))
    rewards = np.array([dynamics.expected_reward(np.array(s), candidates) for s in states])
    laws = np.ones((len(states), len(candidates), len(states)))
    for j in range(dynamics.arms):
        here = np.array([s[j] for s in states])
        laws *= dynamics.transition[
            j, candidates[:, j][None, :, None], here[:, None, None], here[None, None, :]
        ]
    return rewards, laws, {s: i for i, s in enumerate(states)}


def test_whittle_is_close_to_dynamic_programming() -> None:
    discount = 0.9
    for seed in range(4):
        generator = np.random.default_rng(seed)
        up = np.stack(
            [generator.uniform(0.05, 0.3, (5, 2)), generator.uniform(0.5, 0.95, (5, 2))], axis=1
        )
        dynamics = ArmDynamics(
            np.stack([1 - up, up], -1), np.stack([np.zeros(5), generator.uniform(0.5, 2, 5)], -1)
        )
        for actions in (Budget(5, 2), OwnBudget(5, 2)):
            instance = instance_of(dynamics, actions)
            rewards, laws, number = joint_values(instance, discount)
            best = np.zeros(len(number))
            for _ in range(200):
                best = (rewards + discount * laws @ best).max(1)
            policy, candidates = WhittlePolicy(instance, discount=discount), feasible(instance)
            plans = np.stack([policy.act({"state": np.array(state)}) for state in number])
            place = (plans[:, None] == candidates).all(-1).argmax(1)
            row = np.arange(len(number))
            reached = np.linalg.solve(
                np.eye(len(number)) - discount * laws[row, place], rewards[row, place]
            )
            assert (reached <= best + 1e-6).all()
            assert (reached / best).min() > 0.98
