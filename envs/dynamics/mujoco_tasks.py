"""Observation, reward and termination of gymnasium's own MuJoCo tasks, for whole batches of states.

Every number is read from the environment, so its keyword arguments count. The formulas are those of
the `step` and `_get_obs` methods of gymnasium 1.4, in the same order of operations. A task that is
not in `task_of` is none the worse: `worldplan.envs.dynamics.mujoco` calls its own code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

Array = NDArray[np.float64]
Fields = Mapping[str, Array]  # arrays of MjData, one row per state
VELOCITY_CLIP = 10.0  # Hopper, Walker2d and InvertedDoublePendulum show velocities clipped to this


class Task(Protocol):
    """What a task makes of simulator states, row by row. A state is [qpos, qvel]: (batch, nq + nv).

    `reads` names the arrays of MjData that are needed beside the state, as the engine leaves them
    after the last substep; where it is empty, the states are enough.
    """

    @property
    def reads(self) -> tuple[str, ...]: ...

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, nq + nv) -> (batch, observation)."""
        ...

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination, (batch,) each, of one step."""
        ...

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, nq + nv)."""
        ...


class Reading(Protocol):
    """How simulator states are read from observations."""

    def state_of(self, observation: Array, like: Array | None) -> Array:
        """(batch, observation) -> (batch, nq + nv); what is not observed comes from `like`, else it
        is 0.
        """
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """An observation that begins with qpos without its first `skip` entries, then qvel clipped to
    +-`clip`.
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
        """Inverse of `observe`; a velocity at the clip is taken from `like` where that lies beyond
        the clip, too.
        """
        known = self.nq - self.skip
        state = np.zeros((len(observation), self.nq + self.nv)) if like is None else like.copy()
        state[:, self.skip : self.nq] = observation[:, :known]
        state[:, self.nq :] = unclip(
            observation[:, known : known + self.nv],
            None if like is None else like[:, self.nq :],
            self.clip,
        )
        return state


def unclip(velocity: Array, like: Array | None, clip: float) -> Array:
    """`velocity`, or `like` where both lie at or beyond the same end of the clip."""
    if like is None or not np.isfinite(clip):
        return velocity
    return np.where((np.abs(velocity) >= clip) & (np.sign(velocity) * like >= clip), like, velocity)


def nearest_turn(angle: Array, like: Array | None) -> Array:
    """`angle` plus the whole turns that bring it closest to `like`."""
    return angle if like is None else angle + 2 * np.pi * np.round((like - angle) / (2 * np.pi))


@dataclass(frozen=True, slots=True)
class DoublePendulumReading:
    """InvertedDoublePendulum shows sines and cosines of its angles; whole turns are taken from
    `like`.
    """

    def state_of(self, observation: Array, like: Array | None) -> Array:
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
    """Reacher shows all but the target's velocity, which is 0 in every episode."""

    def state_of(self, observation: Array, like: Array | None) -> Array:
        angles = nearest_turn(
            np.arctan2(observation[:, 2:4], observation[:, :2]),
            None if like is None else like[:, :2],
        )
        rest = np.zeros((len(observation), 2)) if like is None else like[:, 6:]
        return np.concatenate((angles, observation[:, 4:6], observation[:, 6:8], rest), axis=1)


