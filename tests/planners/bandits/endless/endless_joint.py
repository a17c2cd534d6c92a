"""Programmes without an end by exact dynamic programming over the joint chain."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.planners.bandits.test_exact_optimum import Joint
from tests.planners.bandits.transformed import parts_of_kind
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.planners.base import Planner

NEAR = 1.0 - 1e-6  # a discount whose optimal policies are optimal on average, too


class EndlessJoint(Joint):
    """The joint chain of an endless instance; values are discounted, or averages of a step."""

    def __init__(self, instance: BanditInstance) -> None:
        super().__init__(instance)
        self.discount = NEAR if instance.averaged else instance.discount
        self.scale = 1 - NEAR if instance.averaged else 1.0

    def of_choice(self, chosen: np.ndarray) -> np.ndarray:
        """Values (n,) of a stationary policy: the number of its action in each joint state."""
        row, rewards = np.arange(len(self.states)), np.stack(self.rewards[1])
        kernel, reward = np.stack(self.kernels)[chosen, row], rewards[chosen, row] - rewards.mean()
        return np.asarray(np.linalg.solve(np.eye(len(row)) - self.discount * kernel, reward))

    def whole(self, value: np.ndarray) -> np.ndarray:
        """Values of `of_choice` (n,), which leave the mean reward out, with it."""
        level = np.stack(self.rewards[1]).mean() / (1 - self.discount)
        return np.asarray(self.scale * (value + level))

    def best(self) -> np.ndarray:
        """The optimal values (n,), by policy iteration."""
        kernels, rewards = np.stack(self.kernels), np.stack(self.rewards[1])
        rewards = rewards - rewards.mean()
        chosen, row = np.zeros(len(self.states), int), np.arange(len(self.states))
        while True:
            value = self.of_choice(chosen)
            worth = rewards + self.discount * kernels @ value
            gain = worth.max(0) - worth[chosen, row]
            better = gain > 1e-12 * np.abs(worth).max()
            if not better.any():
                return self.whole(value)
            chosen = np.where(better, worth.argmax(0), chosen)

    def of(self, planner: Planner) -> np.ndarray:
        """The exact values (n,) of a policy."""
        return self.whole(self.of_choice(self.chosen(planner)))


def endless(
    seed: int,
    kind: str,
    discount: float,
    unit: float = 1.0,
    shift: float = 0.0,
    extra: str = "none",
    states: str = "alike",
    classes: str = "one",
) -> tuple[BanditInstance, np.random.Generator]:
    """A random endless instance of three or four arms; "several": arms with several classes."""
    generator = np.random.default_rng(seed)
    parts = parts_of_kind(kind, generator).with_action_rewards(extra, generator)
    if states == "own":
        parts = parts.with_own_states(generator)
    if classes == "several":
        move = parts.dynamics.transition.copy()
        for arm in generator.permutation(len(move))[:2]:  # its first state is left under no action
            move[arm, :, 0] = np.eye(move.shape[-1])[0]
        parts = dataclasses.replace(
            parts, dynamics=dataclasses.replace(parts.dynamics, transition=move)
        )
    shifts = np.full(parts.dynamics.arms, unit * shift)
    instance = parts.in_unit(unit, shifts).instance()
    return dataclasses.replace(instance, horizon=3, discount=discount, endless=True), generator
