"""Transitions from Minari datasets of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from tests.world_models.data.builders import make, sampled_columns
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data import minari_files
from worldplan.world_models.data.files import (
    load_transitions,
    save_transitions,
)
from worldplan.world_models.data.transitions import Transitions


def foreign(
    name: str,
    observation_space: gym.Space,
    action_space: gym.Space,
    steps: int = 3,
    infos: Any = None,
    **columns: Any,
) -> None:
    """A Minari dataset that somebody else wrote."""
    sampled = sampled_columns(observation_space, action_space, steps)
    buffer = EpisodeBuffer(**sampled | columns, infos=infos)
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
    with pytest.raises(DatasetError, match="worldplan/mine-own-v0 is not on this machine .* coll"):
        load_transitions("worldplan/mine-own-v0")


@pytest.mark.parametrize("name", ["hopper-medium", "data.csv", "../../x-v0", ""])
def test_names_that_are_neither_files_nor_ids(name: str) -> None:
    with pytest.raises(DatasetError, match="neither a .npz, .hdf5 or .h5 file nor a Minari id"):
        load_transitions(name)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize(
    "state",
    [
        lambda rows: np.zeros((rows, 4)),
        lambda rows: {"robot": np.zeros((rows, 4)), "object": np.zeros((rows, 2))},
        lambda rows: np.zeros((rows, 3, 8, 8), np.uint8),
    ],
)
def test_infos_called_state_are_no_simulator_state(
    state: Any, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    foreign("own/infos-v0", FLAT, FLAT, infos={"state": state(rows), "episode": np.zeros(rows)})
    assert load_transitions("own/infos-v0").state is None
    assert caplog.text.count("infos/state is ignored") == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_infos_qpos_that_are_no_vectors() -> None:
    nested = {"qpos": {"arm": np.zeros((4, 2))}, "qvel": np.zeros((4, 2))}
    foreign("own/nested-v0", FLAT, FLAT, infos=nested)
    assert load_transitions("own/nested-v0").state is None
