"""`worldplan fit|validate|test`: LightningCLI over every learned part, with run folders like all other commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningCLI, SaveConfigCallback

from worldplan.runs import versions, write_json


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
    return LightningCLI(
        L.LightningModule,
        subclass_mode_model=True,
        save_config_callback=RunFolder,
        save_config_kwargs={"overwrite": True},
        seed_everything_default=0,
        args=list(arguments),
    )
