"""Files of transitions: npz, HDF5 and Minari there and back, and D4RL files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest

from tests.world_models.data.builders import make, same
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.files import (
    load_transitions,
    save_hdf5,
    save_npz,
    save_transitions,
)
from worldplan.world_models.data.transitions import ARRAYS, Transitions


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
