"""Columns that float32 cannot hold: kept in the precision of the file, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import data as data_command
from tests.world_models.data.builders import make, same
from worldplan.milp.errors import DatasetError
from worldplan.planners.offline.task import dataset_task
from worldplan.world_models.collection.recording import Recorder, as_transitions
from worldplan.world_models.data.files import load_transitions, save_transitions
from worldplan.world_models.data.precision import single_precision
from worldplan.world_models.data.transitions import Transitions, concatenate
from worldplan.world_models.ensemble.model import load_ensemble
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training.trainer import fit

SMALL = EnsembleSettings(2, 1, (16, 16), 1e-2, (0.0,) * 3, 32, 20, 20)


def moved(
    offset: float, step: float, *, dtype: Any = np.float64, episodes: int = 12
) -> Transitions:
    """Positions around `offset` that follow the action by about `step`, and an ordinary column."""
    rng, length = np.random.default_rng(0), 25
    action = rng.uniform(-1, 1, (episodes, length, 1))
    start = rng.normal(size=(episodes, 1, 2)) * step
    path = np.concatenate([start, start + np.cumsum(step * action.repeat(2, -1), 1)], 1)
    path = path + np.array([offset, 0.0])
    last = np.tile(np.arange(length) == length - 1, episodes)
    return Transitions(
        path[:, :-1].reshape(-1, 2),
        action.reshape(-1, 1),
        np.zeros(len(last)),
        path[:, 1:].reshape(-1, 2),
        np.zeros(len(last), bool),
        last,
        np.repeat(np.arange(episodes), length),
    )


@settings(deadline=None, max_examples=100)
@given(
    size=st.floats(-3, 12),
    share=st.floats(-11, 1),
    sign=st.sampled_from([-1, 1]),
)
def test_changes_are_those_of_the_file(size: float, share: float, sign: int) -> None:
    """To 2 % for any offset and step; only numbers below 1000 that hardly vary are constant."""
    offset, step = sign * 10**size, 10 ** (size + share)
    data = moved(offset, step)
    change = data.next_observation.astype(np.float64) - data.observation
    true = step * data.action[:, 0]
    if abs(offset) >= 1e3 or data.observation[:, 0].astype(float).std() > 1e-6 * abs(offset):
        tolerance = 0.02 * step + 1e-15 * abs(offset)
        assert np.sqrt(np.square(change[:, 0] - true).mean()) < tolerance


def test_unix_seconds_in_whole_numbers() -> None:
    seconds = 1_764_360_000 + np.arange(101)[:, None]
    last = np.arange(100) == 99
    columns = (np.zeros((100, 1)), np.zeros(100), seconds[1:], 0 * last, last, 0 * last)
    data = Transitions(seconds[:-1], *columns)
    assert (data.next_observation - data.observation == 1).all()


@settings(deadline=None, max_examples=50)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9), scale=st.floats(-9, 9))
def test_ordinary_data_stay_in_float32(lengths: list[int], scale: float) -> None:
    data = make(lengths)
    exact = 10**scale * np.random.default_rng(1).normal(size=(len(data) + 1, 3))
    exact[:, 2] = 0.05 + 1e-12 * exact[:, 2] / 10**scale  # a resting object, with rounding errors
    rows = exact[:-1]
    double = replace(data, observation=rows, next_observation=exact[1:])
    assert double.observation.dtype == np.float32
    np.testing.assert_array_equal(double.observation, rows.astype(np.float32))
    same(replace(data, observation=data.observation.astype(np.float64)), data)


@pytest.mark.parametrize("target", ["a.npz", "a.hdf5", "own/exact-v0"])
def test_writers_keep_what_is_read(target: str, tmp_path: Path) -> None:
    data = moved(1.7e9, 1.0)
    assert data.observation.dtype == np.float64
    save_transitions(data, target)
    same(load_transitions(target), data)
    both = concatenate([data, load_transitions(target)])
    np.testing.assert_array_equal(both.observation[300:], data.observation)


def test_the_ensemble_learns_changes_of_large_numbers(tmp_path: Path) -> None:
    """As well as those of the same data without the offset, also after a visit to a file."""
    errors = []
    for offset in (0.0, 1.7e9):
        data = moved(offset, 1.0)
        model = load_ensemble(fit(EnsembleModule(data, SMALL, 0), tmp_path / str(offset)))
        columns = [torch.as_tensor(c) for c in (data.observation, data.action)]
        mean = model(*columns).mean[0, :, :2]
        errors.append(float((mean - torch.as_tensor(data.next_observation)).abs().mean()))
    assert errors[0] < 0.05 and abs(errors[1] - errors[0]) < 0.01, errors


def test_describe_names_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_transitions(moved(1.7e9, 1.0), "a.npz")
    assert data_command(["describe", "a.npz"]) == 0
    assert "float64, float32 would lose observation[0]" in capsys.readouterr().out


def test_what_works_in_float32_refuses_by_name() -> None:
    data = replace(moved(1.7e9, 1.0), metadata={"env_id": "Pendulum-v1"})
    with pytest.raises(
        DatasetError, match=r"column observation\[0\].*1.7e\+09.*subtract an offset"
    ):
        single_precision(data, "policies are trained")
    with pytest.raises(DatasetError, match=r"column observation\[0\].*policies are trained"):
        dataset_task(data, true_share=1.0)
    slight = single_precision(moved(1e4, 0.01), "policies are trained")
    assert slight.observation.dtype == np.float32, "an error of a few percent"


@pytest.mark.parametrize("name", ["action", "reward"])
def test_actions_and_rewards_that_vanish_are_refused(name: str) -> None:
    data = make([9, 8])
    column = getattr(data, name).astype(np.float64)
    same(replace(data, **{name: column}), data)
    place = r"action\[0\]" if name == "action" else "reward"
    with pytest.raises(DatasetError, match=f"column {place}: its differences vanish in float32"):
        replace(data, **{name: column + 1e9})
    replace(data, **{name: np.full_like(column, 1e9)})  # a constant is one


def test_one_array_in_float32_is_refused() -> None:
    data = moved(1.7e9, 1.0)
    with pytest.raises(DatasetError, match=r"observation\[0\] is lost in float32, and only one of"):
        replace(data, observation=data.observation.astype(np.float32))


@pytest.mark.parametrize(
    ("column", "warned"),
    [
        (1.7e9 + np.arange(300.0), True),
        (5e6 + np.random.default_rng(0).normal(size=300), True),
        (np.arange(300.0) * 1000, False),
        (1e6 + np.arange(300.0), False),
        (np.full(300, 1.7e9), False),
        (np.random.default_rng(0).normal(size=300), False),
    ],
)
def test_files_in_float32_that_have_lost_changes_are_warned_of(
    column: np.ndarray, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, rows = make([299]), column.astype(np.float32)
    before, after = (
        np.column_stack([part[:, 0], rows[place], part[:, 2]])
        for part, place in (
            (data.observation, slice(0, 299)),
            (data.next_observation, slice(1, 300)),
        )
    )
    save_transitions(replace(data, observation=before, next_observation=after), "a.npz")
    load_transitions("a.npz")
    assert ("a.npz: column observation[1] holds numbers of about" in caplog.text) == warned


class Clock(gym.Env):
    """Shows the time in seconds since 1970."""

    observation_space = gym.spaces.Box(0, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    reward = 0.0

    def reset(self, **_: Any) -> Any:
        self.now = 1.7e9
        return np.array([self.now]), {}

    def step(self, action: Any) -> Any:
        self.now += 1.0
        return np.array([self.now]), self.reward * self.now, False, False, {}


def test_a_recording_keeps_the_precision_of_its_environment() -> None:
    recorder = Recorder(Clock())
    recorder.reset()
    for _ in range(5):
        recorder.step(np.zeros(1))
    columns = recorder.take()
    columns["truncated"][-1] = True
    data = as_transitions(columns, {})
    assert (data.next_observation - data.observation == 1).all()
    environment = Clock()
    environment.reward = 1.0
    recorder = Recorder(environment)
    recorder.reset()
    for _ in range(5):
        recorder.step(np.zeros(1))
    with pytest.raises(DatasetError, match="column reward: its differences vanish in float32"):
        recorder.take()
