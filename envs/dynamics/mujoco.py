"""True dynamics of gymnasium's MuJoCo tasks: batches of states stepped by the simulator itself, in
threads.

A simulator state is [qpos, qvel]. It has to travel beside the observation: Hopper, Walker2d and
InvertedDoublePendulum clip velocities in what they show, and a state rebuilt from such an
observation goes elsewhere (Walker2d: most steps of a random policy have a velocity past the clip).

One step equals `env.set_state(qpos, qvel)`, `env.data.qacc_warmstart[:] = 0`, `env.step(action)`.
There are three ways to get there:

* tasks that need nothing but states (Hopper, HalfCheetah, Walker2d, Swimmer, InvertedPendulum):
  `mujoco.rollout`, C threads, NumPy formulas;
* tasks that need quantities the engine computes within the last substep (InvertedDoublePendulum,
  Reacher-v5, Pusher-v5): `mj_step` row by row
  in Python threads, the interpreter lock released, then NumPy formulas. With Runge-Kutta these
  belong to its last stage, which no saved state gives back;
* all others, also classes of your own: the environment's own `step` row by row, one environment per
  thread. Exact for any code, slower by the
  time that code takes. Splitting the substeps between `mujoco.rollout` and the environment would
  lose the solver's warm start within a step (errors up to 1e-5 in Humanoid).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import mujoco
import mujoco.rollout
import numpy as np
import torch
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray
from torch import Tensor

from worldplan.envs.dynamics.model import Prediction
from worldplan.envs.dynamics.mujoco_tasks import Array, Task, reading_of, task_of
from worldplan.milp.errors import ConfigError

BLOCK = 16_384  # rows per rollout, which keeps every substep of every row in memory


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a batch in double precision, before it is cast to what a `Prediction` holds.

    observation (batch, observation), reward (batch,), terminated (batch,), state (batch, nq + nv).
    """

    observation: Array
    reward: Array
    terminated: NDArray[np.bool_]
    state: Array


