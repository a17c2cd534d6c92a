"""Transitions for the benchmark of ensemble training."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.world_models.data.transitions import Transitions

OBSERVATION, ACTION, EPISODE = 11, 3, 100  # sizes of Hopper


def synthetic(rows: int, seed: int) -> Transitions:
    """Transitions of a smooth nonlinear system with noise, with the sizes of Hopper."""
    rng, episodes = np.random.default_rng(seed), rows // EPISODE
    into = 1.5 * rng.normal(size=(OBSERVATION + ACTION, 32)) / math.sqrt(OBSERVATION + ACTION)
    out = rng.normal(size=(32, OBSERVATION + 1)) / math.sqrt(32)
    state, parts = rng.normal(size=(episodes, OBSERVATION)).astype(np.float32), []
    for step in range(EPISODE):
        action = rng.uniform(-1, 1, (episodes, ACTION)).astype(np.float32)
        force = np.sin(np.concatenate([state, action], 1) @ into) @ out + 0.03 * rng.normal(
            size=(episodes, OBSERVATION + 1)
        )
        next_observation = (0.95 * state + 0.3 * force[:, :-1]).astype(np.float32)
        parts.append(
            (
                state,
                action,
                force[:, -1],
                next_observation,
                np.zeros(episodes, bool),
                np.full(episodes, step == EPISODE - 1),
                np.arange(episodes),
            )
        )
        state = next_observation
    columns: list[Any] = [
        np.stack(part, 1).reshape(episodes * EPISODE, *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    ]
    return Transitions(*columns)


def played(env_id: str, rows: int, seed: int) -> Transitions:
    """Transitions of random actions, each repeated for 5 steps with noise, so that a body moves and
    falls.
    """
    env, rng = gym.make(env_id, max_episode_steps=200), np.random.default_rng(seed)
    space: Any = env.action_space
    parts: list[Any] = []
    observation, episode = env.reset(seed=seed)[0], 0
    for step in range(rows):
        if step % 5 == 0:
            repeated = rng.uniform(space.low, space.high)
        action = np.clip(
            repeated + 0.2 * rng.normal(size=repeated.shape), space.low, space.high
        ).astype(np.float32)
        next_observation, reward, terminated, truncated, _ = env.step(action)
        truncated = truncated or (step == rows - 1 and not terminated)
        parts.append(
            (observation, action, reward, next_observation, terminated, truncated, episode)
        )
        over = terminated or truncated
        observation, episode = (
            (env.reset()[0], episode + 1) if over else (next_observation, episode)
        )
    return Transitions(*map(np.array, zip(*parts, strict=True)))  # type: ignore[arg-type]


def first_rows(data: Transitions, rows: int) -> Transitions:
    """The first whole episodes with at most `rows` rows."""
    lengths = data.statistics().lengths
    return (
        data.select(np.arange(int(lengths[np.cumsum(lengths) <= rows].sum())))
        if len(data) > rows
        else data
    )
