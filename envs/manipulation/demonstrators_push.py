"""Demonstrators of the two push tasks: get behind the object, push it along the line to the goal,
hold it there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.demonstrator import Demonstrator
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.incline_push import UP, along, surface

Array = NDArray[np.float64]


class PlanarPushDemonstrator(Demonstrator):
    """Above the far side of the box, down, then push with the hand turned towards the goal until
    the box is there.
    """

    HIGH, LOW = (
        0.07,
        0.022,
    )  # m, height of the fingertips' middle while travelling and while pushing
    BEHIND = 0.07  # m from the middle of the box, beyond its corners
    AHEAD = 0.08  # m, how far ahead of the hand the target lies while pushing: full speed
    CENTRE = 1.5  # m towards the line through the box's middle per m off it
    NEAR = 0.02  # m from the goal, where pushing ends

    def act(self, env: ManipulationEnv) -> Array:
        """See the class."""
        hand, thing = env.hand.position[:2], env.thing.position[:2]
        way = env.thing.goal[:2] - thing
        distance = float(np.linalg.norm(way))
        if self.stage < 2 or distance > 2 * self.NEAR:
            self.heading = way / distance
        if self.stage == 0:
            self.place = thing - self.BEHIND * self.heading
            self.advance(float(np.linalg.norm(hand - self.place)) < 0.02)
        elif self.stage == 1:
            self.advance(env.hand.position[2] < self.LOW + 0.012)
        elif self.stage == 2:
            across = np.array([-self.heading[1], self.heading[0]])
            self.place = (
                hand + self.AHEAD * self.heading - self.CENTRE * ((hand - thing) @ across) * across
            )
            if distance < self.NEAR:
                self.place = hand
            self.advance(distance < self.NEAR)
        yaw = float(
            np.arctan2(self.heading[0], -self.heading[1])
        )  # at yaw 0 the hand pushes towards -y
        return env.hand.action_for(
            np.array([*self.place, self.HIGH if self.stage == 0 else self.LOW]), yaw
        )


class InclinePushDemonstrator(Demonstrator):
    """Over the capsule to the gap between the pegs, down to the slope, push it along the line to
    the goal and hold it there.

    Coordinates here are (across, up the slope). The finger keeps to the end of the capsule that
    lags behind, which turns it square to the line.
    """

    BEHIND = 0.056  # m from the middle of the capsule, square to it
    CLEAR, LOW = 0.13, 0.028  # m above the slope while travelling and while pushing
    AHEAD = 0.07  # m, at most, how far ahead of the hand the target lies
    GAIN = 2.5  # m ahead of the hand per m that the capsule lacks
    FREE = 0.03  # m from the start, where the pegs are passed
    SIDEWAYS = 0.14  # m off the capsule's middle per rad that it is not square to the line
    WIDEST, GAP = 0.04, 0.02  # m off the middle at most, beyond the pegs and between them

    def act(self, env: ManipulationEnv) -> Array:
        """See the class."""
        hand, thing, goal = (
            np.array([point[0], along(point)])
            for point in (env.hand.position, env.thing.position, env.thing.goal)
        )
        axis = env.thing.rotation[:, 0]
        turn = float(np.arctan2(axis @ UP, axis[0]))  # above 0: the right end is higher
        if self.stage == 0:
            self.start = (
                thing
                + np.array([self.BEHIND * np.sin(turn), -self.BEHIND * np.cos(turn)])
                + self.sideways(-turn, self.GAP) * axis[:2]
            )
            self.advance(abs(hand[0] - self.start[0]) < 0.008 and hand[1] < self.start[1] + 0.012)
        elif self.stage == 1:
            self.advance(env.hand.position[2] - surface(hand[1])[2] < self.LOW + 0.01)
            self.rest = thing[1]
        if self.stage < 2:
            return self.aim(env, self.start, self.CLEAR if self.stage == 0 else self.LOW)
        if (
            hand[1] > thing[1]
        ):  # the capsule has slipped past the finger: nothing gentle is left to do
            return self.aim(env, hand, self.CLEAR)
        return self.aim(env, hand + self.push(hand, thing, goal, turn), self.LOW)

    def sideways(self, lag: float, limit: float) -> float:
        """m along the capsule, from its middle to where it is to be pushed, for `lag` rad by which
        its right end lags.
        """
        return float(np.clip(self.SIDEWAYS * lag, -limit, limit))

    def push(self, hand: Array, thing: Array, goal: Array, turn: float) -> Array:
        """(2,) where the target lies from the hand."""
        free = float(np.clip((thing[1] - self.rest) / self.FREE, 0.0, 1.0))
        bend = free * float(
            np.clip(np.arctan2(thing[0] - goal[0], max(goal[1] - thing[1], 0.1)), -0.4, 0.4)
        )  # above 0: to the left
        ahead, across = (
            np.array([-np.sin(bend), np.cos(bend)]),
            np.array([np.cos(bend), np.sin(bend)]),
        )
        offset = self.sideways(bend - turn, self.GAP + free * (self.WIDEST - self.GAP))
        advance = float(np.clip(self.GAIN * (goal - thing)[1], -self.AHEAD, self.AHEAD))
        return advance * ahead + (offset - (hand - thing) @ across) * across

    def aim(self, env: ManipulationEnv, place: Array, height: float) -> Array:
        """The action that goes to `place`, `height` metres above the slope."""
        return env.hand.action_for(
            np.array([place[0], *surface(place[1])[1:]]) + [0.0, 0.0, height]
        )
