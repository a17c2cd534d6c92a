"""True dynamics of gymnasium's MuJoCo tasks: the simulator steps batches of states in threads.

A simulator state is [qpos, qvel]. It travels beside the observation: Hopper, Walker2d and
InvertedDoublePendulum clip the velocities that they show, and a state rebuilt from such an
observation has another successor (in Walker2d, most steps of a random policy have a velocity past
the clip).

One step equals `env.set_state(qpos, qvel)`, `env.data.qacc_warmstart[:] = 0`, `env.step(action)`.
It is computed in one of three ways:

* Tasks whose observation and reward are functions of states (Hopper, HalfCheetah, Walker2d,
  Swimmer, InvertedPendulum): `mujoco.rollout` in C threads, then NumPy formulas.
* Tasks that need quantities of the engine's last substep (InvertedDoublePendulum, Reacher-v5,
  Pusher-v5): `mj_step` row by row in Python threads, with the interpreter lock released, then NumPy
  formulas. With Runge-Kutta these quantities belong to its last stage, and no saved state
  reproduces them.
* All others, also classes of your own: the environment's own `step` row by row, one environment per
  thread (`worldplan.envs.dynamics.mujoco_rows`). Exact for any code, and as slow as that code.
  Splitting the substeps between `mujoco.rollout` and the environment would lose the solver's warm
  start within a step (errors up to 1e-5 in Humanoid).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import mujoco
import mujoco.rollout
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldplan.envs.dynamics.arrays import contiguous
from worldplan.envs.dynamics.model import Prediction
from worldplan.envs.dynamics.mujoco_readings import Array, initial_state, reading_of
from worldplan.envs.dynamics.mujoco_rows import EnvironmentRows, SimulatorStep, Threads
from worldplan.envs.dynamics.mujoco_tasks import Task, task_of
from worldplan.envs.spec import WrapperSpec
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError

BLOCK = 16_384  # rows per call of mujoco.rollout, which keeps every substep of every row in memory


class MujocoDynamics:
    """The simulator of a gymnasium MuJoCo task as a `worldplan.envs.dynamics.model.DynamicsModel`.

    Args:
        env_id: a registered task whose class derives from gymnasium's MujocoEnv, e.g. "Hopper-v5";
            v4 and v5 differ in physics.
        threads: threads that step the batch; None takes all cores that this process may use.
            Results do not depend on it.
        seed: of `reset` without a generator, and of the environments.
        wrappers: around the task, the innermost first; `ClipAction` and `RescaleAction`, whose
            function of the action comes before the step.
        env_kwargs: passed to gymnasium.make; rewards, health and observations follow them.

    The task must be deterministic, and its state no more than [qpos, qvel]: a class that counts
    steps or draws random numbers in `step` is not reproduced. There is no time limit.

    Raises:
        ConfigError: the task cannot be made, its state holds more than positions and velocities, or
            a wrapper, also one that it is registered with, changes more than the action.
    """

    def __init__(
        self,
        env_id: str,
        *,
        threads: int | None = None,
        seed: int = 0,
        wrappers: Sequence[WrapperSpec] = (),
        **env_kwargs: Any,
    ) -> None:
        checks.whole_number(seed, "seed", least=0)
        if threads is not None and checks.whole_number(threads, "threads") < 1:
            raise ConfigError(
                f"threads = {threads}: give a positive number, or leave it out to use all cores"
            )
        self.env_id, self.physics = env_id, str(mujoco.__version__)
        self.threads = threads or _cores()
        self._threads = Threads(self.threads)
        self._rows = EnvironmentRows(env_id, self._threads, seed, env_kwargs, wrappers)
        self._random = np.random.default_rng(seed)
        env, model = self._rows.env, self._rows.env.model
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        if model.na or size != 1 + model.nq + model.nv:
            raise ConfigError(
                f"{env_id}: its simulator state is more than positions and velocities "
                "(activations, plugins or delays): not supported"
            )
        self.state_size, self.action_size = int(model.nq + model.nv), int(model.nu)
        self.observation_size = int(np.prod(env.observation_space.shape or ()))
        self._model, self._substeps = model, env.frame_skip
        self._task: Task | None = task_of(env)
        self._reading = reading_of(env)

    @property
    def vectorised(self) -> bool:
        """Whether observation and reward are NumPy formulas, not the environment's own code."""
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
        """The simulator's step from `state`; it is deterministic and has no members.

        A row that diverges in the simulator, or whose input is not finite, terminates: its
        observation, reward and state are NaN. (gymnasium would silently continue from the initial
        state.)

        Args:
            observation: (batch, observation), not used.
            action: (batch, action).
            state: (batch, nq + nv), float64.
            generator: not used.
            members: not used.

        Raises:
            ConfigError: there is no state, a size is that of another task, or something is no
                number.
        """
        if state is None:
            raise ConfigError(
                f"{self.env_id}: true dynamics need the simulator state, not only the observation: "
                "pass state=[qpos, qvel] as stored with the data or returned by reset() and "
                "step(), or rebuild it with state_of(observation)"
            )
        result = self.step_numpy(state, action)
        device = _device(action)
        return Prediction(
            next_observation=torch.from_numpy(result.observation).to(device, torch.float32),
            reward=torch.from_numpy(result.reward).to(device, torch.float32),
            terminated=torch.from_numpy(result.terminated).to(device),
            state=torch.from_numpy(result.state).to(_device(state)),
        )

    def to(self, device: torch.device | str) -> None:
        """Does nothing: the simulator runs on the CPU, for tensors of any device."""

    def observe(self, state: Tensor) -> Tensor:
        """(batch, nq + nv) -> (batch, observation), float32: as right after `set_state`.

        Contact and constraint forces in the observation (Ant, Humanoid) are those of a fresh
        environment, not those after a step.

        Raises:
            ConfigError: the states have another size, or the task's class has no `_get_obs`.
        """
        return torch.from_numpy(self._observe(self._check(state))).to(_device(state), torch.float32)

    def reset(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Observations (count, observation), float32, and states (count, nq + nv), float64, at the
        start of episodes.

        Drawn from a formula of the task's own distribution where there is one, else by `env.reset`.

        Args:
            count: number of start states.
            generator: decides them; None continues the random numbers of the constructor's seed.

        Raises:
            ConfigError: `count` is no whole number of at least 0.
        """
        checks.whole_number(count, "count", least=0, most=10**9)
        random = self._random
        if generator is not None:
            random = np.random.default_rng(
                int(torch.randint(2**62, (), generator=generator, device=generator.device))
            )
        if self._task is not None:
            state = self._task.draw(count, random)
            observation = self._observe(state)
        else:
            observation, state = self._rows.reset(count, random)
        return torch.from_numpy(observation).to(torch.float32), torch.from_numpy(state)

    def state_of(self, observation: Tensor, like: Tensor | None = None) -> Tensor:
        """(batch, observation) -> states (batch, nq + nv), float64, on the CPU.

        Entries that a task does not show (the position on the track, whole turns) are copied from
        `like`, else 0. A velocity that is shown clipped at +-10 (Hopper, Walker2d,
        InvertedDoublePendulum) is copied from `like` if that lies past the same end of the clip;
        without `like` it stays at +-10, which is a WRONG state.

        Args:
            observation: (batch, observation).
            like: (batch, nq + nv), states near those that are sought.

        Raises:
            ConfigError: the task's observation does not hold the state, or a size is wrong.
        """
        if self._reading is None:
            raise ConfigError(
                f"{self.env_id}: an observation does not say what the simulator's state is: store "
                "qpos and qvel with the data"
            )
        rows = contiguous(observation, f"{self.env_id}: observations", dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.observation_size:
            raise ConfigError(
                f"{self.env_id}: observations have shape {rows.shape}, expected (batch, "
                f"{self.observation_size})"
            )
        return torch.from_numpy(
            self._reading.state_of(rows, None if like is None else self._check(like))
        )

    # --- arrays in, arrays out --------------------------------------------------------------------

    def step_numpy(self, state: Any, action: Any) -> SimulatorStep:
        """`step` in double precision.

        Args:
            state: (batch, nq + nv).
            action: (batch, action); as in the environment, its precision affects the reward:
                float32 and float64 are taken as they are, all else as float64.

        Raises:
            ConfigError: a size is that of another task, or something is no number.
        """
        state = self._check(state)
        action = contiguous(action, f"{self.env_id}: actions")
        if action.shape != (len(state), self.action_size):
            raise ConfigError(
                f"{self.env_id}: actions have shape {action.shape}, expected "
                f"{(len(state), self.action_size)}"
            )
        invalid = ~(np.isfinite(state).all(axis=1) & np.isfinite(action).all(axis=1))
        if invalid.any():
            state = np.where(invalid[:, None], self._initial_state, state)
            action = np.where(invalid[:, None], 0, action)
        action = self._rows.inner_action(action)
        step, diverged = (
            self._rows.step(state, action)
            if self._task is None
            else self._step_task(self._task, state, action)
        )
        invalid |= diverged
        for part in (step.observation, step.reward, step.state):
            part[invalid] = np.nan
        step.terminated[invalid] = True
        return step

    def _step_task(
        self, task: Task, state: Array, action: NDArray[Any]
    ) -> tuple[SimulatorStep, NDArray[np.bool_]]:
        """The step by physics, then formulas, and which rows diverged."""
        fields: dict[str, Array] = {}
        if task.reads:
            timed, fields = self._simulate_rows(task.reads, state, action)
        else:
            timed = self._simulate(state, action)
        after = timed[:, 1:]
        reward, terminated = task.judge(state, action, after, fields)
        step = SimulatorStep(
            task.observe(after, fields), np.asarray(reward, np.float64), terminated, after
        )
        return step, timed[:, 0] < self._rows.clock

    def _simulate(self, state: Array, action: NDArray[Any]) -> Array:
        """[time, qpos, qvel] after a step, by C threads.

        `mujoco.rollout` sets the warm start of every row to 0.
        """
        timed = np.empty((len(state), 1 + self.state_size))
        for begin in range(0, len(state), BLOCK):
            rows = slice(begin, begin + BLOCK)
            initial = self._with_time(state[rows])
            control = np.repeat(action[rows, None].astype(np.float64), self._substeps, axis=1)
            timed[rows] = self._rollout.rollout(self._model, self._data, initial, control)[0][:, -1]
        return timed

    def _simulate_rows(
        self, reads: Sequence[str], state: Array, action: NDArray[Any]
    ) -> tuple[Array, dict[str, Array]]:
        """[time, qpos, qvel] after a step and the MjData arrays in `reads`, by Python threads."""
        model, kind = self._model, mujoco.mjtState.mjSTATE_FULLPHYSICS
        timed = self._with_time(state)
        fields = {name: np.empty((len(state), getattr(self._data[0], name).size)) for name in reads}

        def work(thread: int, rows: range) -> None:
            data = self._data[thread]
            warmstart, control = data.qacc_warmstart, data.ctrl  # views into the engine's memory
            sources = [(fields[name], getattr(data, name).reshape(-1)) for name in reads]
            for row in rows:
                mujoco.mj_setState(model, data, timed[row], kind)
                warmstart[:] = 0
                control[:] = action[row]
                mujoco.mj_step(model, data, self._substeps)
                mujoco.mj_getState(model, data, timed[row], kind)
                for target, source in sources:
                    target[row] = source

        self._threads.share(work, len(state))
        return timed, fields

    def _observe(self, state: Array) -> Array:
        task = self._task
        if task is None:
            return self._rows.observe(state)
        data = self._data[0]
        fields = {name: np.empty((len(state), getattr(data, name).size)) for name in task.reads}
        if fields:
            for row, timed in enumerate(self._with_time(state)):
                mujoco.mj_setState(self._model, data, timed, mujoco.mjtState.mjSTATE_FULLPHYSICS)
                data.qacc_warmstart[:] = 0
                mujoco.mj_forward(self._model, data)
                for name, target in fields.items():
                    target[row] = getattr(data, name).reshape(-1)
        return task.observe(state, fields)

    def _with_time(self, state: Array) -> Array:
        """(batch, nq + nv) -> (batch, 1 + nq + nv), the time at which rows start in front.

        In rows that lie in one piece, as MuJoCo reads and writes them.
        """
        timed = np.empty((len(state), 1 + self.state_size))
        timed[:, 0], timed[:, 1:] = self._rows.clock, state
        return timed

    def _check(self, states: Any) -> Array:
        """The states (batch, nq + nv) as a contiguous array.

        Raises:
            ConfigError: another size, or no numbers.
        """
        state = contiguous(states, f"{self.env_id}: states", dtype=np.float64)
        if state.ndim != 2 or state.shape[1] != self.state_size:
            raise ConfigError(
                f"{self.env_id}: states have shape {state.shape}, expected (batch, "
                f"{self.state_size}) = [qpos, qvel]"
            )
        return state

    @cached_property
    def _rollout(self) -> Any:
        return mujoco.rollout.Rollout(nthread=self.threads if self.threads > 1 else 0)

    @cached_property
    def _data(self) -> list[Any]:
        return [mujoco.MjData(self._model) for _ in range(self.threads)]

    @cached_property
    def _initial_state(self) -> Array:
        return initial_state(self._rows.env)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(values: Any) -> torch.device:
    """Where a tensor lies; the CPU for arrays and lists."""
    return values.device if isinstance(values, Tensor) else torch.device("cpu")
