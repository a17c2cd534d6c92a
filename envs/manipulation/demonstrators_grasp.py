"""Scripted demonstrators of the tasks with a grasp: bin pick and upright pivot.

They look at the true state and nothing else: no clock, no memory, no random numbers. What to do
next follows from where hand and object are, so a noisy action, a slip or a dropped object is
answered at the next step, and what they do can be cloned from state observations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldplan.envs.manipulation.demonstrator import Demonstrator
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.hand import Hand
from worldplan.envs.manipulation.task import Array
from worldplan.envs.manipulation.upright_pivot import stands

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
        settle: m, height above the object from which the fingers may close.
        sink: m, how far below the middle of the object to aim on the way down, so that the fingers
            close on the way and not at its very end: a clone that stays a little above its teacher
            would wait there for ever.
    """

    half_width: float
    hover: float
    close: float
    slip: float
    settle: float = 0.008
    sink: float = 0.0

    def holds(self, hand: Hand, point: Array) -> bool:
        """Whether the fingers are as far closed as the object between them allows."""
        return self._beside(hand, point, self.slip) and abs(hand.opening - self.half_width) < 0.005

    def approach(self, hand: Hand, point: Array, yaw: float) -> tuple[Array, bool]:
        """Where to go, and whether to close the fingers there: over the object, turn, down, close."""
        away, above = _distance(hand, point), hand.position[2] - point[2]
        turn = abs(hand.yaw - yaw)
        settled = away < self.close and turn < 0.2 and above < self.settle
        deep = point - [0.0, 0.0, self.sink]
        closing = hand.opening < 2 * self.half_width + 0.005
        if self._beside(hand, point, 1.5 * self.close) and (settled or closing):
            return deep, True
        aligned = away < 1.5 * self.close and turn < 0.25
        inside = (
            above < CLEAR and away < 2 * self.close and turn < 0.3
        )  # on the way down: go on, though a little off
        return (deep if aligned or inside else point + [0.0, 0.0, self.hover]), False

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

    grasp = Grasp(half_width=0.011, hover=0.09, close=0.014, slip=0.022, settle=0.012, sink=0.012)
    lift, lower = (
        0.20,
        0.09,
    )  # m, at which the bottle hangs free and at which it would be pressed onto the table
    retreat = 0.34  # m, more than 16 cm over the neck of a standing bottle

    def act(self, env: ManipulationEnv) -> Array:
        """The action (6,) for the state `env` is in."""
        hand, thing = env.hand, env.thing
        neck, axis = thing.position, thing.rotation[:, 0]
        if stands(thing):
            return hand.action_for(self._leave(hand, neck), hand.yaw)
        if self.grasp.holds(hand, neck):
            return hand.action_for(self._lift_or_lower(hand, axis), hand.yaw, closed=True)
        yaw = hand.yaw if axis[2] > 0.9 else _same_grasp(np.arctan2(axis[0], -axis[1]))
        point, closed = self.grasp.approach(hand, neck, yaw)
        return hand.action_for(point, yaw, closed)

    def _leave(self, hand: Hand, neck: Array) -> Array:
        """Stay until the fingers are off the neck, then go straight up."""
        beside = abs(hand.position[2] - neck[2]) < 1.5 * LEVEL
        return neck if beside and hand.opening < 0.03 else np.array([*neck[:2], self.retreat])

    def _lift_or_lower(self, hand: Hand, axis: Array) -> Array:
        """Up while the bottle hangs askew, down onto the table when it is upright, in between where
        it leans a little.
        """
        askew = np.clip((np.hypot(axis[0], axis[1]) - 0.15) / 0.2, 0.0, 1.0)
        return np.array([*hand.position[:2], self.lower + askew * (self.lift - self.lower)])
