"""The training kit, on a module of a few lines: its length, its result, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import pandas as pd
import pytest
import torch
import yaml
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

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seed = seed

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(range(3), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, batch: int, batch_idx: int) -> torch.Tensor:
        return self.weight.square()


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "metrics.csv")


def test_the_result_and_the_rows(tmp_path: Path) -> None:
    assert fit(Descent(4, every=2), tmp_path) == tmp_path / "nearest.ckpt"
    rows = table(tmp_path)
    assert rows["epoch"].tolist() == [1, 2, 3, 4]
    assert rows["distance"].notna().tolist() == [False, True, False, True]
    kept = torch.load(tmp_path / "nearest.ckpt", weights_only=True)
    assert kept["nearest"] == pytest.approx(rows["distance"].min())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
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


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    fit(Descent(2), tmp_path)
    with pytest.raises(CheckpointError, match=r"last.ckpt.*\(rate was 0\.1, is 0\.2\).*delete"):
        fit(Descent(2, rate=0.2), tmp_path)
    with pytest.raises(CheckpointError, match="seed was 0, is 1"):
        fit(Descent(2, seed=1), tmp_path)


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


def test_a_module_of_another_project_is_trained(tmp_path: Path) -> None:
    file = config(tmp_path, "Foreign", init_args={}, trainer={"max_epochs": 2})
    assert main(["fit", "--config", file]) == 0
    assert len(table(tmp_path / "run")) == 2
    assert (tmp_path / "run" / "last.ckpt").is_file()


def test_a_journal_without_a_trainer_has_no_folder() -> None:
    with pytest.raises(ConfigError, match="give a folder"):
        _ = Journal().folder
