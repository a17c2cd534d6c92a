"""Vector environments begin the selected episodes anew, and leave the others alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.envs.edge_of_reach import PlaneVectorEnv
from worldplan.milp.errors import ConfigError


def make(kind: str) -> VectorEnv:
    if kind == "plane":
        return PlaneVectorEnv(4)
    return BanditVectorEnv(generate("budget", 5, 2, horizon=6), 4)


def rows(observation: Any) -> np.ndarray:
    if not isinstance(observation, dict):
        return np.asarray(observation)
    return np.hstack([observation["state"], observation["steps_left"][:, None]])


@pytest.mark.parametrize("kind", ["plane", "bandit"])
def test_episodes_that_are_not_selected_go_on(kind: str) -> None:
    generator = np.random.default_rng(0)
    for seed in range(8):
        env, twin = make(kind), make(kind)
        env.reset(seed=seed)
        twin.reset(seed=seed)
        action = np.zeros(env.action_space.shape, env.action_space.dtype)
        for _ in range(3):
            seen = rows(env.step(action)[0])
            twin.step(action)
        mask = generator.integers(0, 2, 4).astype(bool)
        mask[generator.integers(4)] = True
        after = rows(env.reset(seed=seed + 100, options={"reset_mask": mask})[0])
        np.testing.assert_array_equal(after[~mask], seen[~mask])
        whole = rows(make(kind).reset(seed=seed + 100)[0])
        np.testing.assert_array_equal(after[mask], whole[mask])
        ours, others = rows(env.step(action)[0]), rows(twin.step(action)[0])
        np.testing.assert_array_equal(ours[~mask], others[~mask])


@pytest.mark.parametrize("kind", ["plane", "bandit"])
def test_selected_episodes_end_later(kind: str) -> None:
    env = make(kind)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, env.action_space.dtype)
    env.step(action)
    mask = np.array([True, False, False, True])
    env.reset(options={"reset_mask": mask})
    truncated = np.zeros(4, bool)
    while not truncated.any():
        truncated = env.step(action)[3]
    np.testing.assert_array_equal(truncated, ~mask)


@pytest.mark.parametrize("kind", ["plane", "bandit"])
@pytest.mark.parametrize("mask", [[True], [1, 0, 0, 0], [[True] * 4], [False] * 4, None])
def test_masks_that_do_not_fit_are_refused(kind: str, mask: Any) -> None:
    env = make(kind)
    with pytest.raises(ConfigError, match="reset all of them first"):
        env.reset(options={"reset_mask": np.array([True, False, False, False])})
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"give a bool array \(4,\)"):
        env.reset(options={"reset_mask": mask})
