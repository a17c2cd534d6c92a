"""D4RL-style files of others: no transition crosses the end of an episode, marked or not."""

from __future__ import annotations

import logging
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import make
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.transitions import Transitions

same_folder = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LENGTHS = st.lists(st.integers(2, 30), min_size=1, max_size=8)


def load(**columns: Any) -> Transitions:
    with h5py.File("x.hdf5", "w") as file:
        for name, column in columns.items():
            if column is not None:
                file[name.replace("__", "/")] = column
    return load_transitions("x.hdf5")


def walk(lengths: list[int], seed: int, scale: float) -> dict[str, Any]:
    """Smooth paths that begin at random places, with true next observations."""
    rng = np.random.default_rng(seed)
    paths = [
        scale * (10 * rng.normal(size=3) + np.cumsum(rng.normal(size=(length + 1, 3)), 0) / 10)
        for length in lengths
    ]
    ends = np.zeros(sum(lengths), bool)
    ends[np.cumsum(lengths) - 1] = True
    return {
        "observations": np.concatenate([path[:-1] for path in paths]).astype(np.float32),
        "next_observations": np.concatenate([path[1:] for path in paths]).astype(np.float32),
        "actions": rng.uniform(-1, 1, (len(ends), 1)),
        "rewards": np.zeros(len(ends)),
        "terminals": np.zeros(len(ends), bool),
        "timeouts": ends,
    }


def shifted(columns: dict[str, Any]) -> np.ndarray:
    """The next rows, as loaders take them that overlook the ends of episodes."""
    observations: np.ndarray = columns["observations"]
    return np.concatenate([observations[1:], columns["next_observations"][-1:]])


@same_folder
@given(
    lengths=LENGTHS,
    seed=st.integers(0, 999),
    scale=st.sampled_from([1e-6, 1.0, 1e5]),
    marks=st.sampled_from(["all", "none", "missing", "some"]),
    next_rows=st.sampled_from(["true", "shifted", "missing"]),
)
def test_no_transition_crosses_an_end(
    lengths: list[int], seed: int, scale: float, marks: str, next_rows: str
) -> None:
    """Either every transition is one that was made, or the file is refused in one line."""
    columns = walk(lengths, seed, scale)
    made = {
        (row.tobytes(), following.tobytes())
        for row, following in zip(
            columns["observations"], columns["next_observations"], strict=True
        )
    }
    if next_rows == "shifted":
        columns["next_observations"] = shifted(columns)
    elif next_rows == "missing":
        columns["next_observations"] = None
    if marks == "none":
        columns["timeouts"] = np.zeros_like(columns["timeouts"])
    elif marks == "missing":
        columns["timeouts"] = None
    elif marks == "some":
        columns["timeouts"][np.cumsum(lengths)[:-1:2] - 1] = False
    inner = 0 if marks == "missing" else int(columns["timeouts"][:-1].sum())
    readable = next_rows == "true" and len(lengths) > 1
    readable |= next_rows == "missing" and inner > 0
    with suppress(DatasetError) if not readable else nullcontext():
        data = load(**columns)
        if marks == "some" and next_rows == "missing":
            return  # the marks say so; jumps within the episodes are warned of
        pairs = zip(data.observation, data.next_observation, strict=True)
        assert all((row.tobytes(), following.tobytes()) in made for row, following in pairs)
        assert next_rows == "missing" or data.lengths().tolist() == lengths


def collected(env_id: str, limit: int, count: int, seed: int) -> dict[str, Any]:
    """A recording that resets every `limit` steps and marks nothing but its last row."""
    env = gym.make(env_id).unwrapped
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    rows = []
    for row in range(1, count + 1):
        action = env.action_space.sample()
        rows.append((observation, action))
        observation, *_ = env.reset() if row % limit == 0 else env.step(action)
    observations, actions = map(np.array, zip(*rows, strict=True))
    last = np.arange(count) == count - 1
    return {
        "observations": observations,
        "actions": actions,
        "rewards": np.zeros(count),
        "terminals": np.zeros(count, bool),
        "timeouts": last,
    }


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "MountainCarContinuous-v0", "Hopper-v5"])
@pytest.mark.parametrize("limit", [50, 200])
@pytest.mark.parametrize("stored", [True, False])
def test_unmarked_time_limits_of_known_tasks(
    env_id: str, limit: int, stored: bool, tmp_path: Path
) -> None:
    columns = collected(env_id, limit, 2000, seed=limit)
    if stored:
        columns["next_observations"] = np.roll(columns["observations"], -1, 0)
        columns["next_observations"][-1] = columns["observations"][-1] + 1e-3
    with pytest.raises(DatasetError, match=r"row \d+: the observations jump .* store the true"):
        load(**columns)
    whole = load(**collected(env_id, 10**9, 2000, seed=1))
    assert whole.lengths().tolist() == [1999], "one episode is one"


def test_a_file_that_marks_no_end(tmp_path: Path) -> None:
    columns = collected("HalfCheetah-v5", 500, 2000, 0)
    columns["timeouts"][-1] = False
    with pytest.raises(DatasetError, match="marks no end of an episode in 2000 rows"):
        load(**columns)


def test_terminals_without_time_limits_whose_next_rows_go_on(tmp_path: Path) -> None:
    columns = walk([30, 30, 30], 0, 1.0)
    following = shifted(columns)
    following[29] = columns["next_observations"][29]  # the terminal row's is the true one
    columns |= {"next_observations": following, "timeouts": None}
    columns["terminals"][29] = True
    with pytest.raises(DatasetError, match="row 59: the observations jump to row 60"):
        load(**columns)


def test_jumps_between_marked_ends_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    columns = walk([30, 30, 30, 30], 0, 1.0)
    columns |= {"next_observations": None, "timeouts": columns["timeouts"].copy()}
    load(**columns)
    assert "jump" not in caplog.text
    columns["timeouts"][59] = False
    load(**columns)
    assert "row 59: the observations jump to row 60" in caplog.text


# --- infos with names that mean something here ----------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        np.zeros((12, 4)),
        np.array([b"standing"] * 12),
        np.zeros((12, 3, 8, 8), np.uint8),
        np.zeros(5),
        np.full((12, 2), np.nan),
    ],
)
@pytest.mark.parametrize("name", ["state", "observation", "action", "episode", "reward"])
def test_infos_are_not_mistaken(
    state: np.ndarray, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = d4rl_columns(make([4, 5, 3], states=False))
    with caplog.at_level(logging.WARNING):
        data = load(**columns, **{f"infos__{name}": state})
    assert data.state is None
    assert ("infos/state is ignored" in caplog.text) == (name == "state")


def test_infos_qpos_and_qvel_of_one_number(tmp_path: Path) -> None:
    columns = d4rl_columns(make([4, 5, 3], states=False))
    data = load(**columns, infos__qpos=np.arange(12.0), infos__qvel=-np.arange(12.0))
    assert data.state is not None and data.state[3].tolist() == [3, -3]
    assert load(**columns, infos__qpos=[b"x"] * 12, infos__qvel=np.zeros(12)).state is None
    assert load(**columns, infos__qpos=np.zeros((12, 0)), infos__qvel=np.zeros(12)).state is None


def d4rl_columns(data: Transitions) -> dict[str, Any]:
    return {
        "observations": data.observation,
        "next_observations": data.next_observation,
        "actions": data.action,
        "rewards": data.reward,
        "terminals": data.terminated,
        "timeouts": data.truncated,
    }