@dataclass(frozen=True, slots=True)
class Start:
    """Start states: the initial state plus uniform noise; velocities get normal noise where
    `normal` is set.
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
    """Inside the open ranges of height, angle and (Hopper only) all further entries of the state."""

    z: tuple[float, float]
    angle: tuple[float, float]
    rest: tuple[float, float] = (-np.inf, np.inf)
    bonus: float = 1.0
    ends: bool = True
    bonus_at_end: bool = False  # v4 also pays for the step that ends the episode

    def check(self, state: Array) -> NDArray[np.bool_]:
        """(batch, nq + nv) -> (batch,)."""
        low, high = np.array([self.z, self.angle]).T
        inside = ((low < state[:, 1:3]) & (state[:, 1:3] < high)).all(axis=1)
        others = state[:, 2:]
        return inside & ((self.rest[0] < others) & (others < self.rest[1])).all(axis=1)


@dataclass(frozen=True, slots=True)
class Locomotion:
    """Hopper, HalfCheetah, Walker2d, Swimmer: speed along x, minus the cost of control, plus a
    bonus for health.
    """

    layout: Layout
    start: Start
    dt: float
    forward_weight: float
    control_weight: float
    health: Health | None = None
    reads: tuple[str, ...] = ()

    def observe(self, state: Array, fields: Fields) -> Array:
        return self.layout.observe(state)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        reward = self.forward_weight * ((after[:, 0] - before[:, 0]) / self.dt)
        ended = np.zeros(len(after), bool)
        if self.health is not None:
            healthy = self.health.check(after)
            ended = ~healthy & self.health.ends
            reward = (
                reward
                + (healthy | (self.health.bonus_at_end and self.health.ends)) * self.health.bonus
            )
        return reward - self.control_weight * np.sum(np.square(action), axis=1), ended

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        return self.start.draw(count, generator)


@dataclass(frozen=True, slots=True)
class Pendulum:
    """InvertedPendulum: 1 while the pole stands; v4 pays the last step, too."""

    layout: Layout
    start: Start
    paid_at_end: bool
    reads: tuple[str, ...] = ()

    def observe(self, state: Array, fields: Fields) -> Array:
        return self.layout.observe(state)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        ended = np.abs(after[:, 1]) > 0.2
        return (~ended | self.paid_at_end).astype(np.float64), ended

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        return self.start.draw(count, generator)


@dataclass(frozen=True, slots=True)
class DoublePendulum:
    """InvertedDoublePendulum: the tip's height and place, and the constraint forces, are the
    engine's.
    """

    start: Start
    bonus: float
    bonus_at_end: bool
    forces: int  # how many constraint forces are observed: v5 one, v4 all
    reads: tuple[str, ...] = ("site_xpos", "qfrc_constraint")

    def observe(self, state: Array, fields: Fields) -> Array:
        angles, velocity = state[:, 1:3], np.clip(state[:, 3:], -VELOCITY_CLIP, VELOCITY_CLIP)
        force = np.clip(fields["qfrc_constraint"][:, : self.forces], -10, 10)
        return np.concatenate(
            (state[:, :1], np.sin(angles), np.cos(angles), velocity, force), axis=1
        )

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        tip = fields["site_xpos"]  # of the first and only site
        ended = tip[:, 2] <= 1
        distance = 0.01 * tip[:, 0] ** 2 + (tip[:, 2] - 2) ** 2
        speed = 1e-3 * after[:, 4] ** 2 + 5e-3 * after[:, 5] ** 2
        return self.bonus * (~ended | self.bonus_at_end) - distance - speed, ended

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        return self.start.draw(count, generator)


@dataclass(frozen=True, slots=True)
class Reacher:
    """Reacher-v5: minus the distance of fingertip and target, minus the cost of control; never
    ends.
    """

    state: Array  # initial
    tip: int  # columns of the flattened body positions
    target: int
    distance_weight: float
    control_weight: float
    reads: tuple[str, ...] = ("xpos",)

    def observe(self, state: Array, fields: Fields) -> Array:
        angles, apart = state[:, :2], self._apart(fields)
        return np.concatenate(
            (np.cos(angles), np.sin(angles), state[:, 2:4], state[:, 4:6], apart[:, :2]), axis=1
        )

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        reach = -np.linalg.norm(self._apart(fields), axis=1) * self.distance_weight
        return reach - np.square(action).sum(axis=1) * self.control_weight, np.zeros(
            len(after), bool
        )

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        state = np.tile(self.state, (count, 1))
        state[:, :2] += generator.uniform(-0.1, 0.1, (count, 2))
        radius, turn = (
            0.2 * np.sqrt(generator.random(count)),
            generator.uniform(0, 2 * np.pi, count),
        )  # uniform in a disc
        state[:, 2], state[:, 3] = radius * np.cos(turn), radius * np.sin(turn)
        state[:, 4:6] += generator.uniform(-0.005, 0.005, (count, 2))
        state[:, 6:] = 0
        return state

    def _apart(self, fields: Fields) -> Array:
        xpos = fields["xpos"]
        return xpos[:, self.tip : self.tip + 3] - xpos[:, self.target : self.target + 3]


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pusher-v5: object to goal, arm to object, and the cost of control; never ends."""

    state: Array  # initial
    nq: int
    columns: tuple[int, int, int]  # arm tip, object, goal in the flattened body positions
    near_weight: float
    distance_weight: float
    control_weight: float
    reads: tuple[str, ...] = ("xpos",)

    def observe(self, state: Array, fields: Fields) -> Array:
        return np.concatenate(
            (state[:, :7], state[:, self.nq : self.nq + 7], *self._places(fields)), axis=1
        )

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        tip, thing, goal = self._places(fields)
        near = -np.linalg.norm(thing - tip, axis=1) * self.near_weight
        reach = -np.linalg.norm(thing - goal, axis=1) * self.distance_weight
        return reach - np.square(action).sum(axis=1) * self.control_weight + near, np.zeros(
            len(after), bool
        )

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        state = np.tile(self.state, (count, 1))
        places = np.empty((0, 2))
        while len(places) < count:  # the object is never put closer than 0.17 to the goal
            drawn = generator.uniform((-0.3, -0.2), (0, 0.2), (2 * count, 2))
            places = np.concatenate((places, drawn[np.linalg.norm(drawn, axis=1) > 0.17]))
        state[:, self.nq - 4 : self.nq - 2] = places[:count]
        state[:, self.nq - 2 : self.nq] = 0
        state[:, self.nq : -4] += generator.uniform(
            -0.005, 0.005, (count, state.shape[1] - self.nq - 4)
        )
        state[:, -4:] = 0
        return state

    def _places(self, fields: Fields) -> tuple[Array, Array, Array]:
        tip, thing, goal = (fields["xpos"][:, column : column + 3] for column in self.columns)
        return tip, thing, goal


