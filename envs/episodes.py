"""The loop that plays episodes: one episode in each environment of a batch, side by side.

```python
import numpy as np
from worldplan.envs import EpisodeBatch, make_environments

env, returns = make_environments("Pendulum-v1", 4), np.zeros(4)
decide = lambda observations: np.zeros((len(observations), 1), np.float32)
for step in EpisodeBatch(env, seed=0).play(decide):
    returns[step.running] += step.reward[step.running]
```

`decide` turns batched observations into batched actions. The loop takes care of what every loop
over gymnasium environments needs: it accepts one environment or a vector of them, stops when every
episode is over, marks which environments still run, and resets those that are over, because
gymnasium does not step them. What a step is used for (tables, films, data) is up to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from worldplan.envs.checked import check_reset, check_step
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError

Decide = Callable[[Any], Any]
"""Observations (envs, ...), or a mapping from names to such arrays -> actions (envs, ...)."""

SUCCESS_NAMES = ("is_success", "success")
"""Names under which environments report success in `info`."""


@dataclass(slots=True)
class EpisodeStep:
    """One step of a batch of episodes. Entries where `running` is False have no meaning.

    Args:
        running: (envs,) bool, the episodes that this step belongs to.
        action: (envs, ...), the executed actions.
        next_observation: (envs, ...) or a mapping; copy it to keep it beyond the next step.
        reward: (envs,) float.
        terminated: (envs,) bool, the episode has ended in a terminal state.
        truncated: (envs,) bool, the episode was cut, for instance by a limit on its steps.
        info: name -> (envs,) values, as gymnasium's vector environments report them.
    """

    running: NDArray[np.bool_]
    action: Any
    next_observation: Any
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    info: Mapping[str, Any]

    @property
    def over(self) -> NDArray[np.bool_]:
        """(envs,) bool, the episodes that end with this step."""
        return self.running & (self.terminated | self.truncated)

    @property
    def success(self) -> NDArray[np.float64] | None:
        """(envs,), see `reported_success`."""
        return reported_success(self.info)


class EpisodeBatch:
    """One episode in each environment; the constructor resets them all.

    Args:
        env: one environment, or a vector of environments that do not reset themselves
            (`AutoresetMode.DISABLED`).
        seed: of the reset; environment i of a vector is reset with seed + i.

    Attributes:
        observation: (envs, ...) or a mapping, what the next action is decided on.
        action_space: of one environment.
        info: what the last reset or step reported, name -> (envs,) values.
        running: (envs,) bool, the episodes that are not over.

    Raises:
        ConfigError: the environments reset themselves.
    """

    def __init__(self, env: gym.Env[Any, Any] | VectorEnv, *, seed: int | None = None) -> None:
        checks.of_type(env, "env", gym.Env | VectorEnv, remedy="a gymnasium environment")  # type: ignore[arg-type]
        self._env = env if isinstance(env, VectorEnv) else _SingleEnvironment(env)
        of_one = env.single_action_space if isinstance(env, VectorEnv) else env.action_space
        self.action_space: gym.Space[Any] = of_one
        mode = self._env.metadata.get("autoreset_mode", AutoresetMode.DISABLED)
        if mode != AutoresetMode.DISABLED:
            raise ConfigError(
                f"{env}: its environments reset themselves ({mode}), so the end of an episode "
                "cannot be told from the start of the next: make it with AutoresetMode.DISABLED"
            )
        self.observation, self.info = self._env.reset(seed=seed)
        self.running = np.ones(self._env.num_envs, bool)

    def play(self, decide: Decide) -> Iterator[EpisodeStep]:
        """Play until every episode is over, or until the caller stops the iteration.

        Args:
            decide: called with the observations of all environments, of those that are over too.

        Yields:
            Every step, before the environments that it ended are reset.
        """
        any_running = bool(self.running.any())
        while any_running:
            action = decide(self.observation)
            self.observation, reward, terminated, truncated, self.info = self._env.step(action)
            step = EpisodeStep(
                self.running,
                action,
                self.observation,
                np.asarray(reward, dtype=float),
                np.asarray(terminated),
                np.asarray(truncated),
                self.info,
            )
            over = step.terminated | step.truncated
            any_over = bool(over.any())
            if any_over:
                self.running = self.running & ~over
                any_running = bool(self.running.any())
            yield step
            if any_over and any_running:
                self.observation, _ = self._env.reset(options={"reset_mask": over})


def successive_steps(
    env: gym.Env[Any, Any], decide: Decide, *, seed: int | None = None
) -> Iterator[EpisodeStep]:
    """The steps of one episode after the other, without end; cut it with `itertools.islice`.

    Args:
        env: one environment.
        decide: observations (1, ...) -> actions (1, ...).
        seed: of the first reset; later resets take the environment's next random numbers.

    Yields:
        Every step. The environment is reset only before the first step of an episode is taken.
    """
    while True:
        yield from EpisodeBatch(env, seed=seed).play(decide)
        seed = None


def reported_success(info: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Success as `info` reports it under any of `SUCCESS_NAMES`: (envs,) of 0 and 1, or None."""
    reports = [np.asarray(info[name], dtype=float) for name in SUCCESS_NAMES if name in info]
    return np.maximum.reduce(reports) if reports else None


def with_batch_axis(observation: Any) -> Any:
    """A batch of one observation: the inverse of `unbatch`.

    A mapping becomes a mapping of batches, an array or a number becomes an array (1, ...), and
    anything else a tuple of one, which is how gymnasium batches what is no array.
    """
    if isinstance(observation, Mapping):
        return {name: with_batch_axis(column) for name, column in observation.items()}
    if hasattr(observation, "detach"):  # a tensor, also one with a gradient or on another device
        observation = observation.detach().cpu()
    if hasattr(observation, "__array__") or isinstance(observation, int | float):
        return np.asarray(observation)[None]
    return (observation,)


def unbatch(observations: Any) -> list[Any]:
    """The observations of a batch: an array, a mapping of arrays, or a sequence."""
    if not isinstance(observations, Mapping):
        return list(observations)
    columns = {name: unbatch(column) for name, column in observations.items()}
    count = len(next(iter(columns.values())))
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def reset_mask(options: Mapping[str, Any] | None, count: int) -> NDArray[np.bool_]:
    """Which of `count` environments a vector environment's `reset` begins anew, (count,).

    All of them, unless `options["reset_mask"]` says which, as in gymnasium's vector environments.

    Raises:
        ConfigError: the mask is no bool array (count,), or selects no environment.
    """
    if options is None or "reset_mask" not in options:
        return np.ones(count, bool)
    mask = np.asarray(options["reset_mask"])
    if mask.dtype != bool or mask.shape != (count,) or not mask.any():
        raise ConfigError(
            f"reset: reset_mask is {mask.dtype} {mask.shape}: give a bool array ({count},) with at "
            "least one True"
        )
    return mask


class _SingleEnvironment(VectorEnv):
    """A vector of one environment, without the copies that `SyncVectorEnv` makes of every step."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED}

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env, self.num_envs = env, 1
        self._space, self._name = getattr(env, "observation_space", None), f"{env}"

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        result = self.env.reset(seed=seed, options=options)
        check_reset(result, self._space, self._name)
        observation, info = result
        return with_batch_axis(observation), _batched(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        result = self.env.step(actions[0])
        check_step(result, self._space, self._name)
        observation, reward, terminated, truncated, info = result
        ends = np.array([terminated], bool), np.array([truncated], bool)
        return with_batch_axis(observation), np.array([reward], float), *ends, _batched(info)


def _batched(info: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [value] for name, value in info.items()}
