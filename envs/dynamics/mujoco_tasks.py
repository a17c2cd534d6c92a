"""Observation, reward and termination of gymnasium's own MuJoCo tasks, for batches of states.

The formulas are those of the `step` and `_get_obs` methods of gymnasium 1.4, in the same order of
operations. Every constant is read from the environment, so its keyword arguments take effect. A
task missing from `task_of` uses the generic path (`worldplan.envs.dynamics.mujoco_rows`), with the
same results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

from worldplan.envs.dynamics.mujoco_reaching import Pusher, Reacher
from worldplan.envs.dynamics.mujoco_readings import (
    VELOCITY_CLIP,
    Array,
    Fields,
    Layout,
    initial_state,
    layout,
    task_module,
)


class Task(Protocol):
    """The formulas of a task for batches of simulator states [qpos, qvel], (batch, nq + nv).

    `reads` names the arrays of MjData that the formulas need beside the state, as the engine leaves
    them after the last substep.
    """

    @property
    def reads(self) -> tuple[str, ...]: ...

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        ...

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each.

        Args:
            before: (batch, nq + nv), states before the step.
            action: (batch, action).
            after: (batch, nq + nv), states after it.
            fields: the arrays in `reads`, after the step.
        """
        ...

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """Start states: the initial state plus noise.

    Args:
        state: (nq + nv,) the initial state.
        nq: length of qpos.
        scale: of the noise, which is uniform in [-scale, scale].
        normal: whether velocities get normal noise with this standard deviation instead.
    """

    state: Array
    nq: int
    scale: float
    normal: bool = False

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """(count, nq + nv)."""
        noise = generator.uniform(-self.scale, self.scale, (count, len(self.state)))
        if self.normal:
            noise[:, self.nq :] = self.scale * generator.standard_normal(
                (count, len(self.state) - self.nq)
            )
        return self.state + noise


@dataclass(frozen=True, slots=True)
class Health:
    """Healthy states: height, angle and (Hopper only) all further entries in open ranges.

    Args:
        z: range of the height.
        angle: range of the torso's angle.
        rest: range of all entries after the height.
        bonus: reward of a healthy step.
        ends: whether an unhealthy state terminates the episode.
        bonus_at_end: whether the step that terminates it gets the bonus, too (v4).
    """

    z: tuple[float, float]
    angle: tuple[float, float]
    rest: tuple[float, float] = (-np.inf, np.inf)
    bonus: float = 1.0
    ends: bool = True
    bonus_at_end: bool = False

    def check(self, state: Array) -> NDArray[np.bool_]:
        """Whether states are healthy: (batch, nq + nv) -> (batch,)."""
        low, high = np.array([self.z, self.angle]).T
        inside = ((low < state[:, 1:3]) & (state[:, 1:3] < high)).all(axis=1)
        rest = state[:, 2:]
        healthy: NDArray[np.bool_] = inside & ((self.rest[0] < rest) & (rest < self.rest[1])).all(
            axis=1
        )
        return healthy


@dataclass(frozen=True, slots=True)
class Locomotion:
    """Hopper, HalfCheetah, Walker2d, Swimmer:

    reward = forward_weight * speed along x - control_weight * |action|^2 + bonus if healthy
    """

    layout: Layout
    start: Start
    dt: float
    forward_weight: float
    control_weight: float
    health: Health | None = None
    reads: tuple[str, ...] = ()

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        return self.layout.observe(state)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        reward = self.forward_weight * ((after[:, 0] - before[:, 0]) / self.dt)
        terminated = np.zeros(len(after), bool)
        if self.health is not None:
            healthy = self.health.check(after)
            terminated = ~healthy & self.health.ends
            rewarded = healthy | (self.health.bonus_at_end and self.health.ends)
            reward = reward + rewarded * self.health.bonus
        return reward - self.control_weight * np.sum(np.square(action), axis=1), terminated

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        return self.start.draw(count, generator)


@dataclass(frozen=True, slots=True)
class Pendulum:
    """InvertedPendulum: reward 1 while the pole stands, with `paid_at_end` (v4) until it falls."""

    layout: Layout
    start: Start
    paid_at_end: bool
    reads: tuple[str, ...] = ()

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        return self.layout.observe(state)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        terminated = np.abs(after[:, 1]) > 0.2
        return (~terminated | self.paid_at_end).astype(np.float64), terminated

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        return self.start.draw(count, generator)


