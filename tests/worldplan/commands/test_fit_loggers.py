"""Loggers beside metrics.csv: TensorBoard and one of a user, in an intact folder, also resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.world_models.training.test_trainer import Descent
from worldplan.cli import main
from worldplan.world_models.training import fit

KIT = "tests.world_models.training.test_trainer"
HERE = "tests.worldplan.commands.test_fit_loggers"
FILES = {"metrics.csv", "last.ckpt", "nearest.ckpt", "done", "config.yaml", "seed", "versions.json"}


class Lines(Logger):
    """A user's logger: appends each metric to a file.

    Args:
        file: to append to.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = Path(file)

    @property
    def name(self) -> str:
        return "lines"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *arguments: Any, **named: Any) -> None:
        """Nothing."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(f"{name} {value} {step}\n" for name, value in metrics.items())


def train(folder: Path, *words: str) -> int:
    """`worldplan fit` of a tiny module."""
    common = ["--trainer.enable_progress_bar=false", "--model", f"{KIT}.Descent"]
    return main(["fit", *common, "--trainer.default_root_dir", str(folder), *words])


def tensorboard(folder: Path) -> dict[str, list[float]]:
    """Name -> values, of all event files in a folder."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [each.value for each in events.Scalars(name)] for name in events.Tags()["scalars"]
    }


def assert_logged(folder: Path, logged: dict[str, list[float]]) -> None:
    """Every metric of metrics.csv was logged, once per epoch."""
    table = pd.read_csv(folder / "metrics.csv")
    names = [name for name in table if name not in ("epoch", "step")]
    assert names
    for name in names:
        assert logged[name] == pytest.approx(table[name].dropna().tolist(), rel=1e-5), name
    assert {entry.name for entry in folder.iterdir()} >= FILES


def test_tensorboard_by_true_lies_in_the_folder_and_resumes_there(tmp_path: Path) -> None:
    folder, plain = tmp_path / "run", tmp_path / "plain"
    assert train(folder, "--trainer.logger=true", "--trainer.max_epochs=2") == 0
    assert train(folder, "--trainer.logger=true", "--trainer.max_epochs=4") == 0
    assert_logged(folder, tensorboard(folder / "tensorboard"))
    assert len(pd.read_csv(folder / "metrics.csv")) == 4
    assert train(plain, "--trainer.max_epochs=4") == 0
    assert (plain / "metrics.csv").read_text() == (folder / "metrics.csv").read_text()
    one, two = (torch.load(place / "last.ckpt", weights_only=True) for place in (plain, folder))
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, two["state_dict"][name])


def test_tensorboard_elsewhere_continues_its_version(tmp_path: Path) -> None:
    folder, logs = tmp_path / "run", tmp_path / "logs"
    file = tmp_path / "logger.yaml"
    logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(logs)}}
    file.write_text(yaml.safe_dump({"trainer": {"logger": [logger]}}))
    for epochs in (2, 4):
        assert train(folder, "--config", str(file), f"--trainer.max_epochs={epochs}") == 0
    assert [entry.name for entry in (logs / "lightning_logs").iterdir()] == ["version_0"]
    assert_logged(folder, tensorboard(logs / "lightning_logs" / "version_0"))


def test_a_logger_of_a_user_goes_on_after_a_resume(tmp_path: Path) -> None:
    folder, lines = tmp_path / "run", tmp_path / "lines.txt"
    words = ["--trainer.logger", f"{HERE}.Lines", "--trainer.logger.file", str(lines)]
    assert train(folder, *words, "--trainer.max_epochs=2") == 0
    assert train(folder, *words, "--trainer.max_epochs=4") == 0
    logged: dict[str, list[float]] = {}
    for line in lines.read_text().splitlines():
        name, value, _ = line.split()
        logged.setdefault(name, []).append(float(value))
    assert_logged(folder, logged)


def test_another_logger_is_no_other_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert train(folder, "--trainer.max_epochs=2") == 0
    assert train(folder, "--trainer.max_epochs=4", "--trainer.logger=true") == 0
    assert capsys.readouterr().err == f"continuing {folder}\n"


def test_loggers_of_the_kit(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    fit(Descent(length=3), tmp_path / "run", loggers=[Lines(str(lines))])
    assert lines.read_text().count("loss ") == 3


def test_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(tmp_path / "run", "--trainer.logger=TensorBoardLogger") == 2
    error = capsys.readouterr().err
    assert "save_dir" in error and "`logger: true`" in error and error.count("\n") == 1
    monkeypatch.setattr("worldplan.commands.fit_loggers.is_installed", lambda name: False)
    assert train(tmp_path / "run", "--trainer.logger=true") == 2
    assert "pip install 'worldplan[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
