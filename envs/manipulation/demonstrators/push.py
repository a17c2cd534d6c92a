"""Scripted demonstrators of the two push tasks.

Both move behind the object, push it along the line to the goal and hold it there.
"""

from __future__ import annotations

import numpy as np

from worldplan.envs.manipulation.demonstrators.base import Demonstrator
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.incline_push import UP, along, surface
from worldplan.envs.manipulation.task import Array


class PlanarPushDemonstrator(Demonstrator):
    """Moves above the far side of the box, descends, then pushes towards the goal.

    While it pushes, the hand is turned towards the goal.
    """

    # m, height of the fingertips' middle while travelling and while pushing
    HIGH, LOW = 0.07, 0.022
    BEHIND = 0.07  # m from the middle of the box, beyond its corners
    AHEAD = 0.08  # m, distance of the target ahead of the hand while pushing: full speed
    CENTRE = 1.5  # m of correction towards the line through the box's middle, per m off it
    NEAR = 0.02  # m from the goal, where pushing ends

    def act(self, env: ManipulationEnv) -> Array:
        """The action (5,) for the present state of `env` and the stage."""
        hand, thing = env.hand.position[:2], env.thing.position[:2]
        to_goal = env.thing.goal[:2] - thing
        distance = float(np.linalg.norm(to_goal))
        if self.stage < 2 or distance > 2 * self.NEAR:
            self.heading = to_goal / distance
        if self.stage == 0:
            self.target = thing - self.BEHIND * self.heading
            self.advance(float(np.linalg.norm(hand - self.target)) < 0.02)
        elif self.stage == 1:
            self.advance(env.hand.position[2] < self.LOW + 0.012)
        elif self.stage == 2:
            across = np.array([-self.heading[1], self.heading[0]])
            self.target = (
                hand + self.AHEAD * self.heading - self.CENTRE * ((hand - thing) @ across) * across
            )
            if distance < self.NEAR:
                self.target = hand
            self.advance(distance < self.NEAR)
        # at yaw 0 the hand pushes towards -y
        yaw = float(np.arctan2(self.heading[0], -self.heading[1]))
        height = self.HIGH if self.stage == 0 else self.LOW
        return env.hand.action_for(np.array([*self.target, height]), yaw)


class InclinePushDemonstrator(Demonstrator):
    """Moves over the capsule into the gap between the pegs, descends, pushes the capsule to the
    goal and holds it there.

    Coordinates here are (across, up the slope). The finger pushes on the end of the capsule that
    lags behind, which turns the capsule square to the line to the goal.
    """

    BEHIND = 0.056  # m from the middle of the capsule, square to it
    CLEAR, LOW = 0.13, 0.028  # m above the slope while travelling and while pushing
    AHEAD = 0.07  # m, greatest distance of the target ahead of the hand
    GAIN = 2.5  # m ahead of the hand per m between capsule and goal
    FREE = 0.03  # m from the start, where the pegs are passed
    SIDEWAYS = 0.14  # m off the capsule's middle per rad that it is not square to the line
    WIDEST, GAP = 0.04, 0.02  # m, greatest distance off the middle beyond and between the pegs

    def act(self, env: ManipulationEnv) -> Array:
        """The action (3,) for the present state of `env` and the stage."""
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
        if hand[1] > thing[1]:  # the capsule has slipped past the finger: lift, do not push
            return self.aim(env, hand, self.CLEAR)
        return self.aim(env, hand + self.push(hand, thing, goal, turn), self.LOW)

    def sideways(self, lag: float, limit: float) -> float:
        """Distance along the capsule, m, from its middle to the point to push.

        Args:
            lag: rad by which its right end lags.
            limit: m, greatest distance.
        """
        return float(np.clip(self.SIDEWAYS * lag, -limit, limit))

    def push(self, hand: Array, thing: Array, goal: Array, turn: float) -> Array:
        """The target relative to the hand, (2,) m.

        Args:
            hand: (2,) m.
            thing: (2,) m, the capsule.
            goal: (2,) m.
            turn: rad, of the capsule; above 0 the right end is higher.
        """
        free = float(np.clip((thing[1] - self.rest) / self.FREE, 0.0, 1.0))
        to_goal = np.arctan2(thing[0] - goal[0], max(goal[1] - thing[1], 0.1))
        bend = free * float(np.clip(to_goal, -0.4, 0.4))  # above 0: to the left
        ahead = np.array([-np.sin(bend), np.cos(bend)])
        across = np.array([np.cos(bend), np.sin(bend)])
        offset = self.sideways(bend - turn, self.GAP + free * (self.WIDEST - self.GAP))
        advance = float(np.clip(self.GAIN * (goal - thing)[1], -self.AHEAD, self.AHEAD))
        target: Array = advance * ahead + (offset - (hand - thing) @ across) * across
        return target

    def aim(self, env: ManipulationEnv, point: Array, height: float) -> Array:
        """The action (3,) with the target `height` metres above `point` (2,) of the slope."""
        return env.hand.action_for(
            np.array([point[0], *surface(point[1])[1:]]) + [0.0, 0.0, height]
        )
