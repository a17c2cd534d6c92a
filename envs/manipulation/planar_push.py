"""Planar push: slide a box over the table into a circle on the other side."""

from __future__ import annotations

import numpy as np

from worldplan.envs.manipulation.hand import Hand, Reach
from worldplan.envs.manipulation.simulator import mujoco
from worldplan.envs.manipulation.task import ObjectBody, Task, upright

GOAL_RADIUS = 0.05  # m
HALF_HEIGHT = 0.021  # m, of the box


class PlanarPush(Task):
    """Push a box (12 x 4 x 4.2 cm) over a table.

    The box starts at |x| <= 4 cm, y in 10..16 cm. The task is solved while its centre is within
    5 cm of (0, -0.15), seen from above.
    """

    scene = "planar_push.xml"
    steps = 50
    reach = Reach(
        low=(-0.20, -0.25, -0.03), high=(0.20, 0.30, 0.20), yaw=True, grip=False, opening=0.006
    )

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Move the cameras nearer to the table than in the tasks with more height."""
        spec.body("workspace").pos = [0.0, 0.03, 0.02]
        for name, side in (("left", -1), ("right", 1)):
            spec.camera(name).pos = [0.37 * side, -0.22, 0.40]

    def reset(self, hand: Hand, thing: ObjectBody, generator: np.random.Generator) -> None:
        """Place the hand above and behind the box, the box across the direction of the push."""
        hand.place(generator.uniform([-0.10, 0.10, 0.10], [0.10, 0.22, 0.15]))
        position = [generator.uniform(-0.04, 0.04), generator.uniform(0.10, 0.16), HALF_HEIGHT]
        thing.place(np.array(position), upright(generator.uniform(-0.6, 0.6)))

    def solved(self, hand: Hand, thing: ObjectBody) -> bool:
        """Whether the box's centre is in the circle."""
        return bool(np.linalg.norm((thing.position - thing.goal)[:2]) < GOAL_RADIUS)
