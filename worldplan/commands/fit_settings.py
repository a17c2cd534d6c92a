"""Settings of `worldplan fit|validate|test` that are refused before anything is done."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import Namespace
from lightning.pytorch.utilities.model_helpers import is_overridden

from worldplan.commands.fit_trainer import check_trainer_names
from worldplan.milp.errors import CheckpointError, ConfigError, WorldplanError, one_line
from worldplan.near_files import near_path
from worldplan.world_models.training.checkpoints import load_tensors, reading_checkpoint
from worldplan.world_models.training.journal import LAST
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.saved import Saved

_LONGEST_NAME = 255  # bytes of a file name, on Linux
_LONGEST = 300  # characters of Lightning's text
_ABOVE_ZERO = (
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "gradient_clip_val",
    "log_every_n_steps",
    "val_check_interval",
)
_STEPS = {"validate": "validation_step", "test": "test_step"}


def _check_sections(config: Any) -> None:
    for name in ("trainer", "journal"):
        if not isinstance(section := config[name], Namespace):
            raise ConfigError(
                f"{name} is {section!r:.60}: give its settings as 'name: value' lines"
            )


def check_settings(config: Any, subcommand: str) -> None:
    """Check settings of the trainer that it would take without a word, and fill in its length.

    Raises:
        ConfigError: a setting is out of range, a name is unknown, or there is a second journal.
    """
    _check_sections(config)
    trainer = config["trainer"]
    if trainer.get("max_epochs") is None:
        trainer["max_epochs"] = -1  # for Lightning, no number means 1000
    if subcommand == "fit":
        for name in ("max_epochs", "max_steps", "limit_train_batches"):
            if trainer.get(name) == 0:
                raise ConfigError(f"trainer.{name} is 0: nothing would be trained: leave it out")
    check_trainer_names(trainer)
    for name in _ABOVE_ZERO:
        value = trainer.get(name)
        if isinstance(value, (int, float)) and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"trainer.{name} is {value}: give a number above 0, or leave it out")
    if trainer.get("enable_checkpointing") is False or trainer.get("barebones"):
        raise ConfigError(
            "trainer.enable_checkpointing and trainer.barebones: every training is saved so that "
            "it can be resumed: leave them out"
        )
    if config.get("journal.folder") is not None:
        raise ConfigError(
            "journal.folder: the files of a training are in trainer.default_root_dir: "
            "set that, and leave journal.folder out"
        )
    for callback in callbacks_of(trainer):
        if str(callback.get("class_path", "")).endswith(".Journal"):
            raise ConfigError(
                "trainer.callbacks: every training has a Journal: leave it out "
                "(--journal.every N sets how often it saves)"
            )


def callbacks_of(trainer: Any) -> list[Any]:
    """The settings of the callbacks: of none, one or several."""
    callbacks = trainer.get("callbacks") or []
    return callbacks if isinstance(callbacks, list) else [callbacks]


@contextmanager
def refused_settings() -> Iterator[None]:
    """Report what a trainer refuses when it is made in the block under `with`.

    Raises:
        ConfigError: a setting is wrong, or needs a package or device that is not here.
    """
    try:
        yield
    except Exception as error:  # Lightning raises many types, all for settings
        if isinstance(error, WorldplanError):
            raise
        raise ConfigError(f"trainer: {one_line(error, _LONGEST)}") from error


def read_state(path: str | Path) -> Saved:
    """The content of --ckpt_path.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no weights.
    """
    file = Path(path)
    if "\0" in str(path) or len(file.name.encode()) > _LONGEST_NAME:
        raise CheckpointError("--ckpt_path: not the name of a file: check the path")
    if file.is_dir():
        raise CheckpointError(f"--ckpt_path {path}: a folder: give a file, such as {file / LAST}")
    if not file.exists():
        raise CheckpointError(
            f"--ckpt_path {path}: no such file{near_path(path)}: check the path, or leave the "
            "option out to begin anew"
        )
    if not file.is_file():
        raise CheckpointError(f"--ckpt_path {path}: not a regular file: check the path")
    kind = "the whole state of a training"
    with reading_checkpoint(path, kind, "'worldplan fit'"):
        content = load_tensors(path)
    saved = Saved(file, content if isinstance(content, Mapping) else {})
    if not isinstance(saved.content.get("state_dict"), Mapping):
        raise CheckpointError(f"{path}: not {kind} (no weights): train again or restore a copy")
    return saved


def require_loop(module: L.LightningModule, subcommand: str) -> None:
    """Check that a module has what `worldplan validate` or `worldplan test` runs.

    Raises:
        ConfigError: it has not; says what to use.
    """
    step, name = _STEPS[subcommand], type(module).__name__
    if is_overridden(step, module):
        return
    if isinstance(module, ResumableModule):
        raise ConfigError(
            f"{name} has no test of its own: its checks are 'worldplan validate', "
            "episodes with the trained policy are 'worldplan evaluate'"
        )
    raise ConfigError(f"{name} has no {step}: define one to use 'worldplan {subcommand}'")


def evaluated_checkpoint(folder: Path, module: L.LightningModule, subcommand: str) -> Saved | None:
    """The state that is evaluated where --ckpt_path is not given: that of the folder, else, said on
    stderr, the weights that a module of another project begins with.

    Raises:
        CheckpointError: nothing was trained in the folder.
    """
    last = folder / LAST
    if last.exists():
        print(f"--ckpt_path {last}", file=sys.stderr)  # noqa: T201
        return read_state(last)
    if isinstance(module, ResumableModule):
        raise CheckpointError(
            f"{last}: no such file: 'worldplan {subcommand}' needs a trained module: "
            "train it with 'worldplan fit', or give --ckpt_path"
        )
    print(f"{last}: no such file: the weights are not trained", file=sys.stderr)  # noqa: T201
    return None
