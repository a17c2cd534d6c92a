"""A small environment of one's own, with two action numbers and an optimum that is known: a point
mass in the plane, `benchmarks.offline.point_mass:PointMass-v0`.

With position p, speed v and force f in [-1, 1]^2,

    v' = 0.95 v + 0.2 f,    p' = p + 0.2 v',    reward = 1 - |p'|^2 - 0.05 |f|^2,

an episode lasts 60 steps and terminates where a coordinate of p' leaves [-2, 2]. Where neither
limit binds, this is a linear-quadratic regulator, so `optimal_return` follows from a Riccati
recursion.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

LENGTH, EDGE, DRAG, STEP, EFFORT = 60, 2.0, 0.95, 0.2, 0.05


class PointMass(gym.Env[np.ndarray, np.ndarray]):
    """The environment; observations are p and v, (4,)."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin at rest, with p uniform in [-1.5, 1.5]^2."""
        super().reset(seed=seed)
        self.position, self.speed = self.np_random.uniform(-1.5, 1.5, 2), np.zeros(2)
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.concatenate([self.position, self.speed]).astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move for one step."""
        force = np.clip(action, -1, 1).astype(float)
        self.speed = DRAG * self.speed + STEP * force
        self.position = self.position + STEP * self.speed
        reward = 1 - self.position @ self.position - EFFORT * force @ force
        outside = bool((np.abs(self.position) > EDGE).any())
        return self._seen(), float(reward), outside, False, {}


gym.register("PointMass-v0", entry_point=PointMass, max_episode_steps=LENGTH)


def outside(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """Whether an episode terminates, (n,) bool."""
    terminated: Tensor = (next_observation[:, :2].abs() > EDGE).any(-1)
    return terminated


def optimal_return(episodes: int = 1000, seed: int = 0) -> float:
    """Mean return of the regulator that is optimal without limits on the force, an upper bound; its
    forces cut to the limits would earn a little less.

    Args:
        episodes: random starts.
        seed: of the starts.
    """
    move = np.array([[1.0, STEP * DRAG], [0.0, DRAG]])
    push = np.array([[STEP * STEP], [STEP]])
    earned = np.diag([1.0, 0.0])
    value = np.zeros((2, 2))  # cost to go x' value x of an axis
    for _ in range(LENGTH):
        future = value + earned
        gain = np.linalg.solve(push.T @ future @ push + EFFORT, push.T @ future @ move)
        value = move.T @ future @ (move - push @ gain)
    starts = np.random.default_rng(seed).uniform(-1.5, 1.5, (episodes, 2))
    return float(LENGTH - value[0, 0] * (starts**2).sum(1).mean())


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"upper bound of the mean return: {optimal_return():.2f}")
