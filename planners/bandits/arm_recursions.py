"""Single arms at a price of a pull: backward and forward recursions over all arms at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints

GROUPS = 20  # groups of arms in the master program: more groups, fewer but costlier iterations

ArmPolicies = NDArray[np.bool_]  # (steps, states, arms): pull or not


@dataclass(frozen=True)
class FixedPulls:
    """Pulls that are not free, by arm (arms,).

    Args:
        forced: pulled at the first step.
        out: not pulled at the first step.
        never: not pulled at any later step.
    """

    forced: NDArray[np.bool_]
    out: NDArray[np.bool_]
    never: NDArray[np.bool_]

    def pulls(self, policy: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
        """The policy (..., arms) of a step with what is fixed."""
        return (policy | self.forced) & ~self.out if step == 0 else policy & ~self.never

    def later(self) -> FixedPulls:
        """What is fixed if the first step is a later day."""
        return FixedPulls(np.zeros_like(self.forced), self.never, self.never)


class ArmRecursions:
    """Recursions over all arms at once.

    The arm is the last axis, so that each step is a few passes over contiguous memory. Rewards are
    in units of `scale`, the largest spread of an arm's expected rewards. Values and prices of later
    steps are discounted to the first one.
    """

    def __init__(self, model: ArmDynamics, discount: float = 1.0, late: Ints | None = None) -> None:
        self.arms, self.discount, self.late = model.arms, discount, late
        # (2, states, next states, arms)
        self.transition = np.ascontiguousarray(model.transition.transpose(1, 2, 3, 0))
        reward = model.one_step().transpose(1, 2, 0)
        self.scale = float(np.ptp(reward, axis=(0, 1)).max()) or 1.0
        self.reward = np.ascontiguousarray(reward / self.scale)  # (2, states, arms)
        # first arm of each group
        self.groups = np.unique(
            np.linspace(0, model.arms, min(GROUPS, model.arms) + 1).astype(int)[:-1]
        )

    def _earned(self, step: int, left: int) -> Floats:
        """Rewards (2, states, arms) of a step, discounted; `left` steps to go at step 0."""
        reward = self.discount**step * self.reward
        counted = counting(self.late, left - step)
        return reward if counted is None else reward * counted

    def best(self, prices: Floats, fixed: FixedPulls) -> tuple[Floats, Floats, ArmPolicies]:
        """The best policy of every arm at `prices` (steps,), by backward induction.

        Args:
            prices: of a pull at each step.
            fixed: pulls that are not free.

        Returns:
            At the first step the value (states, arms) and the gain of a pull (states, arms); the
            policies.
        """
        value = np.zeros(self.reward.shape[1:])
        gain = value
        policies = np.zeros((len(prices), *value.shape), bool)
        for step in range(len(prices) - 1, -1, -1):
            now = self._earned(step, len(prices))
            worth = now + np.einsum("kstj,tj->ksj", self.transition, value)
            gain = worth[1] - worth[0] - prices[step]
            policies[step] = fixed.pulls(gain > 0, step)
            value = worth[0] + np.where(policies[step], gain, 0.0)
        return value, gain, policies

    def pulls(self, policies: ArmPolicies, start: Floats) -> Floats:
        """Expected pulls (steps, arms) of `policies`; arguments as in `follow`."""
        mass, pulls = start, np.zeros((len(policies), self.arms))
        for step, pulled in enumerate(policies):
            active = mass * pulled
            pulls[step] = active.sum(0)
            mass = self._moved(mass - active, active)
        return pulls

    def follow(self, policies: ArmPolicies, start: Floats) -> tuple[Floats, Floats]:
        """Expected reward (groups,) and pulls (steps, groups) from the distribution `start`.

        Args:
            policies: what each arm does.
            start: (states, arms) distribution of each arm's first state.
        """
        mass = start
        earned, pulls = np.zeros(start.shape[1]), np.zeros((len(policies), len(self.groups)))
        for step, pulled in enumerate(policies):
            active = mass * pulled
            rest = mass - active
            now = self._earned(step, len(policies))
            earned += (now[0] * rest + now[1] * active).sum(0)
            pulls[step] = np.add.reduceat(active.sum(0), self.groups)
            mass = self._moved(rest, active)
        return np.add.reduceat(earned, self.groups), pulls

    def _moved(self, rest: Floats, active: Floats) -> Floats:
        """The next distribution (states, arms) of those not pulled and of those pulled."""
        moved: Floats = np.einsum("stj,sj->tj", self.transition[0], rest) + np.einsum(
            "stj,sj->tj", self.transition[1], active
        )
        return moved