@dataclass(frozen=True, slots=True)
class DoublePendulum:
    """InvertedDoublePendulum: bonus while the tip is high, less its distance and the speeds.

    Args:
        start: start states.
        bonus: per step.
        bonus_at_end: whether the step that terminates the episode gets the bonus, too (v4).
        forces: number of constraint forces that are observed: v5 one, v4 all three.
        reads: arrays of MjData: the position of the tip, and the constraint forces.
    """

    start: Start
    bonus: float
    bonus_at_end: bool
    forces: int
    reads: tuple[str, ...] = ("site_xpos", "qfrc_constraint")

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        angles, velocity = state[:, 1:3], np.clip(state[:, 3:], -VELOCITY_CLIP, VELOCITY_CLIP)
        force = np.clip(fields["qfrc_constraint"][:, : self.forces], -10, 10)
        return np.concatenate(
            (state[:, :1], np.sin(angles), np.cos(angles), velocity, force), axis=1
        )

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        tip = fields["site_xpos"]  # of the first and only site
        terminated = tip[:, 2] <= 1
        distance = 0.01 * tip[:, 0] ** 2 + (tip[:, 2] - 2) ** 2
        speed = 1e-3 * after[:, 4] ** 2 + 5e-3 * after[:, 5] ** 2
        return self.bonus * (~terminated | self.bonus_at_end) - distance - speed, terminated

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        return self.start.draw(count, generator)


# --- from an environment to its task --------------------------------------------------------------


def task_of(env: MujocoEnv) -> Task | None:
    """The formulas of the task of `env`; None where there are none.

    There are some for gymnasium's own classes, and for a class of your own that has a method
    `vectorised_task() -> Task`. A derived class does not inherit them, as its `step` may differ.
    """
    make = vars(type(env)).get("vectorised_task") or TASKS.get(task_module(type(env)))
    return None if make is None else make(env)


def _start(env: Any, *, scale: float | None = None, normal: bool = False) -> Start:
    return Start(
        initial_state(env), env.model.nq, env._reset_noise_scale if scale is None else scale, normal
    )


def _walker(env: Any, *, bonus_at_end: bool) -> Task:
    """Hopper or Walker2d."""
    rest = getattr(env, "_healthy_state_range", (-np.inf, np.inf))
    ends = bool(env._terminate_when_unhealthy)
    health = Health(
        env._healthy_z_range,
        env._healthy_angle_range,
        rest,
        env._healthy_reward,
        ends,
        bonus_at_end,
    )
    return Locomotion(
        layout(1, VELOCITY_CLIP)(env),
        _start(env),
        env.dt,
        env._forward_reward_weight,
        env._ctrl_cost_weight,
        health,
    )


def _runner(env: Any, skip: int, *, normal: bool) -> Task:
    """HalfCheetah or Swimmer."""
    return Locomotion(
        layout(skip)(env),
        _start(env, normal=normal),
        env.dt,
        env._forward_reward_weight,
        env._ctrl_cost_weight,
    )


TASKS: dict[str, Callable[[Any], Task]] = {
    "hopper_v4": lambda env: _walker(env, bonus_at_end=True),
    "hopper_v5": lambda env: _walker(env, bonus_at_end=False),
    "walker2d_v4": lambda env: _walker(env, bonus_at_end=True),
    "walker2d_v5": lambda env: _walker(env, bonus_at_end=False),
    "half_cheetah_v4": lambda env: _runner(env, 1, normal=True),
    "half_cheetah_v5": lambda env: _runner(env, 1, normal=True),
    "swimmer_v4": lambda env: _runner(env, 2, normal=False),
    "swimmer_v5": lambda env: _runner(env, 2, normal=False),
    "inverted_pendulum_v4": lambda env: Pendulum(layout(0)(env), _start(env, scale=0.01), True),
    "inverted_pendulum_v5": lambda env: Pendulum(layout(0)(env), _start(env), False),
    "inverted_double_pendulum_v4": lambda env: DoublePendulum(
        _start(env, scale=0.1, normal=True), 10.0, True, 3
    ),
    "inverted_double_pendulum_v5": lambda env: DoublePendulum(
        _start(env, normal=True), env._healthy_reward, False, 1
    ),
    "reacher_v5": Reacher.from_env,
    "pusher_v5": Pusher.from_env,
}
