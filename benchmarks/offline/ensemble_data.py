"""Transitions for the benchmark of ensemble training."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.episodes import successive_steps
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
    observations: list[np.ndarray] = []
    repeated = np.zeros(space.shape)

    def decide(batch: np.ndarray) -> np.ndarray:
        nonlocal repeated
        if len(observations) % 5 == 0:
            repeated = rng.uniform(space.low, space.high)
        observations.append(batch[0])
        noisy = repeated + 0.2 * rng.normal(size=repeated.shape)
        return np.clip(noisy, space.low, space.high).astype(np.float32)[None]

    rows_so_far: list[Any] = []
    episode = 0
    for step in islice(successive_steps(env, decide, seed=seed), rows):
        last = len(rows_so_far) == rows - 1
        terminated = bool(step.terminated[0])
        truncated = bool(step.truncated[0]) or (last and not terminated)
        before = (observations[-1], step.action[0], step.reward[0])
        rows_so_far.append((*before, step.next_observation[0], terminated, truncated, episode))
        episode += terminated or truncated
    return Transitions(*map(np.array, zip(*rows_so_far, strict=True)))  # type: ignore[arg-type]


def first_rows(data: Transitions, rows: int) -> Transitions:
    """The first whole episodes with at most `rows` rows."""
    lengths = data.statistics().lengths
    return (
        data.select(np.arange(int(lengths[np.cumsum(lengths) <= rows].sum())))
        if len(data) > rows
        else data
    )
