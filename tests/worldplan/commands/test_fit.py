"""`worldplan fit` given again, given twice at once, interrupted, killed, and with odd settings."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.utils.data import DataLoader, TensorDataset

from tests.world_models.training.test_trainer import Descent
from worldplan.cli import main
from worldplan.world_models.folders import exclusive
from worldplan.world_models.training import fit

HERE = "tests.worldplan.commands.test_fit"
KIT = "tests.world_models.training.test_trainer"


class Shuffled(L.LightningModule):
    """A module with plain Lightning conventions: global random numbers, arguments of its own."""

    def __init__(self, width: int = 4, rate: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.rate = rate
        self.net = torch.nn.Sequential(
            torch.nn.Linear(2, width), torch.nn.Dropout(0.3), torch.nn.Linear(width, 1)
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.rate)

    def train_dataloader(self) -> DataLoader[Any]:
        rows = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(rows, rows.sum(1)), batch_size=8, shuffle=True)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        noise = float(np.random.default_rng().random() * 0 + np.random.rand())  # noqa: NPY002
        loss = (self.net(batch[0])[:, 0] - batch[1] + 0.1 * noise).square().mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss


class Told:
    """Runs `worldplan` in this process and remembers the last line of stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys, self.folder = capsys, folder
        self.lines: list[str] = []

    def __call__(self, *words: str, model: str = f"{KIT}.Descent", command: str = "fit") -> int:
        common = ["--trainer.enable_progress_bar=false", "--model", model]
        code = main([command, *common, "--trainer.default_root_dir", str(self.folder), *words])
        self.lines = self.capsys.readouterr().err.splitlines()
        return code

    @property
    def last(self) -> str:
        return self.lines[-1] if self.lines else ""


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Told:
    return Told(capsys, tmp_path / "run")


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(folder / "last.ckpt", weights_only=True)["state_dict"])


def assert_equal_trainings(first: Path, second: Path) -> None:
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# --- the same command again -----------------------------------------------------------------------


def test_a_finished_training_is_left_as_it_is(told: Told) -> None:
    assert told() == 0 and not told.lines
    before = content(told.folder)
    for words in ([], ["--ckpt_path", str(told.folder / "last.ckpt")], ["--journal.every=7"]):
        assert told(*words) == 0
        assert told.lines == [
            f"{told.folder}: this training has finished, its result is "
            f"{told.folder / 'nearest.ckpt'}: a greater length continues it, --fresh begins anew"
        ]
    assert content(told.folder) == before


@pytest.mark.parametrize("model", [f"{KIT}.Descent", f"{HERE}.Shuffled"])
@pytest.mark.parametrize("first", [1, 3])
def test_a_longer_command_equals_an_unbroken_one(told: Told, model: str, first: int) -> None:
    words = ["--trainer.max_epochs=4"]
    assert told(*words, model=model) == 0
    whole = told.folder.rename(told.folder.with_name("whole"))
    assert told(f"--trainer.max_epochs={first}", model=model) == 0
    assert told(*words, model=model) == 0
    assert told.lines == [f"continuing {told.folder}"]
    assert_equal_trainings(whole, told.folder)


def test_a_shorter_command_finds_the_training_finished(told: Told) -> None:
    assert told() == 0
    assert told("--trainer.max_epochs=2") == 0
    assert "has finished" in told.last


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("Descent", "--model.rate=0.3", "rate was 0.1, is 0.3"),
        ("Descent", "--seed_everything=5", "seed was 0, is 5"),
        ("Shuffled", "--model.width=5", "model.init_args.width was 4, is 5"),
        ("Shuffled", "--seed_everything=5", "seed_everything was 0, is 5"),
        ("Shuffled", "--trainer.gradient_clip_val=0.5", "gradient_clip_val was None, is 0.5"),
        ("Shuffled", "--trainer.limit_train_batches=2", "limit_train_batches was None, is 2"),
        (
            "Descent",
            "--trainer.callbacks+={class_path: EarlyStopping, init_args: {monitor: loss}}",
            "trainer.callbacks was None, is",
        ),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_other_settings_are_refused_by_name(
    told: Told, model: str, change: str, words: str, finished: bool
) -> None:
    path = f"{KIT if model == 'Descent' else HERE}.{model}"
    assert told("--trainer.max_epochs=2", model=path) == 0
    before = content(told.folder)
    assert told(f"--trainer.max_epochs={2 if finished else 3}", change, model=path) == 2
    assert len(told.lines) == 1 and words in told.last and "--fresh" in told.last
    assert content(told.folder) == before


