"""Batches of simulator states through an environment's own `step`, row by row, in threads.

`EnvironmentRows` is exact for any MuJoCo environment, also for a class of your own;
`worldplan.envs.dynamics.mujoco` uses it for tasks without vectorised formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

from worldplan.envs.dynamics.action_wrappers import inner_action
from worldplan.envs.dynamics.mujoco_readings import Array
from worldplan.envs.spec import WrapperSpec
from worldplan.envs.wrappers import wrapped
from worldplan.milp.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SimulatorStep:
    """One step of a batch in double precision.

    Args:
        observation: (batch, observation).
        reward: (batch,).
        terminated: (batch,).
        state: (batch, nq + nv), [qpos, qvel] after the step.
    """

    observation: Array
    reward: Array
    terminated: NDArray[np.bool_]
    state: Array


class Threads:
    """Splits the rows of a batch among threads.

    Args:
        count: number of threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def share(self, work: Callable[[int, range], None], rows: int) -> None:
        """Call `work(thread, its rows)` in every thread; an error of a thread is raised here."""
        if self.count == 1:
            work(0, range(rows))
            return
        edges = np.linspace(0, rows, self.count + 1).astype(int).tolist()
        pieces = [range(begin, end) for begin, end in zip(edges[:-1], edges[1:], strict=True)]
        for _ in self._pool.map(work, range(self.count), pieces):
            pass

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.count, thread_name_prefix="mujoco")


class EnvironmentRows:
    """Copies of a MuJoCo environment, one per thread, that step and observe rows of a batch.

    Args:
        env_id: of a registered task.
        threads: that share the rows of `step`.
        seed: of the environments.
        env_kwargs: passed to gymnasium.make.
        wrappers: around the environment, the innermost first.

    Attributes:
        inner_action: from actions (batch, action) of the wrapped environment to those of the bare
            one, which `step` takes.

    Raises:
        ConfigError: the task cannot be made, is no gymnasium MuJoCo task, or has a wrapper that
            changes more than the action.
    """

    def __init__(
        self,
        env_id: str,
        threads: Threads,
        seed: int,
        env_kwargs: Mapping[str, Any],
        wrappers: Sequence[WrapperSpec] = (),
    ) -> None:
        self.env_id = env_id
        self._threads, self._seed, self._env_kwargs = threads, seed, env_kwargs
        env = self._made()
        self._envs = [self._bare(env)]
        for wrapper in wrappers:
            env = wrapped(env, wrapper, env_id)
        self.inner_action = inner_action(env, env_id)
        model = self.env.model
        self._nq, self._state_size = int(model.nq), int(model.nq + model.nv)
        self._observation_size = int(np.prod(self.env.observation_space.shape or ()))
        # MuJoCo silently resets a diverged row to time 0; we start at a later time so that a reset
        # can be detected
        self.clock = 1.0 + self.env.frame_skip * float(model.opt.timestep)

    @property
    def env(self) -> MujocoEnv:
        """The environment of the first thread."""
        return self._envs[0]

    def step(self, state: Array, action: NDArray[Any]) -> tuple[SimulatorStep, NDArray[np.bool_]]:
        """The environment's own step of every row.

        Args:
            state: (batch, nq + nv).
            action: (batch, action).

        Returns:
            The step, and which rows (batch,) diverged in the simulator.
        """
        count = len(state)
        step = SimulatorStep(
            np.empty((count, self._observation_size)),
            np.empty(count),
            np.empty(count, bool),
            np.empty((count, self._state_size)),
        )
        diverged = np.empty(count, bool)

        def work(thread: int, rows: range) -> None:
            env: Any = self._envs[thread]
            for row in rows:
                self._restore(env, state[row])
                step.observation[row], step.reward[row], step.terminated[row], _, _ = env.step(
                    action[row]
                )
                step.state[row] = np.concatenate((env.data.qpos, env.data.qvel))
                diverged[row] = env.data.time < self.clock

        self._envs.extend(
            self._bare(self._made()) for _ in range(self._threads.count - len(self._envs))
        )
        self._threads.share(work, count)
        return step, diverged

    def observe(self, state: Array) -> Array:
        """(batch, nq + nv) -> (batch, observation), by the environment's `_get_obs`.

        Raises:
            ConfigError: its class has no `_get_obs`.
        """
        env: Any = self.env
        if not hasattr(env, "_get_obs"):
            raise ConfigError(
                f"{self.env_id}: its class has no _get_obs, so a state cannot be shown: add one, "
                "or use reset() and step()"
            )
        observation = np.empty((len(state), self._observation_size))
        for row, values in enumerate(state):
            self._restore(env, values)
            observation[row] = env._get_obs()
        return observation

    def reset(self, count: int, random: np.random.Generator) -> tuple[Array, Array]:
        """Observations (count, observation) and states (count, nq + nv) of `env.reset`."""
        env = self.env
        observation = np.empty((count, self._observation_size))
        state = np.empty((count, self._state_size))
        for row in range(count):
            observation[row], _ = env.reset(seed=int(random.integers(2**31)) if row == 0 else None)
            state[row] = np.concatenate((env.data.qpos, env.data.qvel))
        return observation, state

    def _restore(self, env: Any, state: Array) -> None:
        """Set a row's state (nq + nv,), without the warm start and forces of the row before.

        Results then depend neither on the order of rows nor on the threads.
        """
        mujoco.mj_resetData(env.model, env.data)
        env.data.time = self.clock
        env.set_state(state[: self._nq], state[self._nq :])

    def _bare(self, made: gym.Env[Any, Any]) -> MujocoEnv:
        """The simulator in an environment.

        Raises:
            ConfigError: there is none.
        """
        env = made.unwrapped
        if not isinstance(env, MujocoEnv):
            raise ConfigError(
                f"{self.env_id}: a {type(env).__name__} is no gymnasium MuJoCo task: its class "
                "must derive from MujocoEnv"
            )
        env.reset(seed=self._seed)
        return env

    def _made(self) -> gym.Env[Any, Any]:
        """The environment in the wrappers that it is registered with.

        Raises:
            ConfigError: it cannot be made.
        """
        try:
            return gym.make(self.env_id, disable_env_checker=True, **self._env_kwargs)
        except (gym.error.Error, ImportError, TypeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{self.env_id}: gymnasium cannot make this task ({reason}): check its id and its "
                "settings"
            ) from error