class MujocoDynamics:
    """The simulator of a gymnasium MuJoCo task as a `worldplan.envs.dynamics.model.DynamicsModel`.

    Args:
        env_id: a registered task whose class derives from gymnasium's MujocoEnv, e.g. "Hopper-v5";
            v4 and v5 differ in physics.
        threads: threads to step with; None takes all cores this process may use. Results do not
            depend on it.
        seed: of `reset` without a generator, and of the environments.
        env_kwargs: passed to gymnasium.make; rewards, health and observations follow them.

    The task must be deterministic and its state no more than [qpos, qvel]: a class that counts
    steps or draws random numbers in `step` is not reproduced. No time limit applies. Raises
    ConfigError for tasks that cannot be made or hold more state.
    """

    def __init__(
        self, env_id: str, *, threads: int | None = None, seed: int = 0, **env_kwargs: Any
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(
                f"threads = {threads}: give a positive number, or leave it out to use all cores"
            )
        self.env_id, self.physics = env_id, str(mujoco.__version__)
        self.threads = threads or _cores()
        self._seed, self._env_kwargs = seed, env_kwargs
        self._envs = [self._make_env()]
        self._random = np.random.default_rng(seed)
        env, model = self._envs[0], self._envs[0].model
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        if model.na or size != 1 + model.nq + model.nv:
            raise ConfigError(
                f"{env_id}: its simulator state is more than positions and velocities (activations, plugins or delays): not supported"
            )
        self.state_size, self.action_size = int(model.nq + model.nv), int(model.nu)
        self.observation_size = int(np.prod(env.observation_space.shape or ()))
        self._nq, self._model = int(model.nq), model
        self._task: Task | None = task_of(env)
        self._reading = reading_of(env)
        # the engine silently starts a row anew, at time 0, when its numbers blow up: a clock that
        # starts late gives it away
        self._clock = 1.0 + env.frame_skip * model.opt.timestep

    @property
    def vectorised(self) -> bool:
        """Whether observation and reward come from NumPy formulas (else from the environment's own
        code, row by row).
        """
        return self._task is not None

    # --- tensors in, tensors out ------------------------------------------------------------------

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """What the simulator makes of `action` (batch, action) in `state` (batch, nq + nv),
        float64; the observation is not looked at.

        A row whose numbers blow up in the simulator, or that came with a NaN, ends: terminated is
        True and observation, reward and state are NaN. gymnasium would go on from the initial state
        without a word. Nothing is random and there are no members. Raises ConfigError without a
        state or with sizes of another task.
        """
        if state is None:
            raise ConfigError(
                f"{self.env_id}: true dynamics need the simulator state, not only the observation: pass state=[qpos, qvel] as stored with the data "
                "or returned by reset() and step(), or rebuild it with state_of(observation)"
            )
        result = self.step_numpy(_array(state), _action(action))
        return Prediction(
            next_observation=torch.from_numpy(result.observation).to(action.device, torch.float32),
            reward=torch.from_numpy(result.reward).to(action.device, torch.float32),
            terminated=torch.from_numpy(result.terminated).to(action.device),
            state=torch.from_numpy(result.state).to(state.device),
        )

    def to(self, device: torch.device | str) -> None:
        """The simulator runs on the CPU; `step` takes and returns tensors of any device."""

    def observe(self, state: Tensor) -> Tensor:
        """(batch, nq + nv) -> (batch, observation), float32: what the environment shows right after
        `set_state`.

        Contact and constraint forces in the observation (Ant, Humanoid) are those of a fresh
        environment there, not those after a step.
        """
        return torch.from_numpy(self._observe(self._check(_array(state)))).to(
            state.device, torch.float32
        )

    def reset(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Observations (count, observation), float32, and states (count, nq + nv), float64, at the
        start of episodes.

        Drawn at once from the task's own distribution where it is known, else by `env.reset`, one
        by one.
        """
        random = self._random
        if generator is not None:
            random = np.random.default_rng(
                int(torch.randint(2**62, (), generator=generator, device=generator.device))
            )
        if self._task is not None:
            state = self._task.draw(count, random)
            observation = self._observe(state)
        else:
            observation, state = self._reset_rows(count, random)
        return torch.from_numpy(observation).to(torch.float32), torch.from_numpy(state)

    def state_of(self, observation: Tensor, like: Tensor | None = None) -> Tensor:
        """(batch, observation) -> (batch, nq + nv), float64, on the CPU.

        What a task does not show (the place on the track, whole turns) is taken from `like` (batch,
        nq + nv), else 0. Velocities that are shown clipped at +-10 (Hopper, Walker2d,
        InvertedDoublePendulum) are taken from `like` where it agrees that they lie past the clip;
        without `like` they stay at +-10, which is a WRONG state. Raises ConfigError for a task
        whose observation does not hold the state.
        """
        if self._reading is None:
            raise ConfigError(
                f"{self.env_id}: an observation does not say what the simulator's state is: store qpos and qvel with the data"
            )
        rows = _array(observation)
        if rows.ndim != 2 or rows.shape[1] != self.observation_size:
            raise ConfigError(
                f"{self.env_id}: observations have shape {rows.shape}, expected (batch, {self.observation_size})"
            )
        return torch.from_numpy(
            self._reading.state_of(rows, None if like is None else self._check(_array(like)))
        )

    # --- arrays in, arrays out --------------------------------------------------------------------

    def step_numpy(self, state: Array, action: NDArray[Any]) -> Step:
        """`step` in double precision. The action's precision counts in the reward, as it does in
        the environment.
        """
        state = self._check(state)
        if action.shape != (len(state), self.action_size):
            raise ConfigError(
                f"{self.env_id}: actions have shape {action.shape}, expected {(len(state), self.action_size)}"
            )
        lost = ~(np.isfinite(state).all(axis=1) & np.isfinite(action).all(axis=1))
        if lost.any():
            state, action = (
                np.where(lost[:, None], self._rest, state),
                np.where(lost[:, None], 0, action),
            )
        step, blown = (
            self._step_rows(state, action)
            if self._task is None
            else self._step_task(self._task, state, action)
        )
        lost |= blown
        for part in (step.observation, step.reward, step.state):
            part[lost] = np.nan
        step.terminated[lost] = True
        return step

    def _step_task(
        self, task: Task, state: Array, action: NDArray[Any]
    ) -> tuple[Step, NDArray[np.bool_]]:
        """Physics first, then the formulas."""
        fields: dict[str, Array] = {}
        if task.reads:
            full, fields = self._simulate_rows(task.reads, state, action)
        else:
            full = self._simulate(state, action)
        after = full[:, 1:]
        reward, terminated = task.judge(state, action, after, fields)
        return Step(
            task.observe(after, fields), np.asarray(reward, np.float64), terminated, after
        ), full[:, 0] < self._clock

    def _simulate(self, state: Array, action: NDArray[Any]) -> Array:
        """[time, qpos, qvel] after a step, by C threads; `mujoco.rollout` zeroes the warm start of
        every row.
        """
        substeps = self._envs[0].frame_skip
        full = np.empty((len(state), 1 + self.state_size))
        for begin in range(0, len(state), BLOCK):
            rows = slice(begin, begin + BLOCK)
            initial = self._full(state[rows])
            control = np.repeat(action[rows, None].astype(np.float64), substeps, axis=1)
            full[rows] = self._pool.rollout(self._model, self._data, initial, control)[0][:, -1]
        return full

    def _simulate_rows(
        self, reads: Sequence[str], state: Array, action: NDArray[Any]
    ) -> tuple[Array, dict[str, Array]]:
        """[time, qpos, qvel] after a step and the arrays the engine left, by Python threads."""
        model, substeps, kind = (
            self._model,
            self._envs[0].frame_skip,
            mujoco.mjtState.mjSTATE_FULLPHYSICS,
        )
        full = self._full(state)
        fields = {name: np.empty((len(state), getattr(self._data[0], name).size)) for name in reads}

        def work(thread: int, rows: range) -> None:
            data = self._data[thread]
            warmstart, control = data.qacc_warmstart, data.ctrl  # views into the engine's memory
            sources = [(fields[name], getattr(data, name).reshape(-1)) for name in reads]
            for row in rows:
                mujoco.mj_setState(model, data, full[row], kind)
                warmstart[:] = 0
                control[:] = action[row]
                mujoco.mj_step(model, data, substeps)
                mujoco.mj_getState(model, data, full[row], kind)
                for target, source in sources:
                    target[row] = source

        self._share(work, len(state))
        return full, fields

    def _step_rows(self, state: Array, action: NDArray[Any]) -> tuple[Step, NDArray[np.bool_]]:
        """The environment's own `step`, by Python threads with an environment each."""
        count = len(state)
        step = Step(
            np.empty((count, self.observation_size)),
            np.empty(count),
            np.empty(count, bool),
            np.empty((count, self.state_size)),
        )
        blown = np.empty(count, bool)

        def work(thread: int, rows: range) -> None:
            env = self._envs[thread]
            for row in rows:
                self._restore(env, state[row])
                step.observation[row], step.reward[row], step.terminated[row], _, _ = env.step(
                    action[row]
                )
                step.state[row, : self._nq], step.state[row, self._nq :] = (
                    env.data.qpos,
                    env.data.qvel,
                )
                blown[row] = env.data.time < self._clock

        self._share(work, count)
        return step, blown

    def _observe(self, state: Array) -> Array:
        task = self._task
        if task is None:
            return self._observe_rows(state)
        fields = {
            name: np.empty((len(state), getattr(self._data[0], name).size)) for name in task.reads
        }
        if fields:
            data = self._data[0]
            for row, full in enumerate(self._full(state)):
                mujoco.mj_setState(self._model, data, full, mujoco.mjtState.mjSTATE_FULLPHYSICS)
                data.qacc_warmstart[:] = 0
                mujoco.mj_forward(self._model, data)
                for name, target in fields.items():
                    target[row] = getattr(data, name).reshape(-1)
        return task.observe(state, fields)

    def _observe_rows(self, state: Array) -> Array:
        env: Any = self._envs[0]
        if not hasattr(env, "_get_obs"):
            raise ConfigError(
                f"{self.env_id}: its class has no _get_obs, so a state cannot be shown: add one, or use reset() and step()"
            )
        observation = np.empty((len(state), self.observation_size))
        for row, values in enumerate(state):
            self._restore(env, values)
            observation[row] = env._get_obs()
        return observation

    def _reset_rows(self, count: int, random: np.random.Generator) -> tuple[Array, Array]:
        env = self._envs[0]
        observation, state = (
            np.empty((count, self.observation_size)),
            np.empty((count, self.state_size)),
        )
        for row in range(count):
            observation[row], _ = env.reset(seed=int(random.integers(2**31)) if row == 0 else None)
            state[row] = np.concatenate((env.data.qpos, env.data.qvel))
        return observation, state

    def _restore(self, env: Any, state: Array) -> None:
        """Nothing of the row before is left, also no warm start: results depend neither on the
        order of rows nor on the threads.
        """
        mujoco.mj_resetData(env.model, env.data)
        env.data.time = self._clock
        env.set_state(state[: self._nq], state[self._nq :])

    # --- what threads need ------------------------------------------------------------------------

    def _share(self, work: Callable[[int, range], None], count: int) -> None:
        """Cut the rows into one piece per thread; `work` gets the number of its thread and its
        rows.
        """
        if self.threads == 1:
            return work(0, range(count))
        if self._task is None:
            self._envs.extend(self._make_env() for _ in range(self.threads - len(self._envs)))
        edges = np.linspace(0, count, self.threads + 1).astype(int).tolist()
        pieces = [range(begin, end) for begin, end in zip(edges[:-1], edges[1:], strict=True)]
        for _ in self._workers.map(
            work, range(self.threads), pieces
        ):  # also raises what a thread raised
            pass
        return None

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, thread_name_prefix="mujoco")

    @cached_property
    def _pool(self) -> Any:
        return mujoco.rollout.Rollout(nthread=self.threads if self.threads > 1 else 0)

    @cached_property
    def _data(self) -> list[Any]:
        return [mujoco.MjData(self._model) for _ in range(self.threads)]

    @cached_property
    def _rest(self) -> Array:
        return np.concatenate((self._envs[0].init_qpos, self._envs[0].init_qvel))

    def _full(self, state: Array) -> Array:
        return np.concatenate((np.full((len(state), 1), self._clock), state), axis=1)

    def _check(self, state: Array) -> Array:
        if state.ndim != 2 or state.shape[1] != self.state_size:
            raise ConfigError(
                f"{self.env_id}: states have shape {state.shape}, expected (batch, {self.state_size}) = [qpos, qvel]"
            )
        return state

    def _make_env(self) -> MujocoEnv:
        try:
            env = gym.make(self.env_id, disable_env_checker=True, **self._env_kwargs).unwrapped
        except (gym.error.Error, ImportError, TypeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{self.env_id}: gymnasium cannot make this task ({reason}): check its id and its settings"
            ) from error
        if not isinstance(env, MujocoEnv):
            raise ConfigError(
                f"{self.env_id}: a {type(env).__name__} is no gymnasium MuJoCo task: its class must derive from MujocoEnv"
            )
        env.reset(seed=self._seed)
        return env


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _array(values: Tensor) -> Array:
    return values.detach().to("cpu", torch.float64).numpy()


def _action(values: Tensor) -> NDArray[Any]:
    exact = values.dtype in (torch.float32, torch.float64)
    return values.detach().to("cpu", values.dtype if exact else torch.float32).numpy()
