"""`worldplan data`: collect, describe and convert from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldplan.cli import run
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.files import load_transitions


def main(arguments: list[str]) -> int:
    """`worldplan data` with these arguments; errors are raised."""
    return run(["data", *arguments])


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)


def test_collect_describe_convert(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "Hopper-v5", "--policy", "random", "--steps", "60"]) == 0
    assert "60 transitions" in capsys.readouterr().out
    data = load_transitions("worldplan/hopper-v5-random-own-v0")
    assert len(data) == 60 and data.metadata["policy"] == "random"
    assert (Path("runs") / "data" / "Hopper-v5-random-seed0").is_dir()

    assert main(["describe", "worldplan/hopper-v5-random-own-v0"]) == 0
    shown = capsys.readouterr().out
    assert (
        f"mean {data.returns().mean():.4g}" in shown
        and f"mean {data.normalised_score(data.returns()).mean():.4g}" in shown
    )
    assert f"{int(data.terminated.sum())} terminated" in shown and "12 numbers per step" in shown
    assert "observation[10]" in shown and "mujoco_version" in shown and "D4RL constant" in shown

    assert main(["convert", "worldplan/hopper-v5-random-own-v0", "a.hdf5"]) == 0
    assert main(["convert", "a.hdf5", "b.npz"]) == 0
    back = load_transitions("b.npz")
    np.testing.assert_array_equal(back.state, data.state)
    np.testing.assert_array_equal(back.next_observation, data.next_observation)
    assert back.metadata == data.metadata
    assert main(["convert", "a.hdf5", "b.npz", "both.npz"]) == 0
    assert len(load_transitions("both.npz")) == 120


def test_a_task_of_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tasks").mkdir()
    Path("tasks/lab.py").write_text(
        "import gymnasium\n\n\ndef pole(task):\n    return gymnasium.make(task)\n"
    )
    monkeypatch.syspath_prepend("tasks")
    task = "lab:pole/Pendulum-v1"
    assert main(["collect", task, "--policy", "random", "--steps", "20"]) == 0
    data = load_transitions("worldplan/lab-pole-pendulum-v1-random-own-v0")
    assert len(data) == 20 and data.metadata["env_id"] == task


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    collect = ["collect", "Pendulum-v1", "--policy", "random", "--steps", "20", "--output", "a.npz"]
    assert main(collect) == 0
    with pytest.raises(DatasetError, match="a.npz exists already"):
        main(["convert", "a.npz", "a.npz"])
    capsys.readouterr()
    assert main(["describe", "a.npz"]) == 0
    shown = capsys.readouterr().out
    assert "no reference scores" in shown and "simulator state" in shown and "none" in shown


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="--hidden: 'wide' is not a list"):
        main(["collect", "Hopper-v5", "--policy", "random", "--hidden", "wide"])
    with pytest.raises(ConfigError, match="invalid choice: 'best'"):
        main(["collect", "Hopper-v5", "--policy", "best"])
    with pytest.raises(DatasetError, match="neither a .npz"):
        main(["collect", "Hopper-v5", "--policy", "random", "--output", "data.csv"])
    with pytest.raises(ConfigError, match="required: verb"):
        main([])
