"""Upright pivot: lift a lying bottle by the neck so that it swings upright, and stand it up.

It replaces the in-hand reorientation of MoDem-V2, which needs a hand with several fingers. In both
tasks a lying object has to end upright through contact alone. Here one pinch, gravity and the table
turn it, and the action has 6 entries instead of 15.
"""

from __future__ import annotations

import numpy as np

from worldplan.envs.manipulation.hand import Hand, Reach
from worldplan.envs.manipulation.simulator import mujoco
from worldplan.envs.manipulation.task import Array, ObjectBody, Task

RADIUS = 0.024  # m, of the bottle
BASE = 0.115  # m, from the origin of the bottle in its neck down to its base
START_YAW = 1.0  # rad to both sides
UPRIGHT = 0.985  # least vertical component of the axis: within 10 degrees
ON_TABLE = 0.004  # m, greatest height of the middle of the base
AWAY = 0.16  # m, least distance of the hand from the neck
STILL = (0.05, 0.5)  # m/s and rad/s, greatest speeds


class UprightPivot(Task):
    """Stand up a bottle (9 cm body of radius 2.4 cm, 5 cm neck).

    The bottle starts lying on the table, neck towards the front, turned by up to 1 rad. The task is
    solved while it stands still on its base and the hand is more than 16 cm from its neck. The pads
    of the fingers are studs 6 mm wide, between which a held neck can turn.
    """

    scene = "upright_pivot.xml"
    steps = 120
    reach = Reach(low=(-0.20, -0.20, -0.02), high=(0.20, 0.20, 0.36), yaw=True, grip=True)

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Replace the pads by narrow studs on longer fingers, and move the cameras nearer."""
        for side, sign in (("left", 1.0), ("right", -1.0)):
            pad, link = spec.geom(f"{side}_pad"), spec.geom(f"{side}_link")
            pad.size, pad.pos = [0.004, 0.003, 0.006], [sign * -0.001, 0.0, 0.0]
            pad.condim = 3  # no torsional friction: only the width of the stud resists a turn
            link.size, link.pos = [0.003, 0.010, 0.041], [sign * 0.006, 0.0, 0.029]
        spec.body("workspace").pos = [0.0, 0.0, 0.11]
        for side, sign in (("left", -1.0), ("right", 1.0)):
            spec.camera(side).pos = [sign * 0.42, -0.27, 0.36]

    def reset(self, hand: Hand, thing: ObjectBody, generator: np.random.Generator) -> None:
        """Place the open hand above the table, the lying bottle at |x|, |y| <= 8 cm."""
        hand.place(
            generator.uniform([-0.03, -0.03, 0.20], [0.03, 0.03, 0.26]),
            generator.uniform(-0.2, 0.2),
        )
        middle = generator.uniform([-0.08, -0.08], [0.08, 0.08])
        yaw = generator.uniform(-START_YAW, START_YAW)
        axis = np.array([np.sin(yaw), -np.cos(yaw)])
        half = (yaw - np.pi / 2) / 2
        thing.place(
            np.array([*(middle + axis * BASE / 2), RADIUS]),
            np.array([np.cos(half), 0.0, 0.0, np.sin(half)]),
        )

    def solved(self, hand: Hand, thing: ObjectBody) -> bool:
        """Whether the bottle stands still on the table, far from the hand."""
        velocity = thing.velocity
        still = np.linalg.norm(velocity[:3]) < STILL[0] and np.linalg.norm(velocity[3:]) < STILL[1]
        released = np.linalg.norm(hand.position - thing.position) > AWAY
        return bool(stands(thing) and still and released)


def stands(thing: ObjectBody) -> bool:
    """Whether the bottle is upright with its base on the table."""
    axis: Array = thing.rotation[:, 0]
    return bool(axis[2] > UPRIGHT and (thing.position - BASE * axis)[2] < ON_TABLE)
