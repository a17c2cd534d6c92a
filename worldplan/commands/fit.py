"""`worldplan fit|validate|test`: LightningCLI over every learned part, with run folders like all
other commands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from jsonargparse import ArgumentError
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from worldplan.arguments import own_error, shorten
from worldplan.milp.errors import ConfigError
from worldplan.output.plots import learning_curve
from worldplan.runs import METRICS, SEED, VERSIONS, read_config, versions, write_json, write_text
from worldplan.world_models.training.journal import Journal


class RunFolder(SaveConfigCallback):
    """Makes the trainer's log folder a run folder: config.yaml, versions.json, seed, and at the end
    plots of the metrics.

    The record is written when training begins, not in `setup`: by then whatever may refuse to train
    into this folder has done so.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Too early."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """All is restored and checked."""
        self.save_to_log_dir = trainer.log_dir is not None
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.log_dir is not None:
            write_json(Path(trainer.log_dir) / VERSIONS, versions())
            seed = self.config.get(
                "seed_everything", 0
            )  # true stands for Lightning's own choice, 0 in these commands
            write_text(Path(trainer.log_dir) / SEED, f"{int(seed) if seed is not True else 0}\n")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.log_dir is None:
            return
        folder = Path(trainer.log_dir)
        found = next(
            (
                file
                for file in (folder / METRICS, folder / "checkpoints" / METRICS)
                if file.is_file()
            ),
            None,
        )
        if found is not None:
            table = pd.read_csv(found)
            if "step" not in table:
                table = table.rename(columns={"epoch": "step"})
            learning_curve(table, folder / "plots" / "learning_curve.png")


def fit(argv: Sequence[str]) -> int:
    """Entry of `worldplan fit`."""
    lightning_main(["fit", *argv])
    return 0


def validate(argv: Sequence[str]) -> int:
    """Entry of `worldplan validate`."""
    lightning_main(["validate", *argv])
    return 0


def test(argv: Sequence[str]) -> int:
    """Entry of `worldplan test`."""
    lightning_main(["test", *argv])
    return 0


def lightning_main(arguments: Sequence[str]) -> Any:
    """Build trainer and module from YAML and dotted overrides, and run the subcommand."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in ("-c", "--config") or word.startswith("--config="):
            read_config(
                word.partition("=")[2] or following
            )  # one clear line for a missing or malformed file
    try:
        return _PlainCLI(
            L.LightningModule,
            subclass_mode_model=True,
            save_config_callback=RunFolder,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            args=None if list(arguments) == sys.argv[1:] else list(arguments),
        )
    except (ArgumentError, ValueError) as error:
        cause = own_error(error)
        if cause is not None:
            raise cause from error
        if not isinstance(error, ArgumentError):
            raise
        raise ConfigError(shorten(str(error))) from error


class _PlainCLI(LightningCLI):
    """LightningCLI whose parsers raise instead of printing their usage and leaving."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = super().init_parser(**{"prog": "worldplan", **kwargs})
        parser.exit_on_error = False
        return parser

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Without a last epoch, a bar that does not count up to it."""
        trainer = super().instantiate_trainer(**kwargs)
        if trainer.max_epochs == -1:
            callbacks = trainer.callbacks  # type: ignore[attr-defined]
            callbacks[:] = [
                TQDMProgressBar() if type(callback) is RichProgressBar else callback
                for callback in callbacks
            ]
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except SystemExit as stop:  # so Lightning leaves after Ctrl-C
            if not self.trainer.interrupted:
                raise
            raise KeyboardInterrupt(_how_to_continue(self.trainer)) from stop


def _how_to_continue(trainer: L.Trainer) -> str:
    for callback in trainer.checkpoint_callbacks:
        last = (
            callback.last
            if isinstance(callback, Journal)
            else Path(getattr(callback, "last_model_path", ""))
        )
        if last.is_file():
            return f"interrupted: continue with the same command and --ckpt_path {last}"
    return "interrupted before anything was saved: the same command begins again"
