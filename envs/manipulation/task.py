"""The interface of a manipulation task: a scene file, start states, and when it is solved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.hand import UNIT, Hand, Reach
from worldplan.envs.manipulation.simulator import mujoco

Array = NDArray[np.float64]
ASSETS = Path(__file__).parent / "assets"
OBJECT = "object"
GOAL = "goal"
OBJECT_OBSERVATION = 21  # length of `ObjectBody.observe`


class ObjectBody:
    """The free body `object` of a simulation, and the site `goal`."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._qpos = int(model.joint(OBJECT).qposadr[0])
        self._qvel = int(model.joint(OBJECT).dofadr[0])
        self._goal = model.site(GOAL).id

    @property
    def position(self) -> Array:
        """(3,) m, the origin of the body."""
        position: Array = self._data.qpos[self._qpos : self._qpos + 3].copy()
        return position

    @property
    def rotation(self) -> Array:
        """(3, 3), whose columns are the body's axes in the world."""
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, self._data.qpos[self._qpos + 3 : self._qpos + 7])
        return matrix.reshape(3, 3)

    @property
    def velocity(self) -> Array:
        """(6,) linear velocity in the world, m/s, then angular velocity in the body, rad/s."""
        velocity: Array = self._data.qvel[self._qvel : self._qvel + 6].copy()
        return velocity

    @property
    def goal(self) -> Array:
        """(3,) m, the goal's position."""
        goal: Array = self._data.site_xpos[self._goal].copy()
        return goal

    def place(self, position: Array, quaternion: Array) -> None:
        """Place the object at rest; position (3,) in m, quaternion (4,) as (w, x, y, z)."""
        self._data.qpos[self._qpos : self._qpos + 7] = [*position, *quaternion]
        self._data.qvel[self._qvel : self._qvel + 6] = 0.0

    def place_fixture(self, name: str, position: Array, quaternion: Array) -> None:
        """Place a body that contacts do not move (MJCF: mocap="true").

        Args:
            name: of the body.
            position: (3,) m.
            quaternion: (4,), as (w, x, y, z).
        """
        index = self._model.body(name).mocapid[0]
        self._data.mocap_pos[index], self._data.mocap_quat[index] = position, quaternion

    def observe(self, hand_position: Array) -> Array:
        """The object's part of an observation, (21,); lengths in decimetres.

        Position (3), first two axes of the rotation (6), linear velocity (3), angular velocity (3),
        vector to the goal (3), vector from `hand_position` (3,), which is in m (3).
        """
        position, velocity = self.position, self.velocity
        return np.concatenate(
            (
                position / UNIT,
                self.rotation[:, :2].T.ravel(),
                velocity[:3] / UNIT,
                velocity[3:],
                (self.goal - position) / UNIT,
                (position - hand_position) / UNIT,
            )
        )


class Task(ABC):
    """One manipulation task.

    The scene file includes hand.xml and has a body `object` with a free joint `object`, and a site
    `goal`. A task has no state: one object may serve many environments.

    Class attributes:
        scene: file in assets/.
        steps: length of an episode.
        reach: the controlled joints of the hand, and their range.
    """

    scene: str
    steps: int
    reach: Reach

    def edit(self, spec: mujoco.MjSpec) -> None:  # noqa: B027 - most tasks take the hand as it is
        """Change the scene before it is compiled, for instance the fingers' pads."""

    @abstractmethod
    def reset(self, hand: Hand, thing: ObjectBody, generator: np.random.Generator) -> None:
        """Place hand and object for a new episode.

        Args:
            hand: of the simulation, at its default.
            thing: the object, at its default.
            generator: of all random numbers.
        """

    @abstractmethod
    def solved(self, hand: Hand, thing: ObjectBody) -> bool:
        """Whether the task is solved in the present state."""

    def model(self) -> mujoco.MjModel:
        """The compiled scene."""
        spec = mujoco.MjSpec.from_file(str(ASSETS / self.scene))
        self.edit(spec)
        return spec.compile()


def upright(yaw: float) -> Array:
    """Quaternion (4,), (w, x, y, z), of a turn by `yaw` rad about the vertical."""
    return np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
