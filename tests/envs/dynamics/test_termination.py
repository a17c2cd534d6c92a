"""Termination rules against the real environments, and a rule learned from data."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.dynamics.termination import TERMINATIONS, termination_for
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.termination import (
    best_threshold,
    fit_termination,
)

NEVER = ("HalfCheetah-v5", "Swimmer-v5", "Reacher-v5", "Pusher-v5", "HumanoidStandup-v5")
FALLING = {
    "Hopper-v5": 800,
    "Walker2d-v5": 800,
    "Ant-v5": 1200,
    "Humanoid-v5": 500,
    "InvertedPendulum-v5": 600,
    "InvertedDoublePendulum-v5": 800,
}


def play(env_id: str, steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
    """Random steps of the real environment; half of the falls are played on, so that both sides are
    seen.
    """
    env = gym.make(env_id)
    rng = np.random.default_rng(0)
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    over = np.zeros(steps, dtype=bool)
    observation, _ = env.reset(seed=0)
    for step in range(steps):
        action = (rng.uniform(low, high) * rng.choice([0.1, 1.0])).astype(np.float32)
        following, _, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, following))
        over[step] = terminated
        observation = (
            env.reset()[0] if truncated or (terminated and rng.random() < 0.5) else following
        )
    env.close()
    first, second, third = (
        torch.as_tensor(np.stack(column), dtype=torch.float32) for column in zip(*rows, strict=True)
    )
    return first, second, third, over


@pytest.mark.parametrize("env_id", [*FALLING, *NEVER])
def test_a_rule_ends_episodes_where_the_environment_does(env_id: str) -> None:
    *rows, over = play(env_id, FALLING.get(env_id, 60))
    assert np.array_equal(termination_for(env_id)(*rows).numpy(), over)
    assert over.any() != (env_id in NEVER)
    assert not over.all()


@pytest.mark.parametrize(
    "name", [name for name, rule in TERMINATIONS.items() if rule is not TERMINATIONS["never"]]
)
def test_a_state_that_is_no_number_is_never_healthy(name: str) -> None:
    """As in gymnasium, where every comparison with NaN fails."""
    broken = torch.full((1, 20), torch.nan)
    assert termination_for(name)(broken, broken, broken).all()


def test_hopper_limits_at_their_edges() -> None:
    state = torch.zeros(6, 11)
    state[:, 0] = 1.25
    state[1, 0], state[2, 1], state[3, 4], state[4, 0], state[5, 1] = (
        0.7,
        -0.2,
        -100.0,
        torch.inf,
        0.1999,
    )
    assert termination_for("hopper")(state, state[:, :3], state).tolist() == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


def test_names_of_one_task() -> None:
    rule = TERMINATIONS["inverteddoublependulum"]
    for name in (
        "inverted_double_pendulum",
        "InvertedDoublePendulum-v5",
        "InvertedDoublePendulum-v4",
        "inverteddoublependulum",
    ):
        assert termination_for(name) is rule


def test_your_own_rule() -> None:
    assert (
        termination_for("worldplan.envs.dynamics.termination:walker2d") is TERMINATIONS["walker2d"]
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hoper", r"hoper.*hopper.*walker2d"),
        ("no_such_module_here:rule", r"cannot be imported.*PYTHONPATH"),
        ("worldplan.envs.dynamics.termination:no_such_rule", r"cannot be imported"),
        (":rule", r"cannot be imported"),
        ("worldplan.envs.dynamics.termination:TERMINATIONS", r"is a dict"),
    ],
)
def test_an_unknown_rule_is_named(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        termination_for(name)


# --- learned --------------------------------------------------------------------------------------


def transitions(count: int, seed: int = 0, ends: bool = True) -> Transitions:
    """Episodes of a random walk that ends outside |x| < 2; the second number means nothing."""
    rng = np.random.default_rng(seed)
    rows, episode, state = [], 0, rng.normal(size=2) * 0.1
    for _ in range(count):
        action = rng.uniform(-1, 1, 1)
        following = (state + np.append(0.5 * action, rng.normal())).astype(np.float32)
        over = bool(ends and abs(following[0]) > 2)
        cut = not over and rng.random() < 0.01
        rows.append((state, action, 0.0, following, over, cut, episode))
        episode, state = (
            (episode + 1, rng.normal(size=2) * 0.1) if over or cut else (episode, following)
        )
    columns: list[Any] = [np.array(column) for column in zip(*rows, strict=True)]
    columns[5][-1] = not columns[4][-1]
    return Transitions(*columns)


def test_a_learned_rule_knows_the_rule_behind_the_data() -> None:
    classifier = fit_termination(
        transitions(5000),
        torch.Generator().manual_seed(0),
        hidden=(32, 32),
        steps=250,
        learning_rate=5e-3,
    )
    fresh = transitions(4000, seed=1)
    rows = [
        torch.as_tensor(column)
        for column in (fresh.observation, fresh.action, fresh.next_observation)
    ]
    predicted = classifier(*rows).numpy()
    assert predicted.dtype == bool and predicted.shape == (4000,)
    caught = (predicted & fresh.terminated).sum()
    assert caught / fresh.terminated.sum() > 0.85, "recall"
    assert caught / predicted.sum() > 0.85, "precision, though few rows are terminal"
    assert fresh.terminated.mean() < 0.1
    chance = classifier.probability(*rows)
    assert torch.equal(chance > classifier.threshold, torch.as_tensor(predicted))


def f1(predicted: np.ndarray, over: np.ndarray) -> float:
    return 2 * float((predicted & over).sum()) / float(predicted.sum() + over.sum())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), st.booleans()),
        min_size=2,
        max_size=12,
    )
)
def test_no_other_threshold_is_better(rows: list[tuple[float, bool]]) -> None:
    rows = [*rows, (0.25, True)]
    chance, over = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    threshold = float(best_threshold(torch.as_tensor(chance), torch.as_tensor(over)))
    others = [f1(chance > cut, over) for cut in np.append(np.unique(chance), -1.0)]
    assert (
        f1(chance > threshold, over) == pytest.approx(max(others))
        or threshold == 0
        and min(chance) == 0
    )


def test_learning_repeats_with_its_generator_and_differs_without() -> None:
    data = transitions(1500)
    first, again, other = (
        fit_termination(data, torch.Generator().manual_seed(seed), steps=20) for seed in (3, 3, 4)
    )
    rows = [
        torch.as_tensor(column) for column in (data.observation, data.action, data.next_observation)
    ]
    chance = first.probability(*rows)
    assert torch.equal(chance, again.probability(*rows)) and not torch.equal(
        chance, other.probability(*rows)
    )


def test_data_without_terminations_call_for_the_rule_never() -> None:
    with pytest.raises(DatasetError, match=r"no episode.*termination 'never'"):
        fit_termination(transitions(300, ends=False), torch.Generator())


def test_one_termination_cannot_be_learned_from() -> None:
    rows = np.zeros((9, 2))
    last = np.arange(9) == 8
    with pytest.raises(DatasetError, match=r"1 row.*terminated.*at least"):
        fit_termination(
            Transitions(rows, rows, last, rows, last, ~last & False, np.zeros(9)), torch.Generator()
        )


def test_only_terminated_rows_teach_nothing() -> None:
    rows = np.zeros((20, 2))
    always = np.ones(20, dtype=bool)
    with pytest.raises(DatasetError, match=r"every row.*terminated"):
        fit_termination(
            Transitions(rows, rows, always, rows, always, ~always, np.arange(20)), torch.Generator()
        )