# --- from an environment to its task --------------------------------------------------------------


def task_of(env: MujocoEnv) -> Task | None:
    """The vectorised form of one of gymnasium's own tasks; None for any other class, also one
    derived from them.

    A class of your own may bring one: a method `vectorised_task`. A class derived from it does not
    inherit it, as its `step` may differ.
    """
    make = vars(type(env)).get("vectorised_task") or TASKS.get(_name(type(env)))
    return None if make is None else make(env)


def reading_of(env: MujocoEnv) -> Reading | None:
    """How states are read from a task's observations; None where they cannot be.

    A class derived from one of gymnasium's is read like its parent as long as it inherits
    `_get_obs`.
    """
    for parent in type(env).__mro__:
        kind = _name(parent).rpartition("_")[0]
        if kind in READINGS:
            return (
                READINGS[kind](env)
                if getattr(type(env), "_get_obs", None) is getattr(parent, "_get_obs", None)
                else None
            )
    return None


def _name(kind: type) -> str:
    """The module of one of gymnasium's tasks, such as "hopper_v5", which holds just that class; ""
    for all other classes.
    """
    package, _, module = kind.__module__.rpartition(".")
    return module if package == "gymnasium.envs.mujoco" else ""


def _initial(env: Any) -> Array:
    return np.concatenate((env.init_qpos, env.init_qvel))


def _layout(skip: int, clip: float = np.inf) -> Callable[[Any], Layout]:
    def make(env: Any) -> Layout:
        hidden = skip if getattr(env, "_exclude_current_positions_from_observation", True) else 0
        return Layout(env.model.nq, env.model.nv, hidden, clip)

    return make


def _start(env: Any, *, scale: float | None = None, normal: bool = False) -> Start:
    return Start(
        _initial(env), env.model.nq, env._reset_noise_scale if scale is None else scale, normal
    )


def _walker(env: Any, *, bonus_at_end: bool) -> Task:
    """Hopper and Walker2d."""
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
        _layout(1, VELOCITY_CLIP)(env),
        _start(env),
        env.dt,
        env._forward_reward_weight,
        env._ctrl_cost_weight,
        health,
    )


def _runner(env: Any, skip: int, *, normal: bool) -> Task:
    """HalfCheetah and Swimmer."""
    return Locomotion(
        _layout(skip)(env),
        _start(env, normal=normal),
        env.dt,
        env._forward_reward_weight,
        env._ctrl_cost_weight,
    )


def _reacher(env: Any) -> Task:
    tip, target = (3 * env.model.body(name).id for name in ("fingertip", "target"))
    return Reacher(_initial(env), tip, target, env._reward_dist_weight, env._reward_control_weight)


def _pusher(env: Any) -> Task:
    tip, thing, goal = (3 * env.model.body(name).id for name in ("tips_arm", "object", "goal"))
    return Pusher(
        _initial(env),
        env.model.nq,
        (tip, thing, goal),
        env._reward_near_weight,
        env._reward_dist_weight,
        env._reward_control_weight,
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
    "inverted_pendulum_v4": lambda env: Pendulum(_layout(0)(env), _start(env, scale=0.01), True),
    "inverted_pendulum_v5": lambda env: Pendulum(_layout(0)(env), _start(env), False),
    "inverted_double_pendulum_v4": lambda env: DoublePendulum(
        _start(env, scale=0.1, normal=True), 10.0, True, 3
    ),
    "inverted_double_pendulum_v5": lambda env: DoublePendulum(
        _start(env, normal=True), env._healthy_reward, False, 1
    ),
    "reacher_v5": _reacher,
    "pusher_v5": _pusher,
}

READINGS: dict[str, Callable[[Any], Reading]] = {
    "hopper": _layout(1, VELOCITY_CLIP),
    "walker2d": _layout(1, VELOCITY_CLIP),
    "half_cheetah": _layout(1),
    "swimmer": _layout(2),
    "ant": _layout(2),
    "humanoid": _layout(2),
    "humanoidstandup": _layout(2),
    "inverted_pendulum": _layout(0),
    "inverted_double_pendulum": lambda env: DoublePendulumReading(),
    "reacher": lambda env: ReacherReading(),
}
