"""Incline push: roll a capsule up a tilted bin and hold it near the top; left alone, it rolls back."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.hand import Hand, Reach
from worldplan.envs.manipulation.task import ObjectBody, Task, upright

Array = NDArray[np.float64]
TILT = 0.4  # rad
MIDDLE = np.array([0.0, 0.0, 0.11])  # m, middle of the bin's floor
UP = np.array([0.0, np.cos(TILT), np.sin(TILT)])  # up the slope
OFF = np.array([0.0, -np.sin(TILT), np.cos(TILT)])  # off the slope
RADIUS, PEG_RADIUS = 0.03, 0.006  # m, of the capsule and of the pegs
PEGS = -0.13  # m along the slope, where the pegs stand
ACROSS = 0.04  # m to both sides, where capsule and pegs start
TURN = 0.3  # rad to both sides, how far capsule and pegs start askew
GOAL_RADIUS = 0.05  # m


def surface(distance: float) -> Array:
    """(3,) m, the point of the floor's middle line `distance` metres up the slope from the middle."""
    return MIDDLE + distance * UP


def along(point: Array) -> float:
    """m up the slope from the middle of the point on the floor straight below `point`."""
    return float((point - MIDDLE)[1] / UP[1])


class InclinePush(Task):
    """The capsule (radius 3 cm, 18 cm long) leans on two pegs, all within 4 cm of the middle and up
    to 0.3 rad askew.

    Solved while its centre is over a disc of 5 cm radius, 13 cm above the middle. The closed
    fingers reach behind the capsule only between the pegs. Pushed off its middle it turns and rolls
    away.
    """

    scene = "incline_push.xml"
    steps = 50
    reach = Reach(
        low=(-0.15, -0.24, 0.0), high=(0.15, 0.24, 0.34), yaw=False, grip=False, opening=0.0
    )

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Round fingertips: closed, they touch the capsule on one centimetre only, and pushing off
        its middle turns it.
        """
        for name in ("left_pad", "right_pad"):
            pad = spec.geom(name)
            pad.type = mujoco.mjtGeom.mjGEOM_CAPSULE
            pad.size = [0.005, 0.017, 0.0]

    def reset(self, hand: Hand, thing: ObjectBody, generator: np.random.Generator) -> None:
        """Hand over the middle of the bin, capsule at the pegs."""
        hand.place(generator.uniform([-0.08, -0.05, 0.20], [0.08, 0.05, 0.24]))
        across = np.array([generator.uniform(-ACROSS, ACROSS), 0.0, 0.0])
        turn = generator.uniform(-TURN, TURN)
        turned = np.zeros(4)
        mujoco.mju_mulQuat(
            turned, np.array([np.cos(TILT / 2), np.sin(TILT / 2), 0.0, 0.0]), upright(turn)
        )
        lean = (PEG_RADIUS + RADIUS) * (np.cos(turn) * UP + np.array([-np.sin(turn), 0.0, 0.0]))
        thing.place_fixture("pegs", across + surface(PEGS), turned)
        thing.place(across + surface(PEGS) + lean + RADIUS * OFF, turned)

    def solved(self, hand: Hand, thing: ObjectBody) -> bool:
        """Capsule centre above the disc; its height off the slope does not count."""
        way = thing.position - thing.goal
        return bool(np.hypot(way[0], way @ UP) < GOAL_RADIUS)
