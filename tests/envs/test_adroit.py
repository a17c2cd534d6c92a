"""The Adroit tasks: 0/1 reward, latched success, fixed length."""

from __future__ import annotations

import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import worldplan.envs.adroit
from worldplan.envs.adroit import TASKS
from worldplan.envs.environments import make_environments
from worldplan.milp.errors import MissingExtra

needs_adroit = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None, reason="needs the extra adroit"
)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*reward functions were updated:UserWarning"
)  # of the dense rewards


def named(task: str) -> str:
    return f"worldplan.envs.adroit:worldplan/Adroit{task}-v0"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worldplan.envs.adroit.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r"AdroitPen needs gymnasium-robotics: pip install 'worldplan\[adroit\]'"
    ):
        gym.make(named("Pen"))


@needs_adroit
@pytest.mark.parametrize("task", TASKS)
def test_as_the_original_but_for_the_reward(task: str) -> None:
    ours, theirs = gym.make(named(task)), gym.make(f"gymnasium_robotics:AdroitHand{task}Sparse-v1")
    generator = np.random.default_rng(0)
    observation, expected = ours.reset(seed=3)[0], theirs.reset(seed=3)[0]
    for step in range(200):
        assert observation.dtype == np.float32 and observation in ours.observation_space
        np.testing.assert_array_equal(observation, expected.astype(np.float32))
        action = generator.uniform(-1, 1, ours.action_space.shape).astype(np.float32)
        observation, reward, terminated, truncated, info = ours.step(action)
        expected, sparse, *_ = theirs.step(action)
        assert reward == float(sparse > 0) and info["solved"] == (sparse > 0)
        assert not terminated and truncated == (step == 199)
    ours.close(), theirs.close()


@needs_adroit
def test_success_is_latched() -> None:
    env = gym.make(named("Door"))
    env.reset(seed=0)
    rewards_and_successes: list[tuple[float, bool]] = []
    for angle in (0.0, 1.4, 0.0):
        state: dict[str, Any] = env.unwrapped.hand.unwrapped.get_env_state()  # type: ignore[attr-defined]
        state["qpos"][28] = angle  # the door's hinge
        env.unwrapped.hand.unwrapped.set_env_state(state)  # type: ignore[attr-defined]
        _, reward, *_, info = env.step(np.zeros(28, np.float32))
        rewards_and_successes.append((float(reward), info["is_success"]))
    assert rewards_and_successes == [(0.0, False), (1.0, True), (0.0, True)]
    assert (
        not env.reset()[1]["is_success"] and not env.step(np.zeros(28, np.float32))[4]["is_success"]
    )
    env.close()


@needs_adroit
def test_side_by_side() -> None:
    vector = make_environments(named("Relocate"), 2, scale_actions=True)
    vector.reset(seed=0)
    assert vector.step(np.zeros((2, 30), np.float32))[1].tolist() == [0, 0]
    vector.close()
