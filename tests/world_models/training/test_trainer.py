"""The training kit, on a module of a few lines: its length, its result, what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from worldplan.cli import main
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.training import Journal, ResumableModule, fit, save_tensors
from worldplan.world_models.training.origin import origin
from worldplan.world_models.training.seeds import torch_generator


class Descent(ResumableModule):
    """Minimises (weight - 3)^2 with noise; the result is the weight nearest to 3."""

    KEY: ClassVar[str] = "descent"
    RESULT: ClassVar[str] = "nearest.ckpt"

    def __init__(self, length: int = 4, rate: float = 0.1, seed: int = 0, every: int = 1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.length, self.rate, self.seed, self.every = length, rate, seed, every
        self.nearest = torch.inf

    @property
    def epochs(self) -> int:
        return self.length

    @property
    def check_every(self) -> int:
        return self.every

    def made_with(self) -> dict[str, str]:
        return origin(rate=self.rate, seed=self.seed)

    def record(self) -> float:
        return self.weight.item()

    def progress(self) -> dict[str, Any]:
        return {"nearest": self.nearest}

    def restore(self, progress: dict[str, Any]) -> None:
        self.nearest = progress["nearest"]

    def export(self, folder: Path) -> None:
        save_tensors({"nearest": self.nearest}, folder / self.RESULT)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.rate)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(range(3), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, batch: int, batch_idx: int) -> torch.Tensor:
        noise = torch.randn(
            (), generator=torch_generator(self.seed, self.current_epoch, int(batch))
        )
        loss = (self.weight - 3 + 0.1 * noise).square()
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        distance = float((self.weight - 3).abs())
        self.nearest = min(self.nearest, distance)
        self.log("distance", distance, batch_size=1)


class Foreign(L.LightningModule):
    """A module that is not of this project."""

    def __init__(self, seed: int | None = 0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seed = seed

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(range(3), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, batch: int, batch_idx: int) -> torch.Tensor:
        return self.weight.square()

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(range(1), batch_size=None)  # type: ignore[arg-type]

    def validation_step(self, batch: int, batch_idx: int) -> None:
        self.log("weight", self.weight, batch_size=1)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "metrics.csv")


def test_the_result_and_the_rows(tmp_path: Path) -> None:
    assert fit(Descent(4, every=2), tmp_path) == tmp_path / "nearest.ckpt"
    rows = table(tmp_path)
    assert rows["epoch"].tolist() == [1, 2, 3, 4]
    assert rows["distance"].notna().tolist() == [False, True, False, True]
    kept = torch.load(tmp_path / "nearest.ckpt", weights_only=True)
    assert kept["nearest"] == pytest.approx(rows["distance"].min())
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == [
        "done",
        "last.ckpt",
        "metrics.csv",
        "nearest.ckpt",
    ]


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_prolonged_training_equals_a_long_one(tmp_path: Path, first: int) -> None:
    fit(Descent(5), tmp_path / "long")
    fit(Descent(first), tmp_path / "short")
    fit(Descent(5), tmp_path / "short")
    pd.testing.assert_frame_equal(table(tmp_path / "long"), table(tmp_path / "short"))


def test_a_finished_training_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(Descent(3), tmp_path)
    monkeypatch.setattr(L.Trainer, "fit", None)
    fit(Descent(3), tmp_path)
    fit(Descent(2), tmp_path)
    with pytest.raises(TypeError):
        fit(Descent(4), tmp_path)
    (tmp_path / "nearest.ckpt").unlink()  # without its result a training is not finished
    with pytest.raises(TypeError):
        fit(Descent(3), tmp_path)


def test_a_deleted_result_is_written_again(tmp_path: Path) -> None:
    result = fit(Descent(3), tmp_path)
    before = torch.load(result, weights_only=True)
    result.unlink()
    assert torch.load(fit(Descent(3), tmp_path), weights_only=True) == before


def test_a_callback_sees_the_distance_of_checks(tmp_path: Path) -> None:
    """Between checks there is nothing to see: early stopping would raise."""
    stopping = EarlyStopping("distance", mode="min", patience=1, min_delta=10.0)
    fit(Descent(8, every=2), tmp_path, callbacks=[stopping])
    assert table(tmp_path)["distance"].notna().tolist() == [False, True, False, True]


@pytest.mark.parametrize("length", [None, -1, 3])
def test_a_trainer_of_ones_own_has_the_length_of_the_module(
    tmp_path: Path, length: int | None
) -> None:
    """Lightning takes 1000 epochs where no number is given, and makes two checks beforehand."""
    checks: list[int] = []

    class Counted(Descent):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            checks.append(self.current_epoch)

    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=length,
        logger=False,
        callbacks=[Journal(tmp_path)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Counted(3))
    assert len(table(tmp_path)) == 3
    assert checks == [0, 1, 2]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    fit(Descent(2), tmp_path)
    with pytest.raises(CheckpointError, match=r"last.ckpt.*\(rate was 0\.1, is 0\.2\).*--fresh"):
        fit(Descent(2, rate=0.2), tmp_path)
    with pytest.raises(CheckpointError, match="seed was 0, is 1"):
        fit(Descent(2, seed=1), tmp_path)


def test_a_checkpoint_of_an_older_worldplan_is_refused(tmp_path: Path) -> None:
    save_tensors({"state_dict": {}, "epoch": 3}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last.ckpt.*saved by another version.*--fresh"):
        fit(Descent(2), tmp_path)


def test_a_module_without_an_origin_says_so() -> None:
    class Bare(ResumableModule):
        KEY = "bare"

    with pytest.raises(TypeError, match="Bare must define made_with"):
        Bare().made_with()


# --- the command ----------------------------------------------------------------------------------


def config(tmp_path: Path, name: str = "Descent", **changes: Any) -> str:
    """A YAML file for `worldplan fit`."""
    model = {"class_path": f"tests.world_models.training.test_trainer.{name}"}
    model["init_args"] = changes.pop("init_args", {"length": 3})
    trainer = {"accelerator": "cpu", "enable_progress_bar": False}
    trainer |= {"default_root_dir": str(tmp_path / "run")} | changes.pop("trainer", {})
    file = tmp_path / "fit.yaml"
    file.write_text(yaml.safe_dump({"model": model, "trainer": trainer, **changes}))
    return str(file)


def test_the_module_knows_its_length(tmp_path: Path) -> None:
    """No number of the method stands in `trainer:`, so changing it in one place is enough."""
    assert main(["fit", "--config", config(tmp_path), "--model.init_args.length=5"]) == 0
    assert len(table(tmp_path / "run")) == 5


def test_the_seed_is_given_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path)
    assert main(["fit", "--config", file, "--seed_everything", "7"]) == 0
    assert (tmp_path / "run" / "seed").read_text() == "7\n"
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["made_with"]
    assert saved["seed"] == "7"
    assert main(["fit", "--config", file, "--model.init_args.seed=4"]) == 2
    assert "give the seed once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("Foreign", {"init_args": {}}, "give --trainer.max_epochs"),
        ("Descent", {"trainer": {"check_val_every_n_epoch": 5}}, "leave it out"),
        ("Descent", {"trainer": {"max_epochs": 5}}, "max_epochs is 5, but the module ends after 3"),
        ("Descent", {"trainer": {"devices": 2}}, "2 devices, but Descent trains on one"),
        (
            "Descent",
            {
                "trainer": {
                    "callbacks": [{"class_path": "worldplan.world_models.training.journal.Journal"}]
                }
            },
            "every training has a Journal",
        ),
        ("Descent", {"journal": {"every": 0}}, "every 0: must be at least 1"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    changes: dict[str, Any],
    words: str,
) -> None:
    assert main(["fit", "--config", config(tmp_path, name, **changes)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("worldplan: ConfigError: ")
    assert words in last


def test_a_seed_of_the_module_alone(tmp_path: Path) -> None:
    """With `seed_everything: false` nothing else is seeded, and this is no second seed."""
    file = config(tmp_path, init_args={"seed": 5}, seed_everything=False)
    assert main(["fit", "--config", file]) == 0
    assert (tmp_path / "run" / "seed").read_text() == "5\n"


def test_no_length_is_the_length_of_the_module(tmp_path: Path) -> None:
    assert main(["fit", "--config", config(tmp_path, trainer={"max_epochs": None})]) == 0
    assert len(table(tmp_path / "run")) == 3


def test_steps_of_a_cut_training_are_saved(tmp_path: Path) -> None:
    trainer = {"max_steps": 4}
    file = config(tmp_path, "Foreign", init_args={}, trainer=trainer, journal={"every": 3})
    assert main(["fit", "--config", file]) == 0
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4


def test_a_trial_writes_nothing(tmp_path: Path) -> None:
    """Else the training itself would have to resume after one batch."""
    assert main(["fit", "--config", config(tmp_path, trainer={"fast_dev_run": True})]) == 0
    assert not list((tmp_path / "run").glob("*"))


def test_a_logger_leaves_the_run_folder_where_the_results_are(tmp_path: Path) -> None:
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger"}
    logger["init_args"] = {"save_dir": str(tmp_path / "logs")}  # type: ignore[assignment]
    assert main(["fit", "--config", config(tmp_path, trainer={"logger": logger})]) == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"config.yaml", "versions.json", "seed", "plots", "last.ckpt", "metrics.csv"}
    assert list((tmp_path / "logs").rglob("metrics.csv"))


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_file_that_is_no_checkpoint_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, whole: bool
) -> None:
    file = tmp_path / "broken.ckpt"
    torch.save({"nearest": 0.1}, file)
    if not whole:
        file.write_bytes(file.read_bytes()[:100])
    assert main([command, "--config", config(tmp_path), "--ckpt_path", str(file)]) == 2
    assert re.search(r"CheckpointError: \S*broken.ckpt: not the whole", capsys.readouterr().err)


def test_training_is_on_the_cpu_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = "tests.world_models.training.test_trainer.Descent"
    main(["fit", "--model", model, "--print_config"])
    assert "accelerator: cpu" in capsys.readouterr().out


def test_a_module_of_another_project_may_count_steps(tmp_path: Path) -> None:
    file = config(tmp_path, "Foreign", init_args={}, trainer={"max_steps": 5})
    assert main(["fit", "--config", file]) == 0
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 5


def test_a_check_of_a_module_of_another_project_needs_no_length(tmp_path: Path) -> None:
    assert main(["validate", "--config", config(tmp_path, "Foreign", init_args={})]) == 0


def test_a_module_of_another_project_may_have_no_seed(tmp_path: Path) -> None:
    file = config(tmp_path, "Foreign", init_args={"seed": None}, trainer={"max_epochs": 1})
    assert main(["fit", "--config", file, "--seed_everything", "7"]) == 0
    assert (tmp_path / "run" / "last.ckpt").is_file()


def test_a_module_of_another_project_is_trained(tmp_path: Path) -> None:
    file = config(tmp_path, "Foreign", init_args={}, trainer={"max_epochs": 2})
    assert main(["fit", "--config", file]) == 0
    assert len(table(tmp_path / "run")) == 2
    assert (tmp_path / "run" / "last.ckpt").is_file()


def test_a_journal_without_a_trainer_has_no_folder() -> None:
    with pytest.raises(ConfigError, match="give a folder"):
        _ = Journal().folder
