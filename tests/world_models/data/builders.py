"""Datasets that the tests of transitions and demonstrations use."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from minari.data_collector import EpisodeBuffer

from worldplan.cli import run
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.data.transitions import ARRAYS, Transitions

IMAGE = Box(0, 255, (2, 3, 8, 8), np.uint8)
STATE = Box(-np.inf, np.inf, (3,), np.float32)
ACTION = Box(-1, 1, (2,), np.float32)
PIXELS = Dict(image=IMAGE, proprioception=STATE)
NAME = "own/pixels-v0"


def data(arguments: list[str]) -> int:
    """`worldplan data` with these arguments; errors are raised."""
    return run(["data", *arguments])


class Spaces(gym.Env):
    """An environment that is only asked for its spaces."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space = ACTION) -> None:
        self.observation_space, self.action_space = observation_space, action_space


def an_episode(
    steps: int = 6, seed: int = 0, *, success: bool = True, image: tuple[int, ...] = IMAGE.shape
) -> Episode:
    draw = np.random.default_rng(seed)
    observation = {
        "image": draw.integers(0, 256, (steps + 1, *image), dtype=np.uint8),
        "proprioception": draw.normal(size=(steps + 1, 3)).astype(np.float32),
    }
    reward = np.zeros(steps)
    reward[-1] = success
    return Episode(
        observation,
        draw.uniform(-1, 1, (steps, 2)),
        reward,
        terminated=seed % 2 == 1,
        success=success,
    )


def sampled_columns(
    observation_space: gym.Space, action_space: gym.Space, steps: int
) -> dict[str, Any]:
    """Columns of an `EpisodeBuffer` with sampled observations and actions and reward 1."""
    sample = [observation_space.sample() for _ in range(steps + 1)]
    observations = (
        {key: np.stack([row[key] for row in sample]) for key in sample[0]}
        if isinstance(sample[0], dict)
        else np.stack(sample)
    )
    return {
        "observations": observations,
        "actions": np.stack([action_space.sample() for _ in range(steps)]),
        "rewards": np.ones(steps),
        "terminations": np.zeros(steps, bool),
        "truncations": np.zeros(steps, bool),
    }


def foreign(
    observation_space: gym.Space = STATE,
    action_space: gym.Space = ACTION,
    rows: tuple[dict[str, Any], ...] = ({},),
    **how: Any,
) -> None:
    """A Minari dataset NAME that somebody else wrote; an entry of `rows` changes the columns of an
    episode of 4 steps with reward 1.
    """
    buffers = []
    for number, changed in enumerate(rows):
        observation_space.seed(number)
        sampled = sampled_columns(observation_space, action_space, 4)
        sampled["actions"] = np.clip(sampled["actions"], -1, 1)
        buffers.append(EpisodeBuffer(**sampled | changed))
    minari.create_dataset_from_buffers(
        NAME, buffers, observation_space=observation_space, action_space=action_space, **how
    )


quiet = pytest.mark.filterwarnings("ignore::UserWarning")  # Minari wants to know the author


def make(lengths: list[int], *, seed: int = 0, states: bool = True, **metadata: Any) -> Transitions:
    """Random episodes; every second one ends by termination."""
    rng = np.random.default_rng(seed)
    paths = [rng.normal(size=(length + 1, 3)).astype(np.float32) for length in lengths]
    count = sum(lengths)
    ends = np.cumsum(lengths) - 1
    terminated = np.zeros(count, dtype=bool)
    terminated[ends[::2]] = True
    truncated = np.zeros(count, dtype=bool)
    truncated[ends[1::2]] = True
    return Transitions(
        observation=np.concatenate([path[:-1] for path in paths]),
        action=rng.uniform(-1, 1, (count, 2)),
        reward=rng.normal(size=count),
        next_observation=np.concatenate([path[1:] for path in paths]),
        terminated=terminated,
        truncated=truncated,
        episode=np.repeat(np.arange(len(lengths)), lengths),
        state=rng.normal(size=(count, 5)) if states else None,
        metadata=metadata or {"env_id": "Hopper-v5", "qpos_size": 3, "seed": 1},
    )


def same(one: Transitions, other: Transitions) -> None:
    for name in ARRAYS:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=name)
            assert left.dtype == right.dtype
