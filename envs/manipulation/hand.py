"""The gripper on Cartesian slides: normalised actions in, servo targets and proprioception out.

The action pipeline is that of MoDem-V2 (Lancaster et al., 2024) without inverse kinematics. The
action is an absolute target of the hand. It is scaled to the task's box, clipped to the distance
from the hand's position that the velocity limit allows, averaged with the last command, and sent to
position servos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.simulator import mujoco

Array = NDArray[np.float64]

CONTROL_DT = 0.08  # seconds between actions: 12.5 Hz
# m/s; a target lies at most this times CONTROL_DT from the hand. After the average with the last
# command, the fastest motion is a quarter of it.
VELOCITY_LIMIT = 1.0
YAW_RATE_LIMIT = 6.0  # rad/s, likewise
YAW_RANGE = 1.75  # rad to both sides; half a turn is the same grasp
NEW_SHARE = 0.25  # weight of the new target in the command; the last command has the rest
OPEN = 0.04  # m, from the middle to the inner face of a finger
UNIT = 0.1  # m; lengths are observed in decimetres, so that observations are of order 1
FINGER = 0.02  # m, unit of the fingers' observed positions
PROPRIOCEPTION = 17  # length of `Hand.proprioception`
SLIDES = ("x", "y", "z")
FINGERS = ("left_finger", "right_finger")


@dataclass(frozen=True)
class Reach:
    """The controlled joints of the hand in a task, and their range.

    Args:
        low: lower corner (x, y, z) of the box of targets, m.
        high: upper corner.
        yaw: whether the action turns the hand (two entries, cosine and sine); otherwise the yaw
            stays at 0.
        grip: whether the action closes the fingers (one entry: above 0 is closed); otherwise they
            stay at `opening`.
        opening: m, from the middle to the inner face of a finger at the start.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    yaw: bool
    grip: bool
    opening: float = OPEN

    @property
    def action_size(self) -> int:
        """Length of an action: x, y, z, then cosine and sine of the yaw, then grip."""
        return 3 + 2 * self.yaw + self.grip


class Hand:
    """The hand of one simulation.

    Args:
        model: has the joints and actuators of assets/hand.xml.
        data: the simulation, which the methods read and write.
        reach: the controlled joints.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, reach: Reach) -> None:
        self.reach = reach
        self._data = data
        self._centre = (np.array(reach.high) + np.array(reach.low)) / 2
        self._half = (np.array(reach.high) - np.array(reach.low)) / 2
        joints = [*SLIDES, "yaw", *FINGERS]
        self._qpos = np.array([model.joint(name).qposadr[0] for name in joints])
        self._qvel = np.array([model.joint(name).dofadr[0] for name in joints])
        self._actuators = np.array([model.actuator(name).id for name in joints])
        self.command = np.zeros(4)  # x, y, z, yaw of the servos' targets; part of the state
        self._limit = model.actuator_forcerange[:, 1] * (1 - 1e-6)

    @property
    def position(self) -> Array:
        """(3,) m, the point between the fingertips."""
        position: Array = self._data.qpos[self._qpos[:3]]
        return position

    @property
    def yaw(self) -> float:
        """Yaw of the hand in rad, positive to the left seen from above."""
        return float(self._data.qpos[self._qpos[3]])

    @property
    def opening(self) -> float:
        """Mean distance of the fingers' inner faces from the middle, m."""
        return float(self._data.qpos[self._qpos[4:]].mean())

    def place(self, position: Array, yaw: float = 0.0) -> None:
        """Place the hand at rest at `position` (3,) in m; the servos hold it there."""
        self._data.qpos[self._qpos] = [*position, yaw, self.reach.opening, self.reach.opening]
        self._data.qvel[self._qvel] = 0.0
        self.command = np.array([*position, yaw])
        self._data.ctrl[self._actuators] = self._data.qpos[self._qpos]

    def action_for(self, position: Array, yaw: float = 0.0, closed: bool = False) -> Array:
        """The normalised action (A,) with a given target, clipped to [-1, 1].

        Args:
            position: (3,) m.
            yaw: rad.
            closed: whether the fingers close.
        """
        entries = list((np.asarray(position) - self._centre) / self._half)
        if self.reach.yaw:
            entries += [np.cos(yaw), np.sin(yaw)]
        if self.reach.grip:
            entries.append(1.0 if closed else -1.0)
        action: Array = np.clip(np.array(entries), -1.0, 1.0)
        return action

    def apply(self, action: Array) -> None:
        """Set the servos' targets from `action` (A,) in [-1, 1]; called once per control step."""
        target = np.array([*(self._centre + self._half * action[:3]), 0.0])
        if self.reach.yaw:
            target[3] = np.clip(np.arctan2(action[4], action[3]), -YAW_RANGE, YAW_RANGE)
        current = np.array([*self.position, self.yaw])
        step = CONTROL_DT * np.array(
            [VELOCITY_LIMIT, VELOCITY_LIMIT, VELOCITY_LIMIT, YAW_RATE_LIMIT]
        )
        target = np.clip(target, current - step, current + step)
        self.command = NEW_SHARE * target + (1 - NEW_SHARE) * self.command
        opening = self.reach.opening
        if self.reach.grip:
            opening = 0.0 if action[-1] > 0 else OPEN
        self._data.ctrl[self._actuators] = [*self.command, opening, opening]

    def saturated(self, forces: Array) -> bool:
        """Whether a servo is at its force limit; `forces` (substeps, actuators) in N or N m."""
        return bool((np.abs(forces) >= self._limit).any())

    def proprioception(self) -> Array:
        """The hand's part of an observation, (17,).

        Position (3), velocity (3), command minus position (3), command minus yaw (1), cosine, sine
        and rate of the yaw (3), positions of the fingers (2) and their velocities (2). Lengths are
        in decimetres, positions of the fingers in units of 2 cm, so that an open and a closed hand
        differ clearly. The command is included because the average with the last command makes it
        part of the state.
        """
        qpos, qvel = self._data.qpos[self._qpos], self._data.qvel[self._qvel]
        return np.concatenate(
            (
                qpos[:3] / UNIT,
                qvel[:3] / UNIT,
                (self.command[:3] - qpos[:3]) / UNIT,
                [self.command[3] - qpos[3], np.cos(qpos[3]), np.sin(qpos[3]), qvel[3]],
                qpos[4:] / FINGER,
                qvel[4:] / UNIT,
            )
        )
