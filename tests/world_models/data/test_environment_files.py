"""The environment of a dataset through every kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envs.test_spec import SPECS
from tests.world_models.data.builders import make, same
from worldplan.envs.spec import EnvironmentSpec
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.files import load_transitions, save_transitions
from worldplan.world_models.data.transitions import concatenate


@settings(max_examples=12, deadline=None)
@given(SPECS, st.none() | SPECS)
def test_round_trip_through_files(
    spec: EnvironmentSpec, evaluation: EnvironmentSpec | None
) -> None:
    metadata: dict[str, Any] = {"env_id": spec.id, "environment": spec.to_json(), "qpos_size": 3}
    if evaluation is not None:
        metadata["evaluation_environment"] = evaluation.to_json()
    data = make([2, 1], **metadata)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", folder)
        for target in (f"{folder}/a.npz", f"{folder}/a.hdf5", "own/a-v0"):
            save_transitions(data, target)
            back = load_transitions(target)
            same(data, back)
            assert back.environment == spec and back.metadata == data.metadata


def test_minari_readers_see_the_whole_environment() -> None:
    spec = {
        "id": "Pendulum-v1",
        "kwargs": {"g": 2.5},
        "max_episode_steps": 30,
        "wrappers": [{"name": "RescaleAction", "kwargs": {"min_action": -1, "max_action": 1}}],
    }
    save_transitions(make([2], env_id="Pendulum-v1", environment=spec), "own/a-v0")
    note = json.loads(Path("minari/own/a-v0/data/metadata.json").read_text(encoding="utf-8"))
    stored = json.loads(note["env_spec"])
    assert (stored["kwargs"], stored["max_episode_steps"]) == ({"g": 2.5}, 30)
    assert [entry["name"] for entry in stored["additional_wrappers"]] == ["RescaleAction"]


ENVIRONMENTS: list[dict[str, Any]] = [
    {},
    {"kwargs": {"g": 2}},
    {"max_episode_steps": 7},
    {"wrappers": ["ClipAction"]},
]


@pytest.mark.parametrize("one", ENVIRONMENTS)
@pytest.mark.parametrize("two", [*ENVIRONMENTS, None])
def test_joined_parts(one: dict[str, Any], two: dict[str, Any] | None) -> None:
    """`None` is an older dataset, of the environment as it is registered."""
    parts = [
        make(
            [2],
            env_id="Pendulum-v1",
            **({} if spec is None else {"environment": {"id": "Pendulum-v1", **spec}}),
        )
        for spec in (one, two)
    ]
    for pair in (parts, parts[::-1]):
        if one == (two or {}):
            joined = concatenate(pair)
            assert joined.environment == parts[0].environment
        else:
            with pytest.raises(DatasetError, match="different environments cannot be joined"):
                concatenate(pair)


@pytest.mark.parametrize(
    ("metadata", "known"),
    [
        ({"env_id": "Hopper-v5"}, True),
        ({"env_id": "Hopper-v2"}, True),
        ({"env_id": "hopper-medium-replay-v2"}, True),
        ({"env_id": "HopperHop-v0"}, False),
        ({"env_id": "Hopper-Hop-v0"}, False),
        ({"env_id": "Hopper-v1"}, False),
        ({"env_id": "hopper"}, False),
        ({"env_id": "AntMaze-v5"}, False),
        ({"env_id": "antmaze-umaze-v0"}, False),
        ({"env_id": "own/Hopper-v5"}, False),
        (
            {
                "env_id": "Hopper-v5",
                "environment": {"id": "Hopper-v5", "kwargs": {"frame_skip": 4}},
            },
            True,
        ),
        (
            {
                "env_id": "Hopper-v5",
                "environment": {"id": "Hopper-v5", "kwargs": {"frame_skip": 2}},
            },
            False,
        ),
        (
            {"env_id": "Hopper-v5", "environment": {"id": "Hopper-v5", "max_episode_steps": 50}},
            False,
        ),
        (
            {"env_id": "Hopper-v5", "environment": {"id": "Hopper-v5", "wrappers": ["ClipAction"]}},
            False,
        ),
        ({"env_id": "HopperHop-v0", "ref_min_score": 0, "ref_max_score": 9}, True),
    ],
)
def test_reference_scores_by_exact_ids(metadata: dict[str, Any], known: bool) -> None:
    data = make([2], **metadata)
    if known:
        low, high = data.references()
        assert low < high
    else:
        with pytest.raises(DatasetError, match="no reference scores are known"):
            data.references()
