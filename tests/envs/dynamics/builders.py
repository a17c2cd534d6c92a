"""Environments, states and actions that the tests of MuJoCo's dynamics use."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv

from worldplan.envs.dynamics.mujoco import MujocoDynamics

FORMULAS = (
    "Hopper",
    "HalfCheetah",
    "Walker2d",
    "Swimmer",
    "InvertedPendulum",
    "InvertedDoublePendulum",
)
OWN_CODE = ("Ant", "Humanoid", "HumanoidStandup")
TASKS = [f"{name}-{version}" for name in FORMULAS + OWN_CODE for version in ("v4", "v5")] + [
    "Reacher-v4",
    "Reacher-v5",
    "Pusher-v5",
]


class LazyHopper(HopperEnv):
    """A user's own task: rewarded for its height, which is observed twice.

    It terminates where it leaves the start.
    """

    def _get_obs(self) -> Any:
        return np.concatenate((super()._get_obs(), self.data.qpos[1:2] ** 2))

    def step(self, action: Any) -> Any:
        _, reward, _, _, info = super().step(action)
        tip = self.data.geom("foot_geom").xpos[0]  # as the engine left it
        return (
            self._get_obs(),
            0.5 * reward + tip + self.data.qpos[1],
            bool(abs(self.data.qpos[0]) > 0.002),
            False,
            info,
        )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (12,))


class PaidHopper(HopperEnv):
    """Only the reward is its own."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + 1, *rest


gym.register("LazyHopper-v0", LazyHopper)
gym.register("PaidHopper-v0", PaidHopper)


@functools.cache
def dynamics(task: str, threads: int = 1) -> MujocoDynamics:
    return MujocoDynamics(task, threads=threads)


def visited(task: str, count: int, **kwargs: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """An environment, states that a random policy visits (also unhealthy ones), and actions up to
    1.5 times their limits.
    """
    env: Any = gym.make(task, **kwargs).unwrapped
    generator = np.random.default_rng(1)
    states, actions = [], []
    for number in range(5 * count):
        if number % 120 == 0:
            env.reset(seed=number)
        action = 1.5 * generator.uniform(-1, 1, env.model.nu) * env.action_space.high
        if number % 5 == 0:
            states.append(np.concatenate((env.data.qpos, env.data.qvel)))
            actions.append(action)
        env.step(action)
    return env, np.array(states), np.array(actions)
