"""Scripted demonstrators of the tasks with a grasp: bin pick and upright pivot.

Each action is a function of the simulator's state, without clock, memory or random numbers. A noisy
action, a slip or a dropped object is therefore corrected in the next step, and the demonstrators
can be cloned from state observations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldplan.envs.manipulation.demonstrators.base import Demonstrator
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.hand import Hand
from worldplan.envs.manipulation.task import Array
from worldplan.envs.manipulation.upright_pivot import stands

CLEAR = 0.06  # m above the object, where the fingers are clear of it
LEVEL = 0.02  # m, greatest height difference at which the fingers are beside the object


@dataclass(frozen=True)
class Grasp:
    """The geometry of a grasp.

    Args:
        half_width: m, half the width of the object between the closed fingers.
        hover: m, height above the object from which the hand descends.
        close: m, greatest horizontal distance at which the fingers close.
        slip: m, greatest horizontal distance at which the object counts as held.
        settle: m, greatest height above the object at which the fingers close.
        sink: m, depth of the descent's target below the middle of the object. The fingers then
            close during the descent and not at its end, where a clone that stays slightly higher
            would never close them.
    """

    half_width: float
    hover: float
    close: float
    slip: float
    settle: float = 0.008
    sink: float = 0.0

    def holds(self, hand: Hand, point: Array) -> bool:
        """Whether the fingers hold the object at `point` (3,): beside it, and closed up to it."""
        return self._beside(hand, point, self.slip) and abs(hand.opening - self.half_width) < 0.005

    def approach(self, hand: Hand, point: Array, yaw: float) -> tuple[Array, bool]:
        """The next target: above the object and turned to it, then down, then closed.

        Args:
            hand: of the simulation.
            point: (3,) m, to grasp the object at.
            yaw: rad, to grasp it with.

        Returns:
            The target (3,) in m, and whether the fingers close.
        """
        distance, above = _distance(hand, point), hand.position[2] - point[2]
        turn = abs(hand.yaw - yaw)
        settled = distance < self.close and turn < 0.2 and above < self.settle
        deep = point - [0.0, 0.0, self.sink]
        closing = hand.opening < 2 * self.half_width + 0.005
        if self._beside(hand, point, 1.5 * self.close) and (settled or closing):
            return deep, True
        aligned = distance < 1.5 * self.close and turn < 0.25
        # a descent continues with a slightly greater error than it starts with
        descending = above < CLEAR and distance < 2 * self.close and turn < 0.3
        return (deep if aligned or descending else point + [0.0, 0.0, self.hover]), False

    def _beside(self, hand: Hand, point: Array, radius: float) -> bool:
        return _distance(hand, point) < radius and abs(float(hand.position[2] - point[2])) < LEVEL


def _distance(hand: Hand, point: Array) -> float:
    """Horizontal distance, m."""
    return float(np.linalg.norm((hand.position - point)[:2]))


def _same_grasp(yaw: float) -> float:
    """The equivalent yaw in [-pi/2, pi/2): half a turn puts the fingers on the same two sides."""
    return (yaw + np.pi / 2) % np.pi - np.pi / 2


class BinPickDemonstrator(Demonstrator):
    """Grasps the block, then moves it to the goal with yaw 0."""

    grasp = Grasp(half_width=0.02, hover=0.10, close=0.012, slip=0.03)

    def act(self, env: ManipulationEnv) -> Array:
        """The action (6,) for the present state of `env`."""
        hand, thing = env.hand, env.thing
        if self.grasp.holds(hand, thing.position):
            return hand.action_for(thing.goal, 0.0, closed=True)
        along = thing.rotation[:, 1]
        yaw = _same_grasp(np.arctan2(-along[0], along[1]))
        point, closed = self.grasp.approach(hand, thing.position, yaw)
        return hand.action_for(point, yaw, closed)


class UprightPivotDemonstrator(Demonstrator):
    """Pinches the neck, lifts until the bottle hangs upright, lowers it, opens and retreats."""

    grasp = Grasp(half_width=0.011, hover=0.09, close=0.014, slip=0.022, settle=0.012, sink=0.012)
    lift = 0.20  # m, height of the hand at which the bottle hangs free
    lower = 0.09  # m, height at which it is pressed onto the table
    retreat = 0.34  # m, more than 16 cm over the neck of a standing bottle

    def act(self, env: ManipulationEnv) -> Array:
        """The action (6,) for the present state of `env`."""
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
        """The target (3,): the neck until the fingers are open, then straight up."""
        beside = abs(hand.position[2] - neck[2]) < 1.5 * LEVEL
        return neck if beside and hand.opening < 0.03 else np.array([*neck[:2], self.retreat])

    def _lift_or_lower(self, hand: Hand, axis: Array) -> Array:
        """The target (3,): up for a leaning bottle, down for an upright one, between in between."""
        lean = np.clip((np.hypot(axis[0], axis[1]) - 0.15) / 0.2, 0.0, 1.0)
        return np.array([*hand.position[:2], self.lower + lean * (self.lift - self.lower)])
