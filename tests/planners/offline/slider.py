"""A task whose truth is known: a slider on [-1, 1] that earns its position, with a limit at 0.5.

Unconstrained, the best policy moves to 1 and stays; a step beyond the limit costs 1. Without any
cost the slider can earn at most 0.5 a step, at the limit.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Prediction
from worldplan.world_models.data.transitions import Transitions

NAME = "WorldplanTestSlider-v0"
LIMIT, STEP, LENGTH = 0.5, 0.2, 30


class Slider(gym.Env[np.ndarray, np.ndarray]):
    """The environment; a wind blows by `wind` in every step."""

    def __init__(self, wind: float = 0.0) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.wind = wind

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = float(self.np_random.uniform(-0.6, 0.2))
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.array([self.position], np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        moved = self.position + STEP * float(action[0]) + self.wind
        self.position = float(np.clip(moved, -1, 1))
        info = {"cost": float(self.position > LIMIT)}
        return self._seen(), self.position, False, False, info


gym.register(NAME, entry_point=Slider, max_episode_steps=LENGTH)


class SliderDynamics:
    """The same as a batched model."""

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
        following = (observation + STEP * action + self.wind).clamp(-1, 1)
        reward = following[:, 0].clone()
        return Prediction(following, reward, torch.zeros_like(reward, dtype=torch.bool))

    def to(self, device: torch.device | str) -> None:
        """There is nothing to move."""


def beyond(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """The cost as a function: 1 beyond the limit."""
    return (next_observation[:, 0] > LIMIT).float()


def random_data(episodes: int = 60, *, wind: float = 0.0, costs: bool = True) -> Transitions:
    """Random actions, each kept for three steps."""
    env, rng = gym.make(NAME, wind=wind), np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        for step in range(LENGTH):
            if step % 3 == 0:
                action = rng.uniform(-1, 1, 1).astype(np.float32)
            following, reward, ended, late, info = env.step(action)
            row = (observation, action, reward, following, ended, late, episode, info["cost"])
            rows.append(row)
            observation = following
    *columns, cost = (np.array(column) for column in zip(*rows, strict=True))
    return Transitions(*columns, metadata={"env_id": NAME}, cost=cost if costs else None)
