"""Environments of a user that return what they must not: one line, never a wrong number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldplan.cli import main
from worldplan.envs.environments import make_environments
from worldplan.envs.episodes import EpisodeBatch
from worldplan.milp.errors import ConfigError
from worldplan.world_models.collection.settings import flat_environment

NAME = "worldplan/TestWrongReturns-v0"
BOX = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
GOOD = np.zeros(2, np.float32)
STEP = (GOOD, 0.5, False, False, {})
RETURNED: dict[str, Any] = {}  # what the environment returns


class Returning(gym.Env[Any, Any]):
    """Returns what stands in `RETURNED`."""

    def __init__(self) -> None:
        self.observation_space = BOX
        self.action_space = RETURNED.get("actions", gym.spaces.Box(-1, 1, (2,), np.float32))

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return RETURNED.get("reset", (GOOD, {}))

    def step(self, action: Any) -> Any:
        return RETURNED.get("step", STEP)


gym.register(NAME, entry_point=Returning, max_episode_steps=5, disable_env_checker=True)


@pytest.fixture(autouse=True)
def returned() -> Iterator[dict[str, Any]]:
    RETURNED.clear()
    yield RETURNED
    RETURNED.clear()


def step_with(place: int, value: Any) -> tuple[Any, ...]:
    return (*STEP[:place], value, *STEP[place + 1 :])


WRONG = [
    *((0, value, "the observation ") for value in (None, "text", GOOD[:1], GOOD[None], GOOD + 1j)),
    *((0, value, "the observation is .* at ") for value in (GOOD * np.nan, [0, np.inf])),
    (0, np.full(2, 1e300), "the observation is inf at "),  # finite in float64 only
    (0, [[1], [1, 2]], "the observation "),
    (0, np.array([0.0, None]), "the observation is an array"),
    *((1, value, "the reward is") for value in (np.nan, -np.inf, [1.0], np.ones(1), "1", None, 1j)),
    *((2, value, "terminated is") for value in (None, "", "yes", 2, np.array([True]), 0.5, [])),
    *((3, value, "truncated is") for value in (None, np.nan, np.zeros(2, bool))),
    (4, None, "info is None"),
]


@pytest.mark.parametrize(("place", "value", "message"), WRONG)
def test_wrong_steps_are_refused(returned, place, value, message):
    """Alone, side by side, and while data are collected."""
    returned["step"] = step_with(place, value)
    environments = make_environments(NAME, 2)
    environments.reset(seed=0)
    with pytest.raises(ConfigError, match=f"environment '{NAME}': step: {message}"):
        environments.step(np.zeros((2, 2), np.float32))
    env = flat_environment(NAME)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=f"environment '{NAME}': step: {message}"):
        env.step(GOOD)
    batch = EpisodeBatch(Returning(), seed=0)
    with pytest.raises(ConfigError, match=f"step: {message}"):
        next(batch.play(lambda observations: np.zeros((1, 2))))


@pytest.mark.parametrize("result", [STEP[:4], (*STEP, 0), None, 3, list(STEP)])
def test_another_number_of_values_is_refused(returned, result):
    returned["step"] = result
    env = flat_environment(NAME)
    env.reset()
    if isinstance(result, list):  # gymnasium's wrappers make it a tuple
        assert len(env.step(GOOD)) == 5
        return
    with pytest.raises(ConfigError, match="step: .*return observation, reward"):
        env.step(GOOD)


@pytest.mark.parametrize(
    "result", [GOOD, (GOOD,), (GOOD, {}, 1), None, (GOOD, []), (GOOD * np.nan, {})]
)
def test_wrong_resets_are_refused(returned, result):
    returned["reset"] = result
    with pytest.raises(ConfigError, match="reset"):
        EpisodeBatch(Returning(), seed=0)
    with pytest.raises(ConfigError, match=f"environment '{NAME}': reset"):
        make_environments(NAME, 1).reset()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(
            (0, value)
            for value in ([0, 1], (0.0, 1.0), np.zeros(2, np.float16), np.zeros(2), GOOD[::-1])
        ),
        (0, torch.zeros(2)),
        *((1, value) for value in (1, True, np.float32(1), np.array(1.0), torch.tensor(1.0))),
        *((2, value) for value in (np.bool_(False), 0, np.array(True), torch.tensor(True), 1.0)),
    ],
)
def test_what_means_the_same_is_taken(returned, place, value):
    returned["step"] = step_with(place, value)
    result = make_environments(NAME, 1)
    result.reset(seed=0)
    assert np.isfinite(result.step(np.zeros((1, 2), np.float32))[1]).all()
    list(EpisodeBatch(flat_environment(NAME)).play(lambda observations: np.zeros((1, 2))))


@pytest.mark.parametrize(
    "box",
    [
        gym.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 0], np.float32)),
        gym.spaces.Box(-3.4e38, 3.4e38, (2,), np.float32),
        gym.spaces.Box(-np.inf, 1.0, (2,), np.float32),
        gym.spaces.Box(0, 5, (2,), np.int64),
        gym.spaces.Box(1.0, 1.0 + 1e-12, (2,), np.float64),
        gym.spaces.Box(-1, 1, (0,), np.float32),
    ],
)
def test_boxes_without_a_uniform_policy_are_refused(returned, box, tmp_path, capsys):
    returned["actions"] = box
    with pytest.raises(ConfigError, match="actions?( coordinate|:| are)"):
        flat_environment(NAME)
    target = tmp_path / "data.npz"
    words = ["data", "collect", NAME, "--policy", "random", "--steps", "5", "--output", str(target)]
    assert main([*words, "--folder", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not target.exists()
