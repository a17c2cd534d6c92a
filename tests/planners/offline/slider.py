"""Data of the slider with a position limit, see `worldplan.envs.slider`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.slider import LENGTH as LENGTH
from worldplan.envs.slider import LIMIT as LIMIT
from worldplan.envs.slider import NAME as NAME
from worldplan.envs.slider import STEP as STEP
from worldplan.envs.slider import SliderDynamics as SliderDynamics
from worldplan.envs.slider import beyond as beyond
from worldplan.world_models.data.transitions import Transitions


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
