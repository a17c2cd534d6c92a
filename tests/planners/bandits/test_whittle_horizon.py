"""Whittle indices with steps to go against plain recursions, and the policy near the end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.planners.bandits.builders import feasible, instance_of, random_dynamics
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.planners.bandits.baselines import MyopicPolicy
from worldplan.planners.bandits.whittle import WhittlePolicy, whittle_indices
from worldplan.planners.bandits.whittle_horizon import (
    finite_indexable,
    finite_whittle_indices,
    whittle_table,
)
from worldplan.world_models.arms.example_log import example_dynamics


def advantage(model: ArmDynamics, arm: int, state: int, subsidy: float, n: int, d: float) -> float:
    """By recursion, one arm and one state at a time."""

    def value(s: int, left: int) -> tuple[float, float]:
        """Values of leaving and of pulling."""
        follow = (
            [0.0] * model.states
            if left == 1
            else [max(value(t, left - 1)) for t in range(model.states)]
        )
        both = [
            sum(
                p * (model.reward[arm, t] + d * follow[t])
                for t, p in enumerate(model.transition[arm, k, s])
            )
            for k in (0, 1)
        ]
        return both[0] + subsidy, both[1]

    leave, pull = value(state, n)
    return pull - leave


@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_against_bisection_with_a_plain_recursion(steps: int, discount: float) -> None:
    generator = np.random.default_rng(steps)
    model = example_dynamics(6, 3, generator)
    found = finite_whittle_indices(model, steps, discount)
    assert finite_indexable(model, steps, discount, found).all()
    for arm, state in itertools.product(range(6), range(3)):
        low, high = -50.0, 50.0
        for _ in range(50):
            middle = (low + high) / 2
            if advantage(model, arm, state, middle, steps, discount) > 0:
                low = middle
            else:
                high = middle
        assert found[arm, state] == pytest.approx(low, abs=1e-8)


def test_the_least_subsidy_where_an_interval_of_them_is_equally_good() -> None:
    """Moves without chance: both levels are often equally good over an interval of subsidies."""
    wide, grid = 0, np.arange(-20.25, 21.0, 1.5)
    for seed in range(25):
        generator = np.random.default_rng(seed)
        moves = np.eye(3)[generator.integers(3, size=(1, 2, 3))]
        model = ArmDynamics(moves, generator.integers(-3, 4, (1, 3)).astype(float))
        found = finite_whittle_indices(model, 3)[0]
        for state in range(3):
            gains = np.array([advantage(model, 0, state, subsidy, 3, 1.0) for subsidy in grid])
            if (np.diff(gains) > 1e-9).any():
                continue  # not indexable
            low, high = -30.0, 30.0
            for _ in range(50):
                middle = (low + high) / 2
                pulls = advantage(model, 0, state, middle, 3, 1.0) > 1e-9
                low, high = (middle, high) if pulls else (low, middle)
            wide += abs(advantage(model, 0, state, high + 0.1, 3, 1.0)) < 1e-9
            assert found[state] == pytest.approx(high, abs=1e-7)
    assert wide > 3


def test_one_step_is_the_gain_and_many_are_the_discounted_index() -> None:
    generator = np.random.default_rng(0)
    model = example_dynamics(30, 4, generator)
    gain = model.one_step()[:, 1] - model.one_step()[:, 0]
    np.testing.assert_allclose(finite_whittle_indices(model, 1), gain, atol=1e-9)
    endless = whittle_indices(model, 0.8)
    np.testing.assert_allclose(
        finite_whittle_indices(model, 90, 0.8)[endless.indexable],
        endless.index[endless.indexable],
        atol=1e-6,
    )


def test_any_arm_has_a_zero_of_its_advantage() -> None:
    """Sharp random arms, of which some are not indexable, in any unit."""
    generator = np.random.default_rng(1)
    transition = generator.dirichlet(np.full(3, 0.2), size=(200, 2, 3))
    reward = generator.normal(size=(200, 3))
    for factor, constant in ((1.0, 0.0), (1e-8, 5.0e-6), (1e9, -1e10)):
        model = ArmDynamics(transition, factor * reward + constant)
        found = finite_whittle_indices(model, 5) / factor
        plain = ArmDynamics(transition, reward)
        for arm in range(0, 200, 40):
            for state in range(3):
                below, above = (
                    advantage(plain, arm, state, found[arm, state] + step, 5, 1.0)
                    for step in (-1e-4, 1e-4)
                )
                assert below >= -1e-3 and above <= 1e-3
    seen = finite_indexable(plain, 5, 1.0, found)
    assert 0.5 < seen.mean() <= 1.0


def optimal_first_values(instance: BanditInstance, left: int) -> dict[tuple[int, ...], np.ndarray]:
    """By joint state, the optimal value of every feasible action with `left` steps to go."""
    model, actions = instance.dynamics, feasible(instance)
    states = list(itertools.product(range(model.states), repeat=model.arms))
    later = np.zeros(len(states))
    for _ in range(left):
        values = np.empty((len(states), len(actions)))
        for column, action in enumerate(actions):
            kernel = np.ones((1, 1))
            for arm, level in enumerate(action):
                kernel = np.kron(kernel, model.transition[arm, level])
            earned = [model.expected_reward(np.array(s), action) for s in states]
            values[:, column] = np.array(earned) + instance.discount * kernel @ later
        later = values.max(1)
    return {state: values[row] for row, state in enumerate(states)}


@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_the_policy_near_the_end(discount: float) -> None:
    """Optimal in the last step; before it near to the optimum, where the endless index is not."""
    losses = {"horizon": 0.0, "endless": 0.0}
    for seed in range(6):
        generator = np.random.default_rng(seed)
        model = random_dynamics(generator, 4, 3)
        instance = BanditInstance(
            model, Budget(4, 2), 20, np.full((4, 3), 1 / 3), discount=discount
        )
        actions = feasible(instance)
        policies = {
            "horizon": WhittlePolicy(instance),
            "endless": WhittlePolicy(instance, discount=0.99),
        }
        for left in (1, 2):
            values = optimal_first_values(instance, left)
            for state, value in values.items():
                for name, policy in policies.items():
                    action = policy.act({"state": np.array(state), "steps_left": left})
                    place = (actions == action).all(-1).argmax()
                    loss = value.max() - value[place]
                    losses[name] += loss
                    if left == 1 and name == "horizon":
                        assert loss == pytest.approx(0.0, abs=1e-9)
                        myopic = MyopicPolicy(instance).act({"state": np.array(state)})
                        assert value[(actions == myopic).all(-1).argmax()] - value[place] <= 1e-9
    assert losses["horizon"] < 0.2 * losses["endless"]


def test_settings_out_of_range_are_refused() -> None:
    model = random_dynamics(np.random.default_rng(0), 3, 2)
    for steps, discount in ((0, 1.0), (3, 0.0), (3, 1.1), (1.5, 1.0)):
        with pytest.raises(ConfigError):
            finite_whittle_indices(model, steps, discount)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="several interventions"):
        finite_whittle_indices(random_dynamics(np.random.default_rng(0), 3, 2, effects=4), 2)
    policy = WhittlePolicy(instance_of(model, Budget(3, 1), 5))
    with pytest.raises(ConfigError, match="steps_left"):
        policy.plan({"state": [0, 0, 0], "steps_left": 6})


@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_the_table_of_all_steps_is_that_of_each(
    discount: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sharp random arms, also not indexable ones, in blocks; 12 instances of other sizes."""
    monkeypatch.setattr("worldplan.planners.bandits.whittle_horizon.BLOCK", 2000)
    for seed in range(6):
        generator = np.random.default_rng(seed)
        arms, states, steps = generator.integers([1, 2, 1], [9, 5, 13])
        transition = generator.dirichlet(np.full(states, 0.4), size=(arms, 2, states))
        model = ArmDynamics(transition, 10.0 ** generator.integers(-6, 7) * generator.normal(
            size=(arms, states)))  # fmt: skip
        table = whittle_table(model, int(steps), discount)
        assert table.shape == (steps + 1, arms, states) and not table[0].any()
        for left in range(1, steps + 1):
            each = finite_whittle_indices(model, left, discount)
            np.testing.assert_allclose(table[left], each, atol=1e-9 * np.ptp(model.reward))
