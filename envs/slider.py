"""A slider with a position limit, whose best policies are known: `worldplan.envs.slider:Slider-v0`.

The slider moves on [-1, 1] by STEP times its action, and by a wind, and earns its position. Beyond
LIMIT a step costs 1 (`info["cost"]`, or the function `beyond`). Without regard to costs it is best
to move to 1 and stay there; without any cost, to move to the limit and stay there. An episode has
LENGTH steps, from a position that is uniform in [-0.6, 0.2].
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Prediction

NAME = "Slider-v0"
LIMIT, STEP, LENGTH = 0.5, 0.2, 30
STARTS = (-0.6, 0.2)


class Slider(gym.Env[np.ndarray, np.ndarray]):
    """The environment; the observation is the position, (1,).

    Args:
        wind: added to the position in every step.
    """

    def __init__(self, wind: float = 0.0) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.wind = wind

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode at a random position."""
        super().reset(seed=seed)
        self.position = float(self.np_random.uniform(*STARTS))
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.array([self.position], np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move for one step."""
        moved = self.position + STEP * float(action[0]) + self.wind
        self.position = float(np.clip(moved, -1, 1))
        info = {"cost": float(self.position > LIMIT)}
        return self._seen(), self.position, False, False, info


gym.register(NAME, entry_point="worldplan.envs.slider:Slider", max_episode_steps=LENGTH)


class SliderDynamics:
    """The same as a batched model, see `worldplan.envs.dynamics.model.DynamicsModel`.

    Args:
        wind: that of the environment.
    """

    observation_size, action_size, state_size = 1, 1, 0

    def __init__(self, wind: float = 0.0, **_: Any) -> None:
        self.wind = wind

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """Next positions and rewards; nothing is random, and nothing terminates.

        Args:
            observation: positions, (batch, 1).
            action: (batch, 1).
            state: is not used.
            generator: is not used.
            members: is not used.
        """
        following = (observation + STEP * action + self.wind).clamp(-1, 1)
        reward = following[:, 0].clone()
        return Prediction(following, reward, torch.zeros_like(reward, dtype=torch.bool))

    def to(self, device: torch.device | str) -> None:
        """There is nothing to move."""


def beyond(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """The costs (n,): 1 beyond the limit."""
    return (next_observation[:, 0] > LIMIT).float()


def best_return(stop: float = 1.0, wind: float = 0.0, starts: int = 1001) -> float:
    """Mean return of moving to a position as fast as possible, and staying there.

    Args:
        stop: the position; 1 without regard to costs, LIMIT without any.
        wind: of the environment, less than STEP in size.
        starts: evenly spaced start positions.
    """
    position = np.linspace(*STARTS, starts)
    total = np.zeros(starts)
    for _ in range(LENGTH):
        position = np.clip(stop, position - STEP + wind, position + STEP + wind).clip(-1, 1)
        total += position
    return float(total.mean())
