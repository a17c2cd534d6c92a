"""Datasets of transitions: what is refused, what the operations give (against loops), and every
file format there and back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data import minari_files
from worldplan.world_models.data.files import (
    load_transitions,
    save_hdf5,
    save_npz,
    save_transitions,
)
from worldplan.world_models.data.transitions import ARRAYS, Transitions, concatenate


def make(lengths: list[int], *, seed: int = 0, states: bool = True, **metadata: Any) -> Transitions:
    """Random episodes; every second one ends by termination."""
    rng = np.random.default_rng(seed)
    paths = [rng.normal(size=(length + 1, 3)).astype(np.float32) for length in lengths]
    count = sum(lengths)
    ends = np.cumsum(lengths) - 1
    terminated = np.zeros(count, dtype=bool)
    terminated[ends[::2]] = True
    truncated = np.zeros(count, dtype=bool)
    truncated[ends[1::2]] = True
    return Transitions(
        observation=np.concatenate([path[:-1] for path in paths]),
        action=rng.uniform(-1, 1, (count, 2)),
        reward=rng.normal(size=count),
        next_observation=np.concatenate([path[1:] for path in paths]),
        terminated=terminated,
        truncated=truncated,
        episode=np.repeat(np.arange(len(lengths)), lengths),
        state=rng.normal(size=(count, 5)) if states else None,
        metadata=metadata or {"env_id": "Hopper-v5", "qpos_size": 3, "seed": 1},
    )


def same(one: Transitions, other: Transitions) -> None:
    for name in ARRAYS:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=name)
            assert left.dtype == right.dtype


def changed(data: Transitions, name: str, row: Any, value: Any) -> dict[str, Any]:
    column = getattr(data, name).copy()
    column[row] = value
    return {name: column}


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("observation", (4, 1), np.nan, r"row 4, column observation\[1\]: nan"),
        ("action", (2, 0), np.inf, r"row 2, column action\[0\]: inf"),
        ("reward", 3, -np.inf, "row 3, column reward: -inf"),
        ("state", (1, 4), np.nan, r"row 1, column state\[4\]: nan"),
        (
            "next_observation",
            (1, 2),
            7.0,
            r"row 1, column next_observation\[2\]: 7.0 is not the observation of row 2",
        ),
        ("terminated", 1, True, "row 1, column terminated: set, but episode 0 goes on in row 2"),
        ("truncated", 5, True, "row 5, column truncated: set, but episode 1 goes on in row 6"),
        ("terminated", 3, False, "row 3: episode 0 ends here, but neither"),
        ("episode", slice(4, 9), 0, "row 3, column terminated: set, but episode 0 goes on"),
        ("episode", slice(9, 12), 0, "row 9, column episode: episode 0 is back after another one"),
    ],
)
def test_bad_rows_are_named(name: str, row: Any, value: Any, message: str) -> None:
    data = make([4, 5, 3])
    with pytest.raises(DatasetError, match=message):
        replace(data, **changed(data, name, row, value))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"reward": np.zeros(11)}, "observation has 12 rows, but reward has 11"),
        ({"reward": np.zeros((12, 1))}, r"reward has shape \(12, 1\)"),
        ({"observation": np.zeros(12)}, r"observation has shape \(12,\)"),
        ({"next_observation": np.zeros((12, 4))}, "3 columns, but next_observation has 4"),
        ({"next_observation": None}, "next_observation is missing"),
        ({"action": [["left"]] * 12}, "action does not hold numbers"),
        ({"observation": np.full((12, 3), 1e300)}, r"row 0, column observation\[0\]: inf"),
        ({"metadata": {"network": object()}}, "the metadata hold a object"),
    ],
)
def test_bad_columns_are_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        replace(make([4, 5, 3]), **columns)


def test_empty_data_are_refused() -> None:
    empty = {
        name: np.zeros((0, 3) if "observation" in name or name == "action" else 0)
        for name in ARRAYS
        if name != "state"
    }
    with pytest.raises(DatasetError, match="no transition"):
        Transitions(**empty)


def test_termination_wins_over_a_time_limit_in_the_same_step() -> None:
    data = make([4, 5])
    both = replace(data, **changed(data, "truncated", 3, True))
    assert both.terminated[3] and not both.truncated[3]


def test_rounding_between_neighbouring_rows_is_allowed() -> None:
    data = make([4])
    replace(data, next_observation=data.next_observation * np.float32(1 + 3e-7))


# --- operations -----------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_statistics_are_those_of_a_loop(lengths: list[int], seed: int) -> None:
    data = make(lengths, seed=seed)
    found = data.statistics()
    returns: dict[int, float] = {}
    for number, reward in zip(data.episode, data.reward, strict=True):
        returns[int(number)] = returns.get(int(number), 0.0) + float(reward)
    np.testing.assert_allclose(found.returns, list(returns.values()), atol=1e-9)
    assert found.lengths.tolist() == lengths and found.terminations == (len(lengths) + 1) // 2
    np.testing.assert_allclose(
        found.observation.std[1], np.std([float(row[1]) for row in data.observation]), atol=1e-9
    )
    assert found.action.low[0] == min(data.action[:, 0]) and found.action.high[1] == max(
        data.action[:, 1]
    )


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=9),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_split_parts_whole_episodes(lengths: list[int], share: float, seed: int) -> None:
    data = make(lengths)
    train, validation = data.split(share, np.random.default_rng(seed))
    taken = set(validation.episode.tolist())
    assert (
        set(train.episode.tolist()) == set(range(len(lengths))) - taken
    )  # none lost, none in both, neither part empty
    assert len(taken) == min(max(round(share * len(lengths)), 1), len(lengths) - 1)
    same(validation, data.select(np.array([number in taken for number in data.episode])))
    same(train, data.select(np.array([number not in taken for number in data.episode])))


def test_a_single_episode_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match="a single episode"):
        make([7]).split(0.2, np.random.default_rng(0))
    with pytest.raises(DatasetError, match="share of 1.0"):
        make([7, 2]).split(1.0, np.random.default_rng(0))


def test_join() -> None:
    one, other = (
        make([3, 2], env_id="Hopper-v5", policy="medium"),
        make([4], seed=5, env_id="Hopper-v5", policy="expert"),
    )
    both = concatenate([one, other])
    assert both.episode.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(both.state, np.concatenate([one.state, other.state]))
    assert both.metadata == {
        "env_id": "Hopper-v5",
        "parts": [dict(one.metadata), dict(other.metadata)],
    }
    assert concatenate([one, replace(other, state=None)]).state is None
    with pytest.raises(
        DatasetError, match="different env_id cannot be joined: Hopper-v4, Hopper-v5"
    ):
        concatenate([one, make([2], env_id="Hopper-v4")])
    with pytest.raises(DatasetError, match=r"different action sizes cannot be joined: \[1, 2\]"):
        concatenate([one, replace(other, action=other.action[:, :1])])


def test_normalised_score() -> None:
    assert make([2], env_id="Hopper-v5").normalised_score([3234.3, -20.272305]).tolist() == [
        100.0,
        0.0,
    ]
    assert make([2], env_id="HalfCheetah-v4").normalised_score(12135.0) == 100
    own = make([2], env_id="Pendulum-v1", ref_min_score=-1200, ref_max_score=-200)
    assert own.normalised_score(-700) == 50
    with pytest.raises(
        DatasetError, match="no reference scores are known for environment 'Pendulum-v1'"
    ):
        make([2], env_id="Pendulum-v1").normalised_score(0)


def test_physics_must_be_that_of_the_data() -> None:
    import mujoco

    here = {"env_id": "Walker2d-v5", "mujoco_version": mujoco.__version__}
    assert make([2], **here).require_physics("Walker2d-v5") == ()
    assert make([2], env_id="Walker2d-v5").require_physics("Walker2d-v5") == ("mujoco_version",)
    with pytest.raises(
        DatasetError, match="made in Walker2d-v5, whose physics is not that of Walker2d-v4"
    ):
        make([2], **here).require_physics("Walker2d-v4")
    with pytest.raises(DatasetError, match="made with mujoco 2.3.1"):
        make([2], **here | {"mujoco_version": "2.3.1"}).require_physics("Walker2d-v5")


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _own_minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.mark.parametrize(
    "target", ["data.npz", "data.hdf5", "data.h5", "minari:worldplan/test-own-v0"]
)
@pytest.mark.parametrize("states", [True, False])
def test_every_format_gives_back_what_was_written(
    target: str, states: bool, tmp_path: Path
) -> None:
    data = make([4, 1, 5], states=states)
    name = target if target.startswith("minari:") else str(tmp_path / target)
    save_transitions(data, name)
    back = load_transitions(name)
    same(back, data)
    assert back.metadata == data.metadata
    with pytest.raises(DatasetError, match="exists already"):
        save_transitions(data, name)
    assert not list(tmp_path.glob(".*"))


def test_state_without_known_parts_is_kept_whole(tmp_path: Path) -> None:
    data = make([4, 2], env_id="Own-v0")
    for name in (str(tmp_path / "data.hdf5"), "worldplan/whole-v0"):
        save_transitions(data, name)
        same(load_transitions(name), data)


def test_minari_itself_can_use_our_datasets() -> None:
    save_transitions(
        make([4, 2], env_id="Hopper-v5", qpos_size=3, ref_min_score=0.0, ref_max_score=4.0),
        "worldplan/test-v0",
    )
    dataset = minari.load_dataset("worldplan/test-v0")
    assert dataset.total_steps == 6 and [len(episode.observations) for episode in dataset] == [5, 3]
    assert minari.get_normalized_score(dataset, np.array([2.0])) == 0.5
    assert dataset.env_spec.id == "Hopper-v5"


def d4rl(path: Path, **columns: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            file[name.replace("__", "/")] = column
    return path


def d4rl_columns(data: Transitions) -> dict[str, Any]:
    return {
        "observations": data.observation,
        "actions": data.action,
        "rewards": data.reward,
        "terminals": data.terminated,
        "timeouts": data.truncated,
        "infos__qpos": data.state[:, :3] if data.state is not None else None,
        "infos__qvel": data.state[:, 3:] if data.state is not None else None,
        "metadata__algorithm": "SAC",
    }


def test_d4rl_file_with_next_observations(tmp_path: Path) -> None:
    data = make([4, 5, 3, 2])
    columns = d4rl_columns(data)
    back = load_transitions(
        d4rl(tmp_path / "a.hdf5", **columns, next_observations=data.next_observation)
    )
    same(back, data)
    assert back.metadata == {"qpos_size": 3, "algorithm": "SAC"}
    del columns["timeouts"]  # the ends are then where the next row does not follow on
    same(
        load_transitions(
            d4rl(tmp_path / "b.hdf5", **columns, next_observations=data.next_observation)
        ),
        data,
    )


def test_d4rl_recording_that_stops_within_an_episode(tmp_path: Path) -> None:
    data = make([4, 5])
    rows = slice(0, 7)
    columns = {
        name: value if isinstance(value, str) else value[rows]
        for name, value in d4rl_columns(data).items()
    }
    back = load_transitions(
        d4rl(tmp_path / "a.hdf5", **columns, next_observations=data.next_observation[rows])
    )
    assert len(back) == 7 and back.truncated.tolist() == [False] * 6 + [True]


def test_next_observations_of_the_next_episode_are_refused(tmp_path: Path) -> None:
    data = make([4, 5, 3])
    wrong = np.append(
        data.observation[1:], data.next_observation[-1:], axis=0
    )  # what d4rl.qlearning_dataset would give
    with pytest.raises(
        DatasetError, match=r"a.hdf5: row 3 ends an episode, but .* next episode \(2 such rows\)"
    ):
        load_transitions(d4rl(tmp_path / "a.hdf5", **d4rl_columns(data), next_observations=wrong))


def test_d4rl_file_without_next_observations(tmp_path: Path) -> None:
    data = make([4, 1, 5, 3])
    timeouts = data.last
    columns = d4rl_columns(data) | {
        "terminals": np.zeros(len(data), dtype=bool),
        "timeouts": timeouts,
    }
    back = load_transitions(d4rl(tmp_path / "a.hdf5", **columns))
    expected = [row for row in range(len(data)) if not timeouts[row]]
    np.testing.assert_array_equal(back.observation, data.observation[expected])
    np.testing.assert_array_equal(
        back.next_observation, data.next_observation[expected]
    )  # the true ones: none crosses an end
    np.testing.assert_array_equal(back.state, data.state[expected])
    assert back.lengths().tolist() == [3, 4, 2] and not back.terminated.any()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "what followed its 2 terminal rows .first: row 3. is unknown"),
        ({"timeouts": None}, "neither next_observations nor timeouts"),
        ({"rewards": None}, "has no rewards"),
        ({"actions": np.zeros((3, 2))}, "its columns differ in length .*actions 3.* cut off"),
        ({"terminals": np.zeros(12), "timeouts": np.ones(12)}, "only episodes of a single row"),
    ],
)
def test_unusable_d4rl_files(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    all_columns = {
        name: column
        for name, column in (d4rl_columns(make([4, 5, 3])) | columns).items()
        if column is not None
    }
    with pytest.raises(DatasetError, match=f"a.hdf5: .*{message}"):
        load_transitions(d4rl(tmp_path / "a.hdf5", **all_columns))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["data.npz", "data.hdf5"])
def test_cut_off_files_give_one_error(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    save = save_npz if name.endswith("npz") else save_hdf5
    content = save(make([40, 50]), path).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=f"{name}: cannot be read") as caught:
        load_transitions(path)
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    data = make([3])
    columns = {name: getattr(data, name) for name in ARRAYS}
    np.savez(tmp_path / "a.npz", **columns | {"reward": np.array([object()] * 3, dtype=object)})
    with pytest.raises(DatasetError, match="a.npz: cannot be read"):
        load_transitions(tmp_path / "a.npz")


def test_npz_without_a_column_and_missing_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", observation=np.zeros((3, 2)))
    with pytest.raises(DatasetError, match="a.npz: has no action, reward, next_observation"):
        load_transitions(tmp_path / "a.npz")
    with pytest.raises(DatasetError, match="nowhere.hdf5: no such file"):
        load_transitions(tmp_path / "nowhere.hdf5")


# --- Minari ---------------------------------------------------------------------------------------


def foreign(
    name: str,
    observation_space: gym.Space,
    action_space: gym.Space,
    steps: int = 3,
    infos: Any = None,
    **columns: Any,
) -> None:
    """A Minari dataset that somebody else wrote."""
    sample = [observation_space.sample() for _ in range(steps + 1)]
    observations = (
        {key: np.stack([row[key] for row in sample]) for key in sample[0]}
        if isinstance(sample[0], dict)
        else np.stack(sample)
    )
    content = {
        "observations": observations,
        "actions": np.stack([action_space.sample() for _ in range(steps)]),
        "rewards": np.ones(steps),
        "terminations": np.zeros(steps, dtype=bool),
        "truncations": np.zeros(steps, dtype=bool),
    }
    buffer = EpisodeBuffer(**content | columns, infos=infos)
    minari.create_dataset_from_buffers(
        name, [buffer], observation_space=observation_space, action_space=action_space
    )


FLAT = gym.spaces.Box(-1, 1, (2,), np.float64)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_foreign_minari_dataset() -> None:
    infos = {
        "qpos": np.arange(8.0).reshape(4, 2),
        "qvel": -np.arange(8.0).reshape(4, 2),
        "x_position": np.zeros(4),
    }  # T + 1 rows
    foreign("own/flat-v0", FLAT, FLAT, infos=infos)
    data = load_transitions("own/flat-v0")
    assert data.truncated.tolist() == [False, False, True]  # it was cut, and nothing terminated
    np.testing.assert_array_equal(data.observation[1:], data.next_observation[:-1])
    np.testing.assert_array_equal(data.state, [[0, 1, -0.0, -1], [2, 3, -2, -3], [4, 5, -4, -5]])
    assert data.metadata["qpos_size"] == 2 and data.metadata["dataset_id"] == "own/flat-v0"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (
            gym.spaces.Dict(a=FLAT),
            FLAT,
            "its observations are Dict of shape None: only flat vectors",
        ),
        (
            gym.spaces.Box(0, 255, (40, 40, 3), np.uint8),
            FLAT,
            r"its observations are Box of shape \(40, 40, 3\): only flat vectors",
        ),
        (FLAT, gym.spaces.Discrete(3), r"its actions are Discrete\(3\): only continuous control"),
    ],
)
def test_minari_datasets_that_are_not_flat_and_continuous(
    observation: gym.Space, action: gym.Space, message: str
) -> None:
    foreign("own/odd-v0", observation, action)
    with pytest.raises(DatasetError, match=message):
        load_transitions("own/odd-v0")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minari_episode_that_was_cut_off() -> None:
    foreign("own/cut-v0", FLAT, FLAT, observations=np.zeros((3, 2)))
    with pytest.raises(DatasetError, match="episode 0 has 3 rewards, but 3 observations"):
        load_transitions("own/cut-v0")


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("name", ["main_data.hdf5", "metadata.json"])
def test_cut_off_minari_datasets_give_one_error(name: str, share: float, tmp_path: Path) -> None:
    save_transitions(make([40, 50]), "worldplan/cut-v0")
    path = tmp_path / "minari" / "worldplan" / "cut-v0" / "data" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match="worldplan/cut-v0 in .* damaged") as caught:
        load_transitions("worldplan/cut-v0")
    assert "\n" not in str(caught.value)


def test_minari_dataset_whose_writing_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(data: Transitions) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(minari_files, "_buffers", stop)
        with pytest.raises(KeyboardInterrupt):
            save_transitions(make([4]), "worldplan/stopped-v0")
    save_transitions(make([4]), "worldplan/stopped-v0")  # its id is still free


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dataset_id: str) -> None:
        raise ConnectionError(f"no route to the hub\nof {dataset_id}")

    monkeypatch.setattr(minari, "download_dataset", refuse)
    with pytest.raises(
        DatasetError,
        match="mujoco/hopper/medium-v0 is not on this machine .* no route to the hub of",
    ):
        load_transitions("mujoco/hopper/medium-v0")


@pytest.mark.parametrize("name", ["hopper-medium", "data.csv", "../../x-v0", ""])
def test_names_that_are_neither_files_nor_ids(name: str) -> None:
    with pytest.raises(DatasetError, match="neither a .npz, .hdf5 or .h5 file nor a Minari id"):
        load_transitions(name)
