"""The planner base class: its defaults, and what evaluation accepts as a planner."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldplan.milp.errors import ConfigError, WorldplanError
from worldplan.planners.base import (
    Decision,
    Planner,
    as_planner,
    evaluate,
)
from worldplan.planners.episodes import play


def push(observation: Any) -> Decision:
    action = np.sign(observation[-1:]).astype(np.float32)
    return Decision(action, None, None, "heuristic", 0.0)


class Push(Planner):
    """Pushes the pendulum the way it turns; counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def plan(self, observation: Any) -> Decision:
        self.calls += 1
        return push(observation)


class Duck:
    """The least that works as a planner without the base class."""

    seed: int | None = None

    def reset(self, *, seed: int | None = None) -> None:
        self.seed = seed

    def plan(self, observation: Any) -> Decision:
        return push(observation)


class DuckFlock(Duck):
    """The same with both optional methods."""

    def __init__(self) -> None:
        self.begun: list[list[bool]] = []
        self.batches = 0

    def plan_batch(self, observations: Any) -> list[Decision]:
        self.batches += 1
        return [push(observation) for observation in observations]

    def restart(self, begun: np.ndarray) -> None:
        self.begun.append(begun.tolist())


def two_pendulums() -> SyncVectorEnv:
    return SyncVectorEnv(
        [lambda: gym.make("Pendulum-v1")] * 2, autoreset_mode=AutoresetMode.DISABLED
    )


def test_a_subclass_must_define_plan() -> None:
    class Nothing(Planner):
        pass

    with pytest.raises(TypeError, match="plan"):
        Nothing()  # type: ignore[abstract]


def test_act_and_plan_batch_go_through_plan() -> None:
    planner, observations = Push(), np.array([[0.0, -2.0], [0.0, 3.0]])
    assert planner.act(observations[0]).tolist() == [-1]
    assert [decision.action[0] for decision in planner.plan_batch(observations)] == [-1, 1]
    assert planner.calls == 3


@pytest.mark.parametrize("kind", [Duck, DuckFlock])
def test_an_object_with_the_methods_plays_as_a_planner_does(kind: type[Duck]) -> None:
    expected = evaluate(Push(), two_pendulums(), 4, seed=3).episodes
    duck = kind()
    table = evaluate(duck, two_pendulums(), 4, seed=3).episodes
    columns = ["return", "length", "success", "time_limits"]
    assert table[columns].equals(expected[columns])
    assert duck.seed == 3
    duck_play, planner_play = (play(planner, two_pendulums(), 5) for planner in (kind(), Push()))
    for theirs, ours in zip(duck_play, planner_play, strict=True):
        np.testing.assert_array_equal(theirs.episode.reward, ours.episode.reward)


def test_optional_methods_of_a_duck_are_called() -> None:
    duck = DuckFlock()
    table = evaluate(duck, two_pendulums(), 4, seed=3).episodes
    assert duck.begun == [[True, True], [True, True]]
    assert duck.batches == table["length"][:2].max() + table["length"][2:].max()


def test_what_is_no_planner_is_refused_with_what_is_missing() -> None:
    class Policy:
        def predict(self, observation: Any) -> Any:
            return observation

    for start in (as_planner, lambda planner: evaluate(planner, two_pendulums(), 1, 0)):
        with pytest.raises(ConfigError, match="Policy is no planner, it has no reset and no plan"):
            start(Policy())


@pytest.mark.parametrize(
    "decided",
    [
        None,
        np.zeros(1, np.float32),
        *(
            Decision(action, None, None, "heuristic", 0.0)
            for action in (np.zeros(2), np.zeros((1, 1)), [np.nan], ["a"], None, 0.0, [1j], {})
        ),
    ],
    ids=str,
)
def test_what_is_no_decision_for_the_environment_is_refused(decided: Any) -> None:
    class Wrong(Planner):
        def plan(self, observation: Any) -> Any:
            return decided

    for environments in (two_pendulums(), gym.make("Pendulum-v1")):
        with pytest.raises(WorldplanError, match="Decision"):
            evaluate(Wrong(), environments, 1, seed=0)


@pytest.mark.parametrize("action", [2, -1, 0.5, np.nan, "1", [0, 1], None])
def test_a_number_that_a_discrete_space_does_not_have_is_refused(action: Any) -> None:
    class Wrong(Planner):
        def plan(self, observation: Any) -> Decision:
            return Decision(action, None, None, "heuristic", 0.0)

    with pytest.raises(WorldplanError, match="the action of a Decision"):
        evaluate(Wrong(), gym.make("CartPole-v1"), 1, seed=0)


def test_a_batch_of_another_length_is_refused() -> None:
    class Short(Push):
        def plan_batch(self, observations: Any) -> list[Decision]:
            return super().plan_batch(observations)[:1]

    with pytest.raises(ConfigError, match="1 decisions for 2 environments"):
        evaluate(Short(), two_pendulums(), 2, seed=0)