@pytest.mark.parametrize(
    "change",
    ["devices=auto", "accelerator=auto", "log_every_n_steps=3", "enable_model_summary=true"],
)
def test_device_and_reports_are_no_other_settings(told: Told, change: str) -> None:
    assert told("--trainer.max_epochs=2") == 0
    assert told(f"--trainer.{change}") == 0
    assert told.last == f"continuing {told.folder}"


def test_fresh_keeps_the_old_folder(told: Told) -> None:
    assert told() == 0
    before = content(told.folder)
    for count in (1, 2):
        assert told("--fresh", "--model.rate=0.3") == 0
        asides = list(told.folder.parent.glob("run-before-*"))
        assert len(asides) == count
        assert any(told.lines == [f"{told.folder} is kept as {aside}"] for aside in asides)
    assert before in [content(aside) for aside in asides]
    assert "fresh" not in yaml.safe_load((told.folder / "config.yaml").read_text())


def test_fresh_from_python(tmp_path: Path) -> None:
    fit(Descent(2), tmp_path / "run")
    fit(Descent(2, rate=0.2), tmp_path / "run", fresh=True)
    assert len(list(tmp_path.glob("run-before-*/last.ckpt"))) == 1


def test_a_record_of_something_else_is_not_replaced(told: Told, tmp_path: Path) -> None:
    """Such as the file that --config names, in the folder where the command is given."""
    told.folder.mkdir()
    (told.folder / "config.yaml").write_text("model: mine\ntrainer: {}\n")
    before = content(told.folder)
    assert told() == 2
    assert len(told.lines) == 1 and "config.yaml is not the record of a training" in told.last
    (told.folder / "versions.json").write_text("{}")
    (told.folder / "config.yaml").write_text("policies: [null]\n")
    assert told() == 2
    assert before.keys() < content(told.folder).keys()


def test_the_stored_settings_train_elsewhere(told: Told, tmp_path: Path) -> None:
    assert told() == 0
    before = content(told.folder)
    words = ["--config", str(told.folder / "config.yaml"), "--trainer.default_root_dir"]
    for extra in ([], ["--ckpt_path", str(told.folder / "last.ckpt"), "--model.length=6"]):
        other = tmp_path / f"other{len(extra)}"
        assert main(["fit", *words, str(other), *extra]) == 0
        assert content(told.folder) == before
        assert len(pd.read_csv(other / "metrics.csv")) == (6 if extra else 4)


def test_a_training_that_began_elsewhere_continues_by_the_same_command(
    told: Told, tmp_path: Path
) -> None:
    source = fit(Descent(2), tmp_path / "source").with_name("last.ckpt")
    words = ["--ckpt_path", str(source)]
    assert told("--trainer.max_epochs=3", *words) == 0
    assert told.last == f"beginning from {source}"
    assert told(*words) == 0 and told.last == f"continuing {told.folder}"
    assert told("--ckpt_path", str(told.folder / "last.ckpt")) == 0 and "finished" in told.last
    assert told(*words) == 0 and "finished" in told.last
    other = fit(Descent(2, seed=1), tmp_path / "other").with_name("last.ckpt")
    assert told("--ckpt_path", str(other)) == 2
    assert "did not begin from there" in told.last


# --- two at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--fresh"]])
def test_a_folder_in_use_is_refused(
    told: Told, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "worldplan.world_models.training.saved.exclusive", partial(exclusive, wait=0.1)
    )
    with exclusive(told.folder):
        assert told(*words) == 2
    assert len(told.lines) == 1 and "FolderInUse" in told.last and str(os.getpid()) in told.last
    assert told(*words) == 0
