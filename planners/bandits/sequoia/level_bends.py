"""Values of each arm's levels as piecewise linear functions of the strength, in a ReLU network.

Let x_j = reach_j @ a be the strength of an action on arm j, and x_j0 < x_j1 < ... < x_jK the
strengths that can occur. Values V_jk of the levels are met at every strength by

    V_j(x) = V_j0 + m_j0 (x - x_j0) + sum_{0<k<K} (m_jk - m_j,k-1) relu(x - x_jk)

with m_jk the slope between x_jk and x_j,k+1. A slope that changes by c takes two neurons,

    c relu(x - x_jk) = relu(c+ (x - x_jk)) - relu(c- (x - x_jk)),    c = c+ - c-

so that c, which depends on the state, stands in the first layer, and all further weights are the
same in every state. A deeper network carries the two sums of these neurons to its output: they are
not negative, so relu leaves them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import ArmDynamics, Floats
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.planners.bandits.units import used_levels


def strength_unit(effect: Floats) -> float:
    """The unit of strengths in networks: the largest total strength of an arm or, where no total is
    positive, the largest size of a single effect.

    Args:
        effect: (arms, components).
    """
    total = float(effect.sum(1).max())
    return total if total > 0 else float(np.abs(effect).max()) or 1.0


@dataclass(frozen=True)
class LevelBends:
    """Where the values of arms bend.

    Args:
        reach: (arms, components) strength of each component, in the unit `strength_unit`.
        strengths: (arms, levels) of the levels, in the same unit; unused levels repeat the last.
        apart: (arms, levels - 1) whether a level is stronger than the one before it.
    """

    reach: Floats
    strengths: Floats
    apart: NDArray[np.bool_]

    @classmethod
    def of(cls, dynamics: ArmDynamics) -> LevelBends | None:
        """The bends of arms that several interventions reach; None where no value can bend."""
        if dynamics.effect is None or dynamics.strengths is None or dynamics.levels < 3:
            return None
        unit = strength_unit(dynamics.effect)
        # in the precision of the network's tables, so that a decision sees what was trained
        reach, strengths = (
            (x / unit).astype(np.float32).astype(float)
            for x in (dynamics.effect, dynamics.strengths)
        )
        return cls(reach, strengths, used_levels(dynamics)[:, 1:])

    @property
    def knots(self) -> Floats:
        """(arms, bends) strengths of all levels but the first and the last."""
        return self.strengths[:, 1:-1]

    @property
    def bent(self) -> NDArray[np.bool_]:
        """(arms, bends) whether the value can bend: a smaller and a greater strength occur."""
        return self.apart[:, :-1] & self.apart[:, 1:]

    def pieces(self, levels: Floats) -> tuple[Floats, Floats, Floats]:
        """Base at the strength 0, first slope and changes of slope of values of the levels.

        Args:
            levels: (..., arms, states, levels).

        Returns:
            (..., arms, states) twice, and (..., arms, states, bends).
        """
        length, apart = np.diff(self.strengths, axis=1)[:, None, :], self.apart[:, None, :]
        slope = np.where(apart, np.diff(levels, axis=-1) / np.where(apart, length, 1.0), 0.0)
        bend = np.where(self.bent[:, None, :], np.diff(slope, axis=-1), 0.0)
        first = slope[..., 0]
        return levels[..., 0] - first * self.strengths[:, None, 0], first, bend

    def values(self, slope: Floats, bend: Floats) -> Floats:
        """Values (arms, levels) beyond the base, of slopes (arms,) and changes (arms, bends)."""
        beyond = np.maximum(self.strengths[:, :, None] - self.knots[:, None, :], 0.0)
        total: Floats = slope[:, None] * self.strengths + (beyond * bend[:, None, :]).sum(-1)
        return total

    def joined(self, network: ReluNetwork, bend: Floats) -> ReluNetwork:
        """The sum of a network of the action and of the bends, as one network.

        Args:
            network: of the action.
            bend: (arms, bends) changes of slope.
        """
        arm, place = np.nonzero(self.bent)
        change, count = bend[arm, place], len(arm)
        size = np.concatenate([np.maximum(change, 0.0), np.maximum(-change, 0.0)])
        reach, knot = np.tile(self.reach[arm], (2, 1)), np.tile(self.knots[arm, place], 2)
        weights = [np.vstack([network.weights[0], size[:, None] * reach])]
        biases = [np.concatenate([network.biases[0], -size * knot])]
        signs = np.zeros((2, 2 * count))  # the sum of those that add, and of those that take away
        signs[0, :count] = signs[1, count:] = 1.0
        for weight, bias in zip(network.weights[1:-1], network.biases[1:-1], strict=True):
            weights.append(_beside(weight, signs))
            biases.append(np.concatenate([bias, np.zeros(2)]))
            signs = np.eye(2)
        weights.append(np.hstack([network.weights[-1], signs[:1] - signs[1:]]))
        return ReluNetwork(tuple(weights), (*biases, network.biases[-1]), network.skip)


def _beside(first: Floats, second: Floats) -> Floats:
    """The block diagonal matrix of two matrices."""
    total = np.zeros((len(first) + len(second), first.shape[1] + second.shape[1]))
    total[: len(first), : first.shape[1]] = first
    total[len(first) :, first.shape[1] :] = second
    return total
