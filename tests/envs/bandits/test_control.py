"""Control variates: no variance at the policy's own value, and no bias at any guess."""

from __future__ import annotations

import numpy as np
import pytest

from worldplan.envs.bandits.control import ControlledVectorEnv
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget


def free_arms(seed: int, discount: float, horizon: int = 6) -> BanditInstance:
    """Arms that may all be pulled."""
    rng = np.random.default_rng(seed)
    model = ArmDynamics(rng.dirichlet(np.ones(3), (4, 2, 3)), rng.normal(size=(4, 3)))
    initial = rng.dirichlet(np.ones(3), 4)
    return BanditInstance(model, Budget(4, 4), horizon, initial, discount=discount)


def values_of_random_policy(instance: BanditInstance, policy: np.ndarray) -> np.ndarray:
    """(horizon + 1, arms, states) of a policy (arms, states) that sees its own arm only."""
    model, arms, states = instance.dynamics, np.arange(4)[:, None], np.arange(3)
    move = model.transition[arms, policy, states]
    values = np.zeros((instance.horizon + 1, 4, 3))
    for left in range(1, instance.horizon + 1):
        worth = model.reward + instance.discount * values[left - 1]
        values[left] = np.einsum("jst,jt->js", move, worth)
    return values


def play(
    instance: BanditInstance, policy: np.ndarray, values: np.ndarray, episodes: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First states, discounted returns, and discounted returns with corrections."""
    env = ControlledVectorEnv(instance, values, episodes)
    plain = BanditVectorEnv(instance, episodes)
    observation, _ = env.reset(seed=seed)
    plain.reset(seed=seed)
    first, rewards = observation["state"], []
    for _ in range(instance.horizon):
        actions = policy[np.arange(4), observation["state"]].astype(np.int8)
        observation, reward, *_ = env.step(actions)
        assert np.array_equal(plain.step(actions)[1], reward)  # rewards stay as they are
        rewards.append(reward)
    weights = instance.discount ** np.arange(instance.horizon)
    raw = np.stack(rewards, 1)
    return first, raw @ weights, (raw + env.corrections) @ weights


@pytest.mark.parametrize("discount", [1.0, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_the_policys_own_value_leaves_no_variance(seed: int, discount: float) -> None:
    instance = free_arms(seed, discount)
    policy = np.random.default_rng(seed).integers(0, 2, (4, 3))
    values = values_of_random_policy(instance, policy)
    first, raw, steady = play(instance, policy, values, 20)
    expected = values[-1][np.arange(4), first].sum(1)
    np.testing.assert_allclose(steady, expected, atol=1e-10)
    assert np.abs(raw - expected).max() > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_guess_costs_precision_only(seed: int) -> None:
    instance = free_arms(seed, 0.9)
    rng = np.random.default_rng(seed)
    policy = rng.integers(0, 2, (4, 3))
    guess = rng.normal(size=(7, 4, 3))
    first, _, steady = play(instance, policy, guess, 4000, seed)
    own = values_of_random_policy(instance, policy)
    error = steady - own[-1][np.arange(4), first].sum(1)
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))


def test_a_second_round_begins_without_corrections() -> None:
    instance = free_arms(0, 1.0)
    env = ControlledVectorEnv(instance, np.random.default_rng(0).normal(size=(7, 4, 3)), 2)
    env.reset(seed=0)
    env.step(np.ones((2, 4), np.int8))
    assert env.corrections[:, 0].all() and not env.corrections[:, 1:].any()
    env.reset(seed=1)
    assert not env.corrections.any()


def test_values_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"values have the shape \(6, 4, 3\): give \(7, 4, 3\)"):
        ControlledVectorEnv(free_arms(0, 1.0), np.zeros((6, 4, 3)))


def test_one_table_counts_for_every_number_of_steps_to_go() -> None:
    instance, rng = free_arms(1, 0.9), np.random.default_rng(1)
    policy, table = rng.integers(0, 2, (4, 3)), rng.normal(size=(1, 4, 3))
    _, _, one = play(instance, policy, table, 20)
    _, _, each = play(instance, policy, np.repeat(table, 7, axis=0), 20)
    np.testing.assert_array_equal(one, each)
