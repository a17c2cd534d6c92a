"""Datasets of environments with arguments, step limits and wrappers, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

from tests.envs.test_spec import Goals  # noqa: F401  # registers WorldplanTestGoals-v0
from tests.worldplan.hostile_builders import refused
from worldplan.cli import main
from worldplan.envs.spec import parse_spec
from worldplan.world_models.data.files import load_transitions

COLLECT = ["data", "collect", "Pendulum-v1", "--policy", "random", "--steps", "20"]
RESCALE = "{name: RescaleAction, kwargs: {min_action: -1, max_action: 1}}"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("output", ["a.npz", "a.hdf5", "own/pendulum-v0"])
@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ([], {"max_episode_steps": 200}),
        (["--env-kwargs", '{"g": 2}'], {"kwargs": {"g": 2}, "max_episode_steps": 200}),
        (["--env-kwargs.g", "2.5"], {"kwargs": {"g": 2.5}, "max_episode_steps": 200}),
        (["--max-episode-steps", "7"], {"max_episode_steps": 7}),
        (
            ["--wrappers", f"[{RESCALE}, FlattenObservation]", "--env-kwargs.g", "2"],
            {
                "kwargs": {"g": 2},
                "max_episode_steps": 200,
                "wrappers": [
                    {"name": "RescaleAction", "kwargs": {"min_action": -1, "max_action": 1}},
                    "FlattenObservation",
                ],
            },
        ),
        (["--wrappers", "ClipReward", "--env-kwargs.g", "2"], None),
    ],
)
def test_a_collection_stores_its_environment(
    options: list[str], recorded: dict[str, Any] | None, output: str
) -> None:
    argv = [*COLLECT, *options, "--output", output]
    if recorded is None:  # ClipReward needs a bound
        assert main(argv) == 2
        return
    assert main(argv) == 0 and main(argv) == 0
    data = load_transitions(output)
    assert data.environment == parse_spec({"id": "Pendulum-v1", **recorded})
    if output.startswith("own"):
        note = Path("minari", output, "data", "metadata.json").read_text(encoding="utf-8")
        form = gym.envs.registration.EnvSpec.from_json(json.loads(note)["env_spec"])
        env = gym.make(form)  # what any reader of Minari makes
        assert env.spec is not None and env.action_space.shape == (1,)
        if "kwargs" in recorded:
            assert env.unwrapped.g == recorded["kwargs"]["g"]  # type: ignore[attr-defined]


def test_other_arguments_are_another_collection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COLLECT, "--output", "a.npz"]) == 0
    changed = [*COLLECT, "--output", "a.npz", "--env-kwargs.g", "2"]
    assert "collected with other settings: environment was None" in refused(changed, capsys)
    assert "begun with other settings" in refused(
        [*changed[:-4], "--output", "b.npz", *changed[-2:]], capsys
    )


def test_uniform_reference_is_measured_in_the_environment() -> None:
    for g in ("10", "0.5"):
        argv = [*COLLECT, "--env-kwargs.g", g, "--output", f"g{g}.npz", "--folder", f"f{g}"]
        assert main(argv) == 0
    low = [load_transitions(f"g{g}.npz").metadata["ref_min_score"] for g in ("10", "0.5")]
    assert abs(low[0] - low[1]) > 1


def test_episodes_without_an_end_are_not_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldplan.world_models.collection.settings.LONGEST_EPISODE", 250)
    line = refused([*COLLECT, "--max-episode-steps", "-1", "--output", "a.npz"], capsys)
    assert "an episode does not end within 250 steps" in line and "--max-episode-steps" in line
    argv = [*COLLECT, "--max-episode-steps", "-1", "--output", "a.npz"]
    argv[2] = "InvertedPendulum-v5"
    assert main(argv) == 0
    spec = load_transitions("a.npz").environment
    assert spec is not None and spec.max_episode_steps == -1


def test_dict_observations_are_flattened_by_a_wrapper(capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*COLLECT, "--output", "a.npz"]
    argv[2] = "WorldplanTestGoals-v0"
    assert "flatten them with --wrappers '[FlattenObservation]'" in refused(argv, capsys)
    assert main([*argv, "--wrappers", "[FlattenObservation]"]) == 0
    data = load_transitions("a.npz")
    assert data.observation.shape == (20, 6)
    assert data.environment is not None
    assert [wrapper.name for wrapper in data.environment.wrappers] == ["FlattenObservation"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--env-kwargs", "3"], "env_kwargs"),
        (["--env-kwargs.h", "3"], "unexpected keyword argument 'h'"),
        (["--wrappers", "[NormalizeReward]"], "its running statistics are part of no dataset"),
        (["--wrappers", "[{name: ClipAction, args: 1}]"], "a wrapper is"),
        (["--max-episode-steps", "0"], "max_episode_steps is 0"),
        (["--max-episode-steps", "x"], "max_episode_steps"),
    ],
)
def test_wrong_options(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused([*COLLECT, *options], capsys)
    assert not Path("minari").exists() or not list(Path("minari").rglob("*.hdf5"))


def test_joined_datasets_are_of_one_environment(capsys: pytest.CaptureFixture[str]) -> None:
    for g in ("2", "3"):
        argv = [*COLLECT, "--env-kwargs.g", g, "--output", f"g{g}.npz", "--folder", f"f{g}"]
        assert main(argv) == 0
    line = refused(["data", "convert", "g2.npz", "g3.npz", "both.npz"], capsys)
    assert "g: 2 in one part, 3 in another" in line
    assert main(["data", "convert", "g2.npz", "g2.npz", "both.npz"]) == 0
    assert load_transitions("both.npz").environment == load_transitions("g2.npz").environment
    # an older file records the id alone: it was made with the registered arguments
    data = load_transitions("g2.npz")
    columns = {name: getattr(data, name) for name in ("observation", "action", "reward")}
    columns |= {
        name: getattr(data, name)
        for name in ("next_observation", "terminated", "truncated", "episode")
    }
    np.savez("old.npz", metadata=np.array('{"env_id": "Pendulum-v1"}'), **columns)
    line = refused(["data", "convert", "g2.npz", "old.npz", "more.npz"], capsys)
    assert "g: 2 in one part, 10.0 in another" in line


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"environment": 3}, "metadata environment is 3"),
        ({"environment": {}}, "its id is None"),
        ({"environment": {"id": "A-v0", "kwargs": 3}}, "kwargs is 3"),
        ({"environment": {"id": "A-v0", "code": "x"}}, "'code' is no part"),
        ({"env_id": "B-v0", "environment": {"id": "A-v0"}}, "env_id is 'B-v0'"),
        ({"evaluation_environment": {"id": "A-v0", "wrappers": 3}}, "wrappers are 3"),
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
def test_hostile_metadata(
    metadata: dict[str, Any], message: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.worldplan.hostile_builders import COLUMNS
    from tests.worldplan.test_hostile_datasets import write_hdf5

    if suffix == "npz":
        np.savez("x.npz", metadata=np.array(json.dumps(metadata)), **COLUMNS)
    else:
        write_hdf5({}, json.dumps(metadata))
    assert message in refused(["data", "describe", f"x.{suffix}"], capsys, f"x.{suffix}")


def test_policies_are_judged_in_the_environment_of_their_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    collect = [*COLLECT, "--env-kwargs.g", "2", "--max-episode-steps", "5", "--output", "a.npz"]
    assert main(collect) == 0
    settings = {
        "model": {
            "class_path": "worldplan.planners.offline.model_free.behaviour_cloning.for_dataset",
            "init_args": {
                "dataset": "a.npz",
                "epochs": 1,
                "check_every": 1,
                "check_episodes": 1,
                "settings": {"hidden": [4], "updates": 2},
            },
        },
        "trainer": {"default_root_dir": "run"},
    }
    Path("fit.yaml").write_text(json.dumps(settings), encoding="utf-8")
    fit = ["fit", "--config", "fit.yaml"]
    other = {"id": "Pendulum-v1", "kwargs": {"g": 3}, "max_episode_steps": 5}
    chosen = [*fit, "--model.init_args.environment", json.dumps(other)]
    assert "g: 2 in the data, 3 here" in refused(chosen, capsys, "a.npz")
    assert main(fit) == 0
    evaluate = ["evaluate", "run", "--episodes", "2"]
    assert main(evaluate) == 0
    table = pd.read_csv("run/evaluation.csv")
    assert set(table["length"].dropna()) == {5}
    judged = [*evaluate, "--environment", json.dumps(other)]
    assert "g: 2 in the training, 3 here" in refused(judged, capsys, "run")
    judged[-1] = json.dumps(other | {"max_episode_steps": 7, "differs_from_data": True})
    assert main(judged) == 0
    assert "judged in another environment" in " ".join(capsys.readouterr().out.split())
    assert set(pd.read_csv("run/evaluation.csv")["length"]) == {7}
