"""The loop that plays episodes, against a plain loop over each environment."""

from __future__ import annotations

from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldplan.envs.episodes import (
    EpisodeBatch,
    reported_success,
    successive_steps,
    unbatch,
    with_batch_axis,
)
from worldplan.milp.errors import ConfigError


class Countdown(gym.Env[Any, Any]):
    """Ends after a random number of steps, by termination if it is even; pays the step's number."""

    observation_space = gym.spaces.Dict({"left": gym.spaces.Box(0, 99, (1,), np.float64)})
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.length, self.steps = int(self.np_random.integers(1, 7)), 0
        return self.observe(), {"is_success": False}

    def observe(self) -> dict[str, Any]:
        return {"left": np.array([self.length - self.steps], float)}

    def step(self, action: Any) -> Any:
        self.steps += 1
        over, even = self.steps == self.length, self.length % 2 == 0
        info = {"is_success": over and action == 2, "action": int(action)}
        return self.observe(), float(self.steps), over and even, over and not even, info


def plain_rewards(seed: int) -> list[float]:
    env, over = Countdown(), False
    env.reset(seed=seed)
    rewards = []
    while not over:
        _, reward, terminated, truncated, _ = env.step(0)
        rewards.append(reward)
        over = terminated or truncated
    return rewards


def side_by_side(count: int, **options: Any) -> SyncVectorEnv:
    return SyncVectorEnv([Countdown] * count, **options)


def test_each_environment_plays_one_episode() -> None:
    env = side_by_side(8, autoreset_mode=AutoresetMode.DISABLED)
    rewards: list[list[float]] = [[] for _ in range(8)]
    ends = np.zeros(8, int)
    for step in EpisodeBatch(env, seed=3).play(lambda observations: np.zeros(8, int)):
        for index in np.flatnonzero(step.running):
            rewards[index].append(float(step.reward[index]))
        ends += step.over
        left = step.next_observation["left"][:, 0]
        assert (step.over[step.running] == (left == 0)[step.running]).all()
        even = np.array([len(row) % 2 == 0 for row in rewards])
        assert (step.terminated == even)[step.over].all()
        assert (step.truncated != even)[step.over].all()
    assert rewards == [plain_rewards(3 + index) for index in range(8)]
    assert len({len(row) for row in rewards}) > 2 and (ends == 1).all()


def test_one_environment_is_a_batch_of_one() -> None:
    batch = EpisodeBatch(Countdown(), seed=4)
    assert batch.observation["left"].shape == (1, 1) and batch.info == {"is_success": [False]}
    seen: list[Any] = []

    def decide(observations: Any) -> np.ndarray:
        seen.append(observations["left"].item())
        return np.array([2])

    steps = list(batch.play(decide))
    assert [step.reward.tolist() for step in steps] == [[reward] for reward in plain_rewards(4)]
    assert seen == list(range(len(steps), 0, -1))
    assert all(step.info["action"] == [2] for step in steps)
    success = [step.success for step in steps]
    assert success[-1] is not None and success[-1].tolist() == [1.0] and not batch.running.any()


def test_the_caller_may_stop_early() -> None:
    batch = EpisodeBatch(side_by_side(4, autoreset_mode=AutoresetMode.DISABLED), seed=3)
    first = next(batch.play(lambda observations: np.zeros(4, int)))
    assert first.running.all() and (batch.running == ~first.over).all()


def test_episodes_in_succession_are_those_of_a_plain_loop() -> None:
    env, expected = Countdown(), []
    env.reset(seed=9)
    for _ in range(30):
        _, reward, terminated, truncated, _ = env.step(1)
        expected.append((reward, terminated, truncated))
        if terminated or truncated:
            env.reset()
    steps = islice(successive_steps(Countdown(), lambda _: np.array([1]), seed=9), 30)
    assert [(step.reward[0], step.terminated[0], step.truncated[0]) for step in steps] == expected


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_environments_that_reset_themselves_are_refused(mode: AutoresetMode) -> None:
    with pytest.raises(ConfigError, match="make it with AutoresetMode.DISABLED"):
        EpisodeBatch(side_by_side(2, autoreset_mode=mode), seed=0)


def test_success_under_either_name() -> None:
    assert reported_success({"reward": [1.0]}) is None
    for info in ({"is_success": [True, False]}, {"success": np.array([1.0, 0.0])}):
        reported = reported_success(info)
        assert reported is not None and reported.tolist() == [1, 0]
    both = reported_success({"is_success": [True, False], "success": [True, True]})
    assert both is not None and both.tolist() == [1, 1]


def test_a_batch_axis_is_added_and_removed() -> None:
    observation = {"image": np.zeros((2, 3)), "inner": {"level": 4}, "pair": ("a", 1)}
    batch = with_batch_axis(observation)
    assert batch["image"].shape == (1, 2, 3) and batch["inner"]["level"].shape == (1,)
    (again,) = unbatch(batch)
    assert again["inner"] == {"level": 4} and again["pair"] == ("a", 1)
    assert again["image"].shape == (2, 3)
    assert [row.tolist() for row in unbatch(np.eye(2))] == [[1, 0], [0, 1]]
