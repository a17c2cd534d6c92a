"""Scripted demonstrators of the tasks with a grasp: bin pick and upright pivot.

They look at the true state and nothing else: no clock, no memory, no random numbers. What to do next follows from where hand and object are,
so a noisy action, a slip or a dropped object is answered at the next step, and what they do can be cloned from state observations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.manipulation.demonstrators import Demonstrator
from envs.manipulation.environment import ManipulationEnv
from envs.manipulation.hand import Hand
from envs.manipulation.task import Array
from envs.manipulation.upright_pivot import stands

CLEAR = 0.06  # m above the object from where the fingers are clear of it
LEVEL = 0.02  # m, greatest height difference at which fingers are beside the object


@dataclass(frozen=True)
class Grasp:
    """How to take hold of an object.

    Args:
        half_width: m, half of what is between closed fingers.
        hover: m, height above the object from which to go down.
        close: m, horizontal error up to which the fingers may close.
        slip: m, horizontal distance up to which the object still counts as held.
    """

    half_width: float
    hover: float
    close: float
    slip: float

    def holds(self, hand: Hand, point: Array) -> bool:
        """Whether the fingers are as far closed as the object between them allows."""
        return self._beside(hand, point, self.slip) and abs(hand.opening - self.half_width) < 0.005

    def approach(self, hand: Hand, point: Array, yaw: float) -> tuple[Array, bool]:
        """Where to go, and whether to close the fingers there: over the object, turn, down, close."""
        away, above = _distance(hand, point), hand.position[2] - point[2]
        turn = abs(hand.yaw - yaw)
        settled = away < self.close and turn < 0.12 and above < 0.4 * LEVEL
        closing = hand.opening < 2 * self.half_width + 0.005
        if self._beside(hand, point, 1.5 * self.close) and (settled or closing):
            return point, True
        aligned = away < 1.5 * self.close and turn < 0.2
        inside = above < CLEAR and away < 2 * self.close and turn < 0.3  # on the way down: go on, though a little off
        return (point if aligned or inside else point + [0.0, 0.0, self.hover]), False

    def _beside(self, hand: Hand, point: Array, radius: float) -> bool:
        return _distance(hand, point) < radius and abs(float(hand.position[2] - point[2])) < LEVEL


def _distance(hand: Hand, point: Array) -> float:
    return float(np.linalg.norm((hand.position - point)[:2]))


def _same_grasp(yaw: float) -> float:
    """The yaw within a quarter turn that puts the fingers on the same two sides."""
    return (yaw + np.pi / 2) % np.pi - np.pi / 2


class BinPickDemonstrator(Demonstrator):
    """Over the block, turn, down, close; when it is held, bring it to the goal, turned straight."""

    grasp = Grasp(half_width=0.02, hover=0.10, close=0.012, slip=0.03)

    def act(self, env: ManipulationEnv) -> Array:
        """The action (6,) for the state `env` is in."""
        hand, thing = env.hand, env.thing
        if self.grasp.holds(hand, thing.position):
            return hand.action_for(thing.goal, 0.0, closed=True)
        along = thing.rotation[:, 1]
        yaw = _same_grasp(np.arctan2(-along[0], along[1]))
        point, closed = self.grasp.approach(hand, thing.position, yaw)
        return hand.action_for(point, yaw, closed)


class UprightPivotDemonstrator(Demonstrator):
    """Pinch the neck, lift until the bottle hangs upright, lower it onto the table, let go, go up."""

    grasp = Grasp(half_width=0.011, hover=0.09, close=0.008, slip=0.015)
    lift = 0.20  # m, at which the bottle hangs free
    retreat = 0.34  # m, more than 16 cm over the neck of a standing bottle

    def act(self, env: ManipulationEnv) -> Array:
        """The action (6,) for the state `env` is in."""
        hand, thing = env.hand, env.thing
        neck, axis = thing.position, thing.rotation[:, 0]
        if stands(thing):
            return hand.action_for(self._leave(hand, neck), hand.yaw)
        yaw = hand.yaw if axis[2] > 0.9 else _same_grasp(np.arctan2(axis[0], -axis[1]))
        if self.grasp.holds(hand, neck):
            return hand.action_for(self._lift_or_lower(hand, axis), yaw, closed=True)
        point, closed = self.grasp.approach(hand, neck, yaw)
        return hand.action_for(point, yaw, closed)

    def _leave(self, hand: Hand, neck: Array) -> Array:
        """Stay until the fingers are off the neck, then go straight up."""
        beside = abs(hand.position[2] - neck[2]) < 1.5 * LEVEL
        return neck if beside and hand.opening < 0.03 else np.array([*neck[:2], self.retreat])

    def _lift_or_lower(self, hand: Hand, axis: Array) -> Array:
        """Up while the bottle hangs askew, down when it is upright."""
        return hand.position - [0.0, 0.0, 0.06] if axis[2] > 0.98 else np.array([*hand.position[:2], self.lift])
