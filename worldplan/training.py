"""`worldplan fit|validate|test`: LightningCLI over every learned part, with run folders like all other commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import lightning as L
from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from milp.errors import ConfigError, WorldplanError
from worldplan.runs import read_config, versions, write_json
from worldplan.scenario import shorten


class RunFolder(SaveConfigCallback):
    """Writes config.yaml and versions.json into the trainer's log folder (the run folder)."""

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        from pathlib import Path

        if trainer.log_dir is not None:
            write_json(Path(trainer.log_dir) / "versions.json", versions())

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.save_to_log_dir = True
        super().setup(trainer, pl_module, stage)


def lightning_main(arguments: Sequence[str]) -> Any:
    """Build trainer and module from YAML and dotted overrides, and run the subcommand."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in ("-c", "--config") or word.startswith("--config="):
            read_config(word.partition("=")[2] or following)  # one clear line for a missing or malformed file
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
        cause: BaseException | None = error  # jsonargparse wraps what a class says about its own settings
        while cause is not None and not isinstance(cause, WorldplanError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from error
        if not isinstance(error, ArgumentError):
            raise
        raise ConfigError(shorten(str(error))) from error


class _PlainCLI(LightningCLI):
    """LightningCLI whose parsers raise instead of printing their usage and leaving."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = super().init_parser(**kwargs)
        parser.exit_on_error = False
        return parser
