"""Meta-World in an interpreter of its own; most tests need one: make metaworld, then set
WORLDPLAN_METAWORLD_PYTHON.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldplan.cli import main
from worldplan.envs.environments import make_environments
from worldplan.envs.isolated.metaworld import ENV_ID, VARIABLE, make_metaworld
from worldplan.milp.errors import ConfigError, DatasetError, MissingExtra
from worldplan.planners.modem.task import modem_task
from worldplan.world_models.collection import metaworld as metaworld_demonstrations
from worldplan.world_models.collection.metaworld import collect_metaworld_demonstrations
from worldplan.world_models.training.seeds import derived_seed

needs_metaworld = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"needs {VARIABLE}")
NAME = f"worldplan.envs.isolated.metaworld:{ENV_ID}"


@pytest.fixture(scope="module")
def env() -> Iterator[gym.Env]:
    made = gym.make(NAME, task="push-v3")
    yield made
    made.close()


def played(
    env: gym.Env, seed: int, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]], list[bool]]:
    """Observations, rewards, infos and ends of one episode of given actions."""
    observation, info = env.reset(seed=seed)
    observations, rewards, infos, ends = [observation], [], [info], []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        rewards.append(reward)
        infos.append(info)
        ends.append(truncated)
        assert not terminated
    return np.stack(observations), np.array(rewards), infos, ends


def test_without_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingExtra, match=f"make metaworld.*export {VARIABLE}="):
        gym.make(NAME)


@pytest.mark.skipif(
    importlib.util.find_spec("metaworld") is not None, reason="this interpreter has Meta-World"
)
def test_interpreter_without_metaworld() -> None:
    with pytest.raises(ConfigError, match="No module named 'metaworld'"):
        make_metaworld(python=sys.executable)


@needs_metaworld
def test_unknown_task() -> None:
    with pytest.raises(
        ConfigError, match="task 'fly-v3' is not in Meta-World; choose one of assembly-v3, "
    ):
        gym.make(NAME, task="fly-v3")


@needs_metaworld
def test_an_episode(env: gym.Env) -> None:
    """Of the scripted policy: fixed length, reward 1 while solved, success latched, and the same
    again in a used and in a new environment.
    """
    played_there = env.unwrapped.call("demonstrate", seed=7, noise=0.1)  # type: ignore[attr-defined]
    assert (
        played_there["success"]
        and played_there["observation"].shape == (101, 39)
        and played_there["action"].shape == (100, 4)
    )
    assert (
        played_there["observation"].dtype == np.float32
        and np.abs(played_there["action"]).max() <= 1
    )
    new = gym.make(NAME, task="push-v3")
    for other in (env, new):
        observations, rewards, infos, ends = played(other, 7, played_there["action"])
        np.testing.assert_array_equal(observations, played_there["observation"])
        np.testing.assert_array_equal(rewards, played_there["reward"])
        assert ends == [False] * 99 + [True] and set(rewards) == {0.0, 1.0}
        solved = np.array([info["solved"] for info in infos[1:]])
        np.testing.assert_array_equal(solved, rewards == 1)
        np.testing.assert_array_equal(
            [info["is_success"] for info in infos],
            np.append(False, np.logical_or.accumulate(solved)),
        )
        assert observations[0] in other.observation_space
    new.close()


@needs_metaworld
def test_places_differ_by_seed_and_the_goal_is_seen(env: gym.Env) -> None:
    starts = np.stack([env.reset(seed=seed)[0] for seed in (1, 2, 1)])
    np.testing.assert_array_equal(starts[0], starts[2])
    for part in (slice(4, 7), slice(36, 39)):  # object and goal
        assert np.abs(starts[0, part] - starts[1, part]).max() > 0.05
    assert (np.abs(starts[:, 36:39] - [0, 8.5, 0.2]) <= [1, 0.5, 0.01]).all()  # decimetres
    following = [env.reset()[0] for _ in range(2)]
    assert not np.array_equal(following[0], following[1])


@needs_metaworld
def test_side_by_side() -> None:
    vector = make_environments(NAME, 2, scale_actions=True, task="assembly-v3")
    observation, _ = vector.reset(seed=0)
    assert observation.shape == (2, 39) and not np.array_equal(observation[0], observation[1])
    _, reward, _, _, info = vector.step(np.zeros((2, 4), np.float32))
    assert reward.tolist() == [0, 0] and info["is_success"].tolist() == [False, False]
    vector.close()


@needs_metaworld
def test_demonstrations(env: gym.Env) -> None:
    episodes = collect_metaworld_demonstrations("push-v3", 2, noise=0.1, seed=3).episodes
    again = collect_metaworld_demonstrations("push-v3", 1, noise=0.1, seed=3).episodes
    np.testing.assert_array_equal(episodes[0].action, again[0].action)
    assert all(
        episode.success and len(episode) == 100 and episode.reward.max() == 1
        for episode in episodes
    )
    tries = [
        env.unwrapped.call("demonstrate", seed=derived_seed(3, trial) % 2**31, noise=0.1)
        for trial in range(10)
    ]  # type: ignore[attr-defined]
    kept = [attempt["action"] for attempt in tries if attempt["success"]][:2]
    np.testing.assert_array_equal(
        np.stack([episode.action for episode in episodes]), np.stack(kept)
    )


@needs_metaworld
def test_collected_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a training reads them, unless it is of another task."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert (
        main(
            [
                "data",
                "collect",
                "MetaWorld/push-v3",
                "--demonstrator",
                "scripted",
                "--episodes",
                "1",
                "--seed",
                "3",
            ]
        )
        == 0
    )
    (loaded,) = modem_task(
        NAME, {"task": "push-v3"}, "worldplan/metaworld-push-v3-scripted-v0"
    ).demonstrations
    (same,) = collect_metaworld_demonstrations("push-v3", 1, seed=3).episodes
    np.testing.assert_array_equal(loaded.action, same.action)
    with pytest.raises(
        DatasetError, match="collected with task push-v3, but the task has assembly-v3"
    ):
        modem_task(NAME, {"task": "assembly-v3"}, "worldplan/metaworld-push-v3-scripted-v0")


@pytest.mark.parametrize(
    "wrong", [{"episodes": 0}, {"noise": -0.1}, {"noise": float("nan")}, {"seed": -1}]
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match="give at least 1 episode, and noise and seed of 0 or more"
    ):
        collect_metaworld_demonstrations("push-v3", **({"episodes": 1} | wrong))


class Clumsy:
    """Plays like `IsolatedEnv`, and succeeds every `every`-th time."""

    def __init__(self, every: int) -> None:
        self.every, self.calls, self.closed = every, 0, False

    def call(self, name: str, seed: int, noise: float) -> dict[str, Any]:
        self.calls += 1
        success = self.calls % self.every == 0
        return {
            "observation": np.zeros((3, 1)),
            "action": np.full((2, 1), self.calls),
            "reward": np.zeros(2),
            "success": success,
        }

    def close(self) -> None:
        self.closed = True


def test_failures_are_left_out_and_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    player = Clumsy(every=4)
    monkeypatch.setattr(metaworld_demonstrations, "make_metaworld", lambda task, python: player)
    assert [
        episode.action[0, 0] for episode in collect_metaworld_demonstrations("push-v3", 3).episodes
    ] == [4, 8, 12]
    assert player.closed
    player.every, player.closed = 1000, False
    with pytest.raises(
        DatasetError,
        match="push-v3: only 0 of 20 tries with noise 0.5 were successes: lower the noise",
    ):
        collect_metaworld_demonstrations("push-v3", 3, noise=0.5)
    assert player.closed
