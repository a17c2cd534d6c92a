"""Action spaces without a range to draw from are refused by coordinate, wherever one is used."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import register

from worldplan.envs.boxes import action_box, observation_box
from worldplan.envs.edge_of_reach import PlaneDynamics
from worldplan.envs.environments import make_environment
from worldplan.milp.errors import ConfigError
from worldplan.planners.modem.replay import EpisodeReplay
from worldplan.planners.offline.task import dataset_task
from worldplan.planners.shooting.planner import ShootingPlanner
from worldplan.world_models.data.transitions import Transitions

FAR = float(np.finfo(np.float32).max)


def box(low: Any, high: Any, dtype: Any = np.float32) -> gym.spaces.Box:
    """A Box with these bounds, also where gymnasium itself would refuse to make it."""
    low, high = np.asarray(low, dtype), np.asarray(high, dtype)
    made = gym.spaces.Box(np.zeros_like(low), np.ones_like(high), dtype=dtype)
    made.low, made.high = low, high
    made.bounded_below = np.isfinite(low) if low.dtype.kind == "f" else np.ones(low.shape, bool)
    made.bounded_above = np.isfinite(high) if high.dtype.kind == "f" else np.ones(low.shape, bool)
    return made


def drawn(seed: int) -> tuple[gym.spaces.Box, str]:
    """A good box of random size with one bad coordinate, and what the message says."""
    generator = np.random.default_rng(seed)
    size = int(generator.integers(1, 6))
    low = generator.uniform(-5, 5, size)
    high = low + generator.uniform(0.1, 3, size)
    place = int(generator.integers(size))
    bad = [
        (low[place], low[place], "cannot change"),
        (0.0, 1e-60, "cannot change"),
        (1.0, 1.0 + 1e-9, "cannot change"),
        (high[place], low[place] - 1, "the lower one first"),
        (-FAR, FAR, "unbounded"),
        (-np.inf, np.inf, "unbounded"),
        (low[place], np.inf, "unbounded"),
        (-1e30, high[place], "unbounded"),
        (np.nan, high[place], "no NaN"),
        (low[place], np.nan, "no NaN"),
        (np.nan, np.nan, "no NaN"),
    ]
    low[place], high[place], message = bad[seed % len(bad)]
    kind = np.float32 if seed % 2 else np.float64
    return box(low, high, kind), f"coordinate {place} .*{message}"


DRAWN = [drawn(seed) for seed in range(66)]
WHOLE = [
    (gym.spaces.Discrete(3), "is no Box"),
    (gym.spaces.Dict({}), "is no Box"),
    (box(-1.0, 1.0), r"shape \(\) holds no vector"),
    (gym.spaces.Box(-1, 1, (0,)), r"shape \(0,\) holds no vector"),
    (gym.spaces.Box(-1, 1, (2, 0)), "holds no vector"),
    (gym.spaces.Box(0, 255, (3,), np.uint8), "actions are uint8"),
    (gym.spaces.Box(-3, 3, (3,), np.int64), "actions are int64"),
]


@pytest.mark.parametrize(("space", "message"), DRAWN + WHOLE)
def test_degenerate_action_spaces_are_refused(space: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        action_box(space, "task")
    with pytest.raises(ConfigError, match=message):
        ShootingPlanner(PlaneDynamics(), space)


def test_good_boxes_are_taken() -> None:
    for low, high in ((-1, 1), (0, 1e-3), (-1e6, 1e6), (999.0, 1000.0)):
        space = gym.spaces.Box(low, high, (2,), np.float64)
        assert action_box(space, "task") is space
    for space in (
        gym.spaces.Box(-np.inf, np.inf, (3,)),
        gym.spaces.Box(0, 0, (3,)),
        gym.spaces.Box(0, 255, (2, 3, 8, 8), np.uint8),
    ):
        assert observation_box(space, "task") is space


class Degenerate(gym.Env[Any, Any]):
    """An environment of any spaces."""

    def __init__(self, actions: Any, seen: Any) -> None:
        self.action_space, self.observation_space = actions, seen


@pytest.mark.parametrize(("space", "message"), DRAWN[:11])
def test_where_an_environment_is_used(space: gym.spaces.Box, message: str) -> None:
    seen, size = gym.spaces.Box(-1, 1, (2,), np.float32), space.shape[0]
    rows = np.zeros((4, 2), np.float32)
    data = Transitions(
        observation=rows,
        action=np.zeros((4, size), np.float32),
        reward=np.zeros(4, np.float32),
        next_observation=rows,
        terminated=np.zeros(4, bool),
        truncated=np.array([False, False, False, True]),
        episode=np.zeros(4, np.int64),
    )
    gym.registry.pop("Degenerate-v1", None)
    register("Degenerate-v1", lambda: Degenerate(space, seen), disable_env_checker=True)
    with pytest.raises(ConfigError, match=f"Degenerate-v1.*{message}"):
        make_environment("Degenerate-v1", scale_actions=True)
    with pytest.raises(ConfigError, match=f"Degenerate-v1.*{message}"):
        dataset_task(data, environment="Degenerate-v1", dynamics=PlaneDynamics())


@pytest.mark.parametrize(
    "space",
    [box(-1.0, 1.0), gym.spaces.Box(-1, 1, (0,)), box([1.0], [0.0]), box([np.nan], [1.0])],
)
def test_observations_that_hold_nothing_are_refused(space: gym.spaces.Box) -> None:
    with pytest.raises(ConfigError, match="holds no vector|coordinate 0 has the bounds"):
        EpisodeReplay(gym.spaces.Dict({"state": space}), 2, 10, 3)
