"""What OfflineRL-Kit and CORL call of gym 0.23, on gymnasium: one environment, whatever its name.

WORLDPLAN_PEER_ENVIRONMENT is the gymnasium id, WORLDPLAN_PEER_DATA the D4RL-style file. Every
finished episode is appended to WORLDPLAN_PEER_EPISODES as "return length".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import gymnasium.envs.mujoco
import h5py
import numpy as np
from gymnasium import spaces as spaces

sys.modules["gym.envs.mujoco"] = gymnasium.envs.mujoco  # imported by Kit, never used


class Env:
    """An environment with the old interface."""

    def __init__(self) -> None:
        self._env = gymnasium.make(os.environ["WORLDPLAN_PEER_ENVIRONMENT"])
        self.observation_space = self._env.observation_space
        self.action_space = self._env.action_space
        self._max_episode_steps = self._env.spec.max_episode_steps if self._env.spec else None
        self._seed: int | None = None
        self._return, self._length = 0.0, 0

    @property
    def unwrapped(self) -> Env:
        return self

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed
        return [seed]

    def reset(self) -> np.ndarray:
        seed, self._seed = self._seed, None
        self._return, self._length = 0.0, 0
        observation: np.ndarray = self._env.reset(seed=seed)[0]
        return observation

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
        action = np.clip(action, self.action_space.low, self.action_space.high)
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._return, self._length = self._return + float(reward), self._length + 1
        if terminated or truncated:
            with open(os.environ["WORLDPLAN_PEER_EPISODES"], "a", encoding="utf-8") as file:
                file.write(f"{self._return!r} {self._length}\n")
        return observation, float(reward), terminated or truncated, info

    def get_dataset(self) -> dict[str, np.ndarray]:
        """The columns of the file, as D4RL reads them."""
        columns = ("observations", "actions", "rewards", "terminals", "timeouts")
        with h5py.File(os.environ["WORLDPLAN_PEER_DATA"]) as file:
            return {name: file[name][:] for name in (*columns, "next_observations")}

    def get_normalized_score(self, value: Any) -> Any:
        """The return itself: scores are not compared, returns are."""
        return value


def make(name: str, **options: Any) -> Env:
    """The environment; the name only says to a peer which settings are its own."""
    return Env()


class _Wrapper:
    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)


class _TransformObservation(_Wrapper):
    def __init__(self, env: Any, function: Callable[[Any], Any]) -> None:
        super().__init__(env)
        self.function = function

    def reset(self) -> Any:
        return self.function(self.env.reset())

    def step(self, action: Any) -> tuple[Any, float, bool, dict[str, Any]]:
        observation, reward, done, info = self.env.step(action)
        return self.function(observation), reward, done, info


class _TransformReward(_Wrapper):
    def __init__(self, env: Any, function: Callable[[float], float]) -> None:
        super().__init__(env)
        self.function = function

    def step(self, action: Any) -> tuple[Any, float, bool, dict[str, Any]]:
        observation, reward, done, info = self.env.step(action)
        return observation, self.function(reward), done, info


class wrappers:  # noqa: N801  # a module of gym
    TransformObservation = _TransformObservation
    TransformReward = _TransformReward
