"""Values of groups of arms: by hand, as targets, and as a start of SEQUOIA."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.planners.bandits.test_joint import groups_of
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics
from worldplan.planners.bandits.group_values import GroupTable, group_table, separable_levels
from worldplan.planners.bandits.joint import JointBound
from worldplan.planners.bandits.joint_blocks import Block, Group
from worldplan.planners.bandits.sequoia.targets import GroupTargets


@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_the_table_is_a_plain_recursion_over_joint_states(seed: int, discount: float) -> None:
    model, rng = groups_of(seed, idle=False).dynamics, np.random.default_rng(seed)
    assert model.effect is not None and model.strengths is not None
    arms = np.flatnonzero((model.effect != 0).all(1) | (model.effect[:, 0] != 0))
    count = int((model.effect[arms[0]] != 0).sum())
    prices = rng.normal(size=(3, count + 1))
    block = Block([Group(model, arms, count)], range(count + 1))
    table = group_table(block, prices, discount)
    weight = model.effect[arms[0]].max()
    later = np.zeros((2,) * len(arms))
    for left in range(1, 4):
        now = np.zeros((*later.shape, count + 1))
        for state in itertools.product(range(2), repeat=len(arms)):
            for number in range(count + 1):
                for after in itertools.product(range(2), repeat=len(arms)):
                    share, earned = 1.0, 0.0
                    for arm, s, t in zip(arms, state, after, strict=True):
                        level = int(np.abs(model.strengths[arm] - weight * number).argmin())
                        share *= model.transition[arm, level, s, t]
                        earned += model.reward[arm, t]
                    now[(*state, number)] += share * (earned + discount * later[after])
        np.testing.assert_allclose(table.values[left], now, atol=1e-12)
        later = (now - prices[3 - left]).max(-1)


def test_a_sum_over_arms_is_its_own_separable_part() -> None:
    """At every number of interventions, and arms without a group keep their values."""
    rng, effect = np.random.default_rng(0), np.zeros((3, 2))
    effect[[0, 2]] = 3.0
    strengths = np.array([[0.0, 3.0, 6.0], [0.0, 0.0, 0.0], [0.0, 3.0, 6.0]])
    transition = np.full((3, 3, 4, 4), 0.25)
    model = ArmDynamics(transition, np.zeros((3, 4)), effect, strengths)
    own = rng.normal(size=(3, 2, 4, 3))
    joint = own[:, 0, :, None] + own[:, 1, None]
    table, rest = GroupTable(np.array([0, 2]), joint), rng.normal(size=(3, 3, 4, 3))
    levels = separable_levels([table], model, rest)
    np.testing.assert_array_equal(levels[:, 1], rest[:, 1])
    np.testing.assert_allclose(levels[:, 0, :, None] + levels[:, 2, None], joint)
    gain = levels[..., 1:] - levels[..., :1]
    expected = joint[..., 1:] - joint[..., :1]
    np.testing.assert_allclose(gain[:, 0, :, None] + gain[:, 2, None], expected)


def test_targets_are_the_sum_of_the_groups() -> None:
    instance, rng = generate("interventions", 8, 3, seed=0, horizon=4), np.random.default_rng(0)
    tables, effect = JointBound(instance).group_values(), instance.dynamics.effect
    assert effect is not None
    targets = GroupTargets(tables, effect)
    state, left = rng.integers(0, 4, (5, 8)), rng.integers(1, 5, 5)
    actions = rng.integers(0, 2, (5, 3, instance.actions.size))
    found = targets(
        torch.as_tensor(state), torch.as_tensor(left), torch.as_tensor(actions, dtype=torch.float32)
    )
    for row, place in np.ndindex(5, 3):
        chosen, expected = actions[row, place], 0.0
        for table in tables:
            used = int(((effect[table.arms[0]] != 0) * chosen).sum())
            expected += table.values[(left[row], *state[row, table.arms], used)]
        assert float(found[row, place]) == pytest.approx(expected, rel=1e-5)
