"""Simulator states out of the observations of gymnasium's MuJoCo tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

Array = NDArray[np.float64]
Fields = Mapping[str, Array]
"""Arrays of MjData by name, each (batch, size)."""
VELOCITY_CLIP = 10.0  # Hopper, Walker2d and InvertedDoublePendulum show velocities clipped to this


class Reading(Protocol):
    """How the simulator states of a task are read from its observations."""

    def state_of(self, observation: Array, like: Array | None) -> Array:
        """(batch, observation) -> (batch, nq + nv).

        Entries that are not observed come from `like` (batch, nq + nv), else they are 0.
        """
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """An observation that begins with qpos[skip:] and then qvel, clipped to +-clip.

    Args:
        nq: length of qpos.
        nv: length of qvel.
        skip: entries of qpos that are not observed.
        clip: greatest observed speed.
    """

    nq: int
    nv: int
    skip: int
    clip: float = np.inf

    def observe(self, state: Array) -> Array:
        """(batch, nq + nv) -> (batch, nq - skip + nv)."""
        return np.concatenate(
            (state[:, self.skip : self.nq], np.clip(state[:, self.nq :], -self.clip, self.clip)),
            axis=1,
        )

    def state_of(self, observation: Array, like: Array | None) -> Array:
        """Inverse of `observe`: (batch, nq - skip + nv) -> (batch, nq + nv).

        A velocity at the clip is copied from `like` (batch, nq + nv) where that lies past the same
        end of the clip.
        """
        observed = self.nq - self.skip
        state = np.zeros((len(observation), self.nq + self.nv)) if like is None else like.copy()
        state[:, self.skip : self.nq] = observation[:, :observed]
        state[:, self.nq :] = unclip(
            observation[:, observed : observed + self.nv],
            None if like is None else like[:, self.nq :],
            self.clip,
        )
        return state


def unclip(velocity: Array, like: Array | None, clip: float) -> Array:
    """(batch, nv): `velocity`, or `like` where both lie at or past the same end of the clip."""
    if like is None or not np.isfinite(clip):
        return velocity
    return np.where((np.abs(velocity) >= clip) & (np.sign(velocity) * like >= clip), like, velocity)


def nearest_turn(angle: Array, like: Array | None) -> Array:
    """(batch, angles): `angle` plus the whole turns that bring it closest to `like`."""
    return angle if like is None else angle + 2 * np.pi * np.round((like - angle) / (2 * np.pi))


@dataclass(frozen=True, slots=True)
class DoublePendulumReading:
    """InvertedDoublePendulum: the observation holds sines and cosines of the angles."""

    def state_of(self, observation: Array, like: Array | None) -> Array:
        """(batch, observation) -> (batch, 6); whole turns are copied from `like` (batch, 6)."""
        angles = np.arctan2(observation[:, 1:3], observation[:, 3:5])
        velocity = unclip(observation[:, 5:8], None if like is None else like[:, 3:], VELOCITY_CLIP)
        return np.concatenate(
            (
                observation[:, :1],
                nearest_turn(angles, None if like is None else like[:, 1:3]),
                velocity,
            ),
            axis=1,
        )


@dataclass(frozen=True, slots=True)
class ReacherReading:
    """Reacher: the observation holds all but the target's velocity, which is 0 in every episode."""

    def state_of(self, observation: Array, like: Array | None) -> Array:
        """(batch, observation) -> (batch, 8); whole turns are copied from `like` (batch, 8)."""
        angles = nearest_turn(
            np.arctan2(observation[:, 2:4], observation[:, :2]),
            None if like is None else like[:, :2],
        )
        rest = np.zeros((len(observation), 2)) if like is None else like[:, 6:]
        return np.concatenate((angles, observation[:, 4:6], observation[:, 6:8], rest), axis=1)


def reading_of(env: MujocoEnv) -> Reading | None:
    """The reading of a task's observations; None where they do not hold the state.

    A class derived from one of gymnasium's has the reading of its parent if it inherits `_get_obs`.
    """
    for parent in type(env).__mro__:
        name = task_module(parent).rpartition("_")[0]
        if name in READINGS:
            inherits = getattr(type(env), "_get_obs", None) is getattr(parent, "_get_obs", None)
            return READINGS[name](env) if inherits else None
    return None


def task_module(kind: type) -> str:
    """The module of one of gymnasium's tasks, such as "hopper_v5"; "" for all other classes.

    Each of these modules holds one class.
    """
    package, _, module = kind.__module__.rpartition(".")
    return module if package == "gymnasium.envs.mujoco" else ""


def initial_state(env: Any) -> Array:
    """(nq + nv,), the state that start states are drawn around."""
    return np.concatenate((env.init_qpos, env.init_qvel))


def layout(skip: int, clip: float = np.inf) -> Callable[[Any], Layout]:
    """Makes the `Layout` of an environment; nothing is skipped if its settings show all of qpos."""

    def make(env: Any) -> Layout:
        hidden = skip if getattr(env, "_exclude_current_positions_from_observation", True) else 0
        return Layout(env.model.nq, env.model.nv, hidden, clip)

    return make


READINGS: dict[str, Callable[[Any], Reading]] = {
    "hopper": layout(1, VELOCITY_CLIP),
    "walker2d": layout(1, VELOCITY_CLIP),
    "half_cheetah": layout(1),
    "swimmer": layout(2),
    "ant": layout(2),
    "humanoid": layout(2),
    "humanoidstandup": layout(2),
    "inverted_pendulum": layout(0),
    "inverted_double_pendulum": lambda env: DoublePendulumReading(),
    "reacher": lambda env: ReacherReading(),
}
