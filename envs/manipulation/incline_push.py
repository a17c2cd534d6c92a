"""Incline push: roll a capsule up a tilted bin and hold it near the top.

Without support the capsule rolls back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.hand import Hand, Reach
from worldplan.envs.manipulation.simulator import mujoco
from worldplan.envs.manipulation.task import ObjectBody, Task, upright

Array = NDArray[np.float64]
TILT = 0.4  # rad
MIDDLE = np.array([0.0, 0.0, 0.11])  # m, middle of the bin's floor
UP = np.array([0.0, np.cos(TILT), np.sin(TILT)])  # up the slope
OFF = np.array([0.0, -np.sin(TILT), np.cos(TILT)])  # normal to the slope
RADIUS, PEG_RADIUS = 0.03, 0.006  # m, of the capsule and of the pegs
PEGS = -0.13  # m along the slope, position of the pegs
ACROSS = 0.04  # m, greatest distance of capsule and pegs from the middle at the start
TURN = 0.3  # rad, greatest turn of capsule and pegs at the start
GOAL_RADIUS = 0.05  # m


def surface(distance: float) -> Array:
    """(3,) m, the point `distance` metres up the slope on the floor's middle line."""
    point: Array = MIDDLE + distance * UP
    return point


def along(point: Array) -> float:
    """Distance up the slope, m, of the point on the floor vertically below `point` (3,)."""
    return float((point - MIDDLE)[1] / UP[1])


class InclinePush(Task):
    """Roll a capsule (radius 3 cm, 18 cm long) up a slope.

    The capsule starts leaning on two pegs, all within 4 cm of the middle and turned by up to
    0.3 rad. The task is solved while its centre is over a disc of 5 cm radius, 13 cm above the
    middle. The closed fingers fit behind the capsule only between the pegs. A push off its middle
    turns the capsule, and it rolls away.
    """

    scene = "incline_push.xml"
    steps = 50
    reach = Reach(
        low=(-0.15, -0.24, 0.0), high=(0.15, 0.24, 0.34), yaw=False, grip=False, opening=0.0
    )

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Make the fingertips round: closed, they touch the capsule on one centimetre only."""
        for name in ("left_pad", "right_pad"):
            pad = spec.geom(name)
            pad.type = mujoco.mjtGeom.mjGEOM_CAPSULE
            pad.size = [0.005, 0.017, 0.0]

    def reset(self, hand: Hand, thing: ObjectBody, generator: np.random.Generator) -> None:
        """Place the hand over the middle of the bin, the capsule at the pegs."""
        hand.place(generator.uniform([-0.08, -0.05, 0.20], [0.08, 0.05, 0.24]))
        across = np.array([generator.uniform(-ACROSS, ACROSS), 0.0, 0.0])
        turn = generator.uniform(-TURN, TURN)
        quaternion = np.zeros(4)
        mujoco.mju_mulQuat(
            quaternion, np.array([np.cos(TILT / 2), np.sin(TILT / 2), 0.0, 0.0]), upright(turn)
        )
        lean = (PEG_RADIUS + RADIUS) * (np.cos(turn) * UP + np.array([-np.sin(turn), 0.0, 0.0]))
        thing.place_fixture("pegs", across + surface(PEGS), quaternion)
        thing.place(across + surface(PEGS) + lean + RADIUS * OFF, quaternion)

    def solved(self, hand: Hand, thing: ObjectBody) -> bool:
        """Whether the capsule's centre is over the disc, at any height."""
        offset = thing.position - thing.goal
        return bool(np.hypot(offset[0], offset @ UP) < GOAL_RADIUS)
