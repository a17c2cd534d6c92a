"""What an environment returns, checked in every step: one line says which part is wrong."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError

_STEP = "observation, reward, terminated, truncated and a dict"


class CheckedEnvironment(gym.Wrapper[Any, Any, Any, Any]):
    """The same environment; what it returns is checked, see `check_reset` and `check_step`.

    Args:
        env: the environment.
        name: of it, the beginning of the messages.
    """

    def __init__(self, env: gym.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        self._name = f"environment '{name}'"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            ConfigError: see `check_reset`.
        """
        with _unpacking(f"{self._name}: reset", "an observation and a dict"):
            result = self.env.reset(seed=seed, options=options)
        check_reset(result, self.env.observation_space, self._name)
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step.

        Raises:
            ConfigError: see `check_step`.
        """
        with _unpacking(f"{self._name}: step", _STEP):
            result = self.env.step(action)
        check_step(result, self.env.observation_space, self._name)
        return result


@contextmanager
def _unpacking(what: str, needed: str) -> Iterator[None]:
    """Say what is wrong where a wrapper of gymnasium takes a result apart and cannot.

    Raises:
        ConfigError: the result has another number of values than a wrapper needs.
        Exception: all others of the environment.
    """
    try:
        yield
    except Exception as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if "unpack" in str(error) and frame.f_globals.get("__name__", "").startswith("gymnasium."):
            raise ConfigError(f"{what}: {error}: return {needed}") from error
        raise


def check_reset(result: Any, space: gym.Space[Any] | None, what: str) -> None:
    """Check what `reset` returned.

    Args:
        result: to check.
        space: of the observations; None: they are not checked.
        what: returned it, the beginning of the message.

    Raises:
        ConfigError: it is no pair, or the observation does not fit the space or is not finite.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise ConfigError(
            f"{what}: reset returned {checks.shown(result)}: return an observation and a dict"
        )
    _check_observation(result[0], space, f"{what}: reset: the observation")
    _check_info(result[1], f"{what}: reset")


def check_step(result: Any, space: gym.Space[Any] | None, what: str) -> None:
    """Check what `step` returned.

    Args:
        result: to check.
        space: of the observations; None: they are not checked.
        what: returned it, the beginning of the message.

    Raises:
        ConfigError: these are no five values, the observation does not fit the space, the reward
            is no finite number, or an end is neither True nor False.
    """
    if not isinstance(result, tuple) or len(result) != 5:
        raise ConfigError(f"{what}: step returned {checks.shown(result)}: return {_STEP}")
    observation, reward, *ends, info = result
    _check_observation(observation, space, f"{what}: step: the observation")
    number = _array(reward, f"{what}: step: the reward")
    if number.shape or number.dtype.kind not in "biuf" or not np.isfinite(number):
        raise ConfigError(
            f"{what}: step: the reward is {checks.shown(reward)}: return one finite number"
        )
    for name, end in zip(("terminated", "truncated"), ends, strict=True):
        if end is True or end is False:
            continue
        value = _array(end, f"{what}: step: {name}")
        if value.shape or value.dtype.kind not in "biuf" or value not in (0, 1):
            raise ConfigError(f"{what}: step: {name} is {checks.shown(end)}: return True or False")
    _check_info(info, f"{what}: step")


def _check_info(info: Any, what: str) -> None:
    if not isinstance(info, Mapping):
        raise ConfigError(f"{what}: info is {checks.shown(info)}: return a dict")


def _check_observation(observation: Any, space: gym.Space[Any] | None, what: str) -> None:
    """Check the arrays of an observation; parts of it that are in no Box are not checked.

    Raises:
        ConfigError: an array has another shape or type than its Box, or is not finite.
    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(observation, Mapping) or not space.spaces.keys() <= observation.keys():
            raise ConfigError(
                f"{what} is {checks.shown(observation)}: return a dict with "
                f"{', '.join(map(str, space.spaces))}, or change the observation space"
            )
        for name, part in space.spaces.items():
            _check_observation(observation[name], part, f"{what}['{name}']")
    if not isinstance(space, gym.spaces.Box):
        return
    values = _array(observation, what)
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{what} is {checks.shown(observation)}: return an array of numbers")
    if values.shape != space.shape or not np.can_cast(values.dtype, space.dtype, "same_kind"):
        raise ConfigError(
            f"{what} has the shape {values.shape} and the type {values.dtype}, its space "
            f"{space.shape} and {space.dtype}: let both be the same"
        )
    with np.errstate(over="ignore"):
        values = values.astype(space.dtype, copy=False)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ConfigError(f"{what} is {values[tuple(place)]} at {place}: return finite numbers")


def _array(value: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as error:
        raise ConfigError(
            f"{what} is {checks.shown(value)} ({error}): return numbers that NumPy reads"
        ) from error
