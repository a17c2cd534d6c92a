"""The formulas of gymnasium's Reacher-v5 and Pusher-v5, two tasks that never terminate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.dynamics.mujoco_readings import Array, Fields, initial_state


@dataclass(frozen=True, slots=True)
class Reacher:
    """Reacher-v5: the reward is minus the distance from fingertip to target, minus |action|^2.

    Args:
        state: (nq + nv,) the initial state.
        tip, target: first columns of these bodies in the flattened body positions.
        distance_weight, control_weight: of the two terms.
        reads: arrays of MjData.
    """

    state: Array
    tip: int
    target: int
    distance_weight: float
    control_weight: float
    reads: tuple[str, ...] = ("xpos",)

    @classmethod
    def from_env(cls, env: Any) -> Reacher:
        """The task with the settings of gymnasium's `env`."""
        tip, target = (3 * env.model.body(name).id for name in ("fingertip", "target"))
        return cls(
            initial_state(env), tip, target, env._reward_dist_weight, env._reward_control_weight
        )

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        angles, offset = state[:, :2], self._offset(fields)
        return np.concatenate(
            (np.cos(angles), np.sin(angles), state[:, 2:4], state[:, 4:6], offset[:, :2]), axis=1
        )

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        distance = -np.linalg.norm(self._offset(fields), axis=1) * self.distance_weight
        control = np.square(action).sum(axis=1) * self.control_weight
        return distance - control, np.zeros(len(after), bool)

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        state = np.tile(self.state, (count, 1))
        state[:, :2] += generator.uniform(-0.1, 0.1, (count, 2))
        radius = 0.2 * np.sqrt(generator.random(count))  # the target is uniform in a disc
        angle = generator.uniform(0, 2 * np.pi, count)
        state[:, 2], state[:, 3] = radius * np.cos(angle), radius * np.sin(angle)
        state[:, 4:6] += generator.uniform(-0.005, 0.005, (count, 2))
        state[:, 6:] = 0
        return state

    def _offset(self, fields: Fields) -> Array:
        """(batch, 3), from the target to the fingertip."""
        xpos = fields["xpos"]
        return xpos[:, self.tip : self.tip + 3] - xpos[:, self.target : self.target + 3]


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pusher-v5: the reward is minus the distances from object to goal and from arm to object,
    minus |action|^2.

    Args:
        state: (nq + nv,) the initial state.
        nq: length of qpos.
        columns: first columns of arm tip, object and goal in the flattened body positions.
        near_weight: of the distance from arm to object.
        distance_weight: of the distance from object to goal.
        control_weight: of |action|^2.
        reads: arrays of MjData.
    """

    state: Array
    nq: int
    columns: tuple[int, int, int]
    near_weight: float
    distance_weight: float
    control_weight: float
    reads: tuple[str, ...] = ("xpos",)

    @classmethod
    def from_env(cls, env: Any) -> Pusher:
        """The task with the settings of gymnasium's `env`."""
        tip, pushed, goal = (3 * env.model.body(name).id for name in ("tips_arm", "object", "goal"))
        return cls(
            initial_state(env),
            env.model.nq,
            (tip, pushed, goal),
            env._reward_near_weight,
            env._reward_dist_weight,
            env._reward_control_weight,
        )

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        return np.concatenate(
            (state[:, :7], state[:, self.nq : self.nq + 7], *self._positions(fields)), axis=1
        )

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        tip, pushed, goal = self._positions(fields)
        near = -np.linalg.norm(pushed - tip, axis=1) * self.near_weight
        distance = -np.linalg.norm(pushed - goal, axis=1) * self.distance_weight
        control = np.square(action).sum(axis=1) * self.control_weight
        return distance - control + near, np.zeros(len(after), bool)

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        state = np.tile(self.state, (count, 1))
        positions = np.empty((0, 2))
        while len(positions) < count:  # the object starts at least 0.17 m from the goal
            candidates = generator.uniform((-0.3, -0.2), (0, 0.2), (2 * count, 2))
            accepted = candidates[np.linalg.norm(candidates, axis=1) > 0.17]
            positions = np.concatenate((positions, accepted))
        state[:, self.nq - 4 : self.nq - 2] = positions[:count]
        state[:, self.nq - 2 : self.nq] = 0
        state[:, self.nq : -4] += generator.uniform(
            -0.005, 0.005, (count, state.shape[1] - self.nq - 4)
        )
        state[:, -4:] = 0
        return state

    def _positions(self, fields: Fields) -> tuple[Array, Array, Array]:
        """(batch, 3) each: arm tip, object, goal."""
        tip, pushed, goal = (fields["xpos"][:, column : column + 3] for column in self.columns)
        return tip, pushed, goal
