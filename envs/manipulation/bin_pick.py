"""Bin pick: take a block out of a bin and hold it over the middle."""

from __future__ import annotations

import numpy as np

from worldplan.envs.manipulation.hand import Hand, Reach
from worldplan.envs.manipulation.simulator import mujoco
from worldplan.envs.manipulation.task import ObjectBody, Task, upright

GOAL_RADIUS = 0.075  # m
HALF_HEIGHT = 0.02  # m, of the block
START_YAW = 1.2  # rad to both sides


class BinPick(Task):
    """Lift a block (4 x 12 x 4 cm) out of a bin.

    The block starts in the bin at |x| <= 10 cm, |y| <= 7 cm, |yaw| <= 1.2 rad. The task is solved
    while its centre is within 7.5 cm of (0, 0, 0.30). The bin is 38 x 30 cm inside with walls of
    6 cm: only a grasp brings the block to that height.
    """

    scene = "bin_pick.xml"
    steps = 100
    reach = Reach(low=(-0.20, -0.16, -0.02), high=(0.20, 0.16, 0.36), yaw=True, grip=True)

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Point the cameras at the bin and the goal above it."""
        spec.body("workspace").pos = [0.0, 0.0, 0.14]

    def reset(self, hand: Hand, thing: ObjectBody, generator: np.random.Generator) -> None:
        """Place the open hand above the middle of the bin, the block anywhere in it."""
        hand.place(
            generator.uniform([-0.03, -0.03, 0.20], [0.03, 0.03, 0.26]),
            generator.uniform(-0.2, 0.2),
        )
        position = [generator.uniform(-0.10, 0.10), generator.uniform(-0.07, 0.07), HALF_HEIGHT]
        thing.place(np.array(position), upright(generator.uniform(-START_YAW, START_YAW)))

    def solved(self, hand: Hand, thing: ObjectBody) -> bool:
        """Whether the block's centre is in the ball around the goal."""
        return bool(np.linalg.norm(thing.position - thing.goal) < GOAL_RADIUS)
