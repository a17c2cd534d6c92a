"""`worldplan fit` given again, given twice at once, interrupted, killed, and with odd settings."""

from __future__ import annotations

import os
import pickle
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

ALL = pytest.param(10**6, marks=pytest.mark.slow)
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


class Other(Descent):
    """Made with something else."""

    def made_with(self) -> dict[str, str]:
        return {"other": "1"}


def drawn(items: list[str], count: int) -> list[str]:
    """Some of the items, in random order, the same in every run."""
    order = np.random.default_rng(0).permutation(len(items))[:count]
    return [items[place] for place in order]


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
        ("Shuffled", "--trainer.gradient_clip_val=0.5", "gradient_clip_val was not set, is 0.5"),
        ("Shuffled", "--trainer.limit_train_batches=2", "limit_train_batches was not set, is 2"),
        (
            "Descent",
            "--trainer.callbacks+={class_path: EarlyStopping, init_args: {monitor: loss}}",
            "trainer.callbacks was not set, is",
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


# --- damaged checkpoints --------------------------------------------------------------------------


class Code:
    """Runs when an unsafe reader loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("code-was-run",))


def damaged(kind: str, whole: Path, folder: Path) -> str:
    """A path for --ckpt_path made of a whole checkpoint."""
    file = folder / f"{kind}.ckpt"
    state = torch.load(whole, weights_only=True)
    if kind == "a folder":
        return str(folder)
    if kind in ("best", "https://example.org/last.ckpt"):
        return kind
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind in ("code", "code in a pickle"):
        content = {"state_dict": Code()}
        torch.save(content, file) if kind == "code" else file.write_bytes(pickle.dumps(content))
    elif kind.startswith("without "):
        del state[kind.removeprefix("without ")]
        torch.save(state, file)
    elif kind.startswith("empty "):
        name = kind.removeprefix("empty ")
        torch.save(state | {name: type(state[name])()}, file)
    elif kind == "other shapes":
        torch.save(state | {"state_dict": {n: torch.zeros(7) for n in state["state_dict"]}}, file)
    elif kind == "a list":
        torch.save([1, 2], file)
    elif kind != "missing":
        data = whole.read_bytes()
        texts = {"nothing": b"", "half": data[: len(data) // 2], "text": b"name: value\n"}
        file.write_bytes(texts[kind])
    return str(file)


KINDS = [
    *("missing", "a folder", "best", "https://example.org/last.ckpt", "a pipe", "code"),
    *("code in a pickle", "other shapes", "a list", "nothing", "half", "text"),
    *(f"without {name}" for name in ("state_dict", "loops", "callbacks", "optimizer_states")),
    *("without lr_schedulers", "without pytorch-lightning_version"),
    *("empty state_dict", "empty loops", "empty optimizer_states"),
]


@pytest.mark.parametrize("model", [f"{KIT}.Descent", f"{HERE}.Shuffled"])
@pytest.mark.parametrize("count", [4, ALL])
def test_a_damaged_checkpoint_is_one_line(
    told: Told, model: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told("--trainer.max_epochs=2", model=model) == 0
    whole = told.folder.rename(tmp_path / "whole") / "last.ckpt"
    for kind in drawn(KINDS, count):
        path = damaged(kind, whole, tmp_path)
        assert told("--trainer.max_epochs=3", "--ckpt_path", path, model=model) == 2, kind
        assert len(told.lines) == 1, kind
        assert "CheckpointError: " in told.last and path in told.last, kind
        assert "weights_only" not in told.last, kind
        assert not (told.folder / "last.ckpt").exists() and not Path("code-was-run").exists()


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_the_checkpoint_of_another_module_is_one_line(
    told: Told, command: str, tmp_path: Path
) -> None:
    other = str(fit(Descent(2), tmp_path / "other").with_name("last.ckpt"))
    for model in (f"{KIT}.Foreign", f"{HERE}.Shuffled", f"{HERE}.Other"):
        if command == "validate" and model.endswith("Shuffled"):
            continue  # has no validation
        words = ["--trainer.max_epochs=3", "--ckpt_path", other]
        code = told(*words, model=model, command=command)
        assert (code, len(told.lines)) == (2, 1)
        assert other in told.last


def test_a_changed_bit_of_the_folders_own_state_is_refused(told: Told) -> None:
    assert told("--trainer.max_epochs=2") == 0
    last, rng = told.folder / "last.ckpt", np.random.default_rng(0)
    whole = last.read_bytes()
    place = whole.index(b"PK\x01\x02")  # everything before the directory is under a checksum
    for at in rng.integers(200, place - 100, size=5):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        last.write_bytes(changed)
        code = told("--trainer.max_epochs=3")
        if code:
            assert code == 2 and len(told.lines) == 1 and str(last) in told.last
        last.write_bytes(whole)
        (told.folder / "done").write_text("2\n")


def test_a_state_that_is_longer_already_is_refused(told: Told, tmp_path: Path) -> None:
    source = fit(Descent(3), tmp_path / "source").with_name("last.ckpt")
    assert told("--ckpt_path", str(source), "--trainer.max_epochs=2") == 2
    assert len(told.lines) == 1 and "has 3 epochs" in told.last


# --- odd settings ---------------------------------------------------------------------------------

REFUSED_BY_ALL = """
precision=99 max_steps=-2 max_steps=0 max_steps=many limit_train_batches=0
limit_train_batches=-1 limit_val_batches=7.5 val_check_interval=0 val_check_interval=-1
gradient_clip_val=-1 gradient_clip_val=.nan gradient_clip_algorithm=none strategy=fsdp
strategy=none devices=0 devices=-1 devices=text accelerator=tpu accelerator=quantum num_nodes=0
profiler=none callbacks=no.such.Callback callbacks=LearningRateMonitor callbacks=torch.nn.Linear
callbacks=[3] callbacks=EarlyStopping callbacks=Journal logger=none logger=WandbLogger
overfit_batches=-1 fast_dev_run=-1 max_time=soon max_time=00:00:00:00 max_epochs=0 max_epochs=-5
max_epochs=.nan accumulate_grad_batches=0 accumulate_grad_batches=-1 enable_checkpointing=false
barebones=true plugins=none reload_dataloaders_every_n_epochs=-1 log_every_n_steps=0
check_val_every_n_epoch=0 nosuch=1 default_root_dir=/dev/null default_root_dir=/proc/nothing
"""
REFUSED_BY_OURS = """
precision=16-mixed precision=64 max_steps=4 min_epochs=3 min_steps=2 limit_train_batches=1
limit_train_batches=0.5 limit_val_batches=0 val_check_interval=0.5 gradient_clip_val=1.0
strategy=ddp devices=2 overfit_batches=1 accumulate_grad_batches=2
reload_dataloaders_every_n_epochs=1 check_val_every_n_epoch=3
"""
ALLOWED = """
devices=auto accelerator=auto max_time=00:00:10:00 enable_model_summary=true detect_anomaly=true
callbacks=ModelSummary logger=false profiler=simple max_epochs=2 inference_mode=false
"""


@pytest.mark.parametrize("model", [f"{KIT}.Descent", f"{KIT}.Foreign"])
@pytest.mark.parametrize("count", [5, ALL])
def test_odd_settings_of_the_trainer(told: Told, model: str, count: int) -> None:
    refused = (REFUSED_BY_ALL + (REFUSED_BY_OURS if model.endswith("Descent") else "")).split()
    for setting in drawn(refused, count):
        code = told("--trainer.max_epochs=2", f"--trainer.{setting}", model=model)
        assert (code, len(told.lines)) == (2, 1), (setting, told.lines)
        assert not (told.folder / "last.ckpt").exists(), setting
    for setting in drawn(ALLOWED.split(), count - 3):
        folder = f"--trainer.default_root_dir={told.folder}-{setting.partition('=')[0]}"
        words = ["--trainer.max_epochs=2", folder, f"--trainer.{setting}"]
        assert told(*words, model=model) == 0 and not told.lines, setting


@pytest.mark.parametrize("seed", ["-1", str(2**32), str(2**70), "text", ".nan", "1.5", "null", ""])
def test_odd_seeds(told: Told, seed: str) -> None:
    assert told("--seed_everything", seed) == 2
    assert len(told.lines) == 1 and "seed_everything" in told.last


def test_a_trial_in_a_run_folder_changes_nothing(told: Told) -> None:
    assert told() == 0
    before = content(told.folder)
    assert told("--trainer.fast_dev_run=2", "--model.rate=0.3") == 0
    assert content(told.folder) == before


# --- validate and test ----------------------------------------------------------------------------


def test_a_module_without_the_loop_is_told_what_to_use(told: Told) -> None:
    assert told() == 0
    assert told(command="test") == 2
    assert "'worldplan validate'" in told.last and "'worldplan evaluate'" in told.last
    assert told(command="test", model=f"{KIT}.Foreign") == 2 and "no test_step" in told.last
    assert told(command="validate", model=f"{HERE}.Shuffled") == 2
    assert len(told.lines) == 1 and "no validation_step" in told.last


def test_validation_takes_the_state_of_the_folder(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(command="validate") == 2
    assert len(told.lines) == 1 and "needs a trained module" in told.last
    assert told() == 0
    distance = pd.read_csv(told.folder / "metrics.csv")["distance"].iloc[-1]
    words = ["--trainer.default_root_dir", str(told.folder), "--model", f"{KIT}.Descent"]
    assert main(["validate", *words]) == 0
    printed = capsys.readouterr()
    assert f"{distance:.6f}"[:6] in printed.out
    assert printed.err.splitlines() == [f"--ckpt_path {told.folder / 'last.ckpt'}"]
    assert main(["validate", *words, "--model.rate=0.3"]) == 2
