"""Keeps a training's metrics and state together, so that an interrupted one goes on as if nothing
had happened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from lightning.pytorch.callbacks import Checkpoint

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.storage import replace_file


class Journal(Checkpoint):
    """At every `every`-th epoch's end: one row into metrics.csv, then the whole state into
    last.ckpt, each replaced in one move.

    The rows are part of the checkpoint: a killed run has the table of an unbroken one. A
    `Checkpoint` comes after all other callbacks. Without `folder` the trainer's default_root_dir is
    taken.
    """

    def __init__(self, folder: str | Path | None = None, every: int = 1) -> None:
        if every < 1:
            raise ConfigError(f"every {every}: must be at least 1")
        self._folder, self.every = None if folder is None else Path(folder), every
        self.rows: list[dict[str, float]] = []

    @property
    def folder(self) -> Path:
        """Where metrics and state are."""
        if self._folder is None:
            raise ConfigError("Journal: without a folder of its own it has one only in a trainer")
        return self._folder

    @property
    def last(self) -> Path:
        """The state to continue from."""
        return self.folder / "last.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The rows of the run that is continued."""
        self.rows = list(state_dict["rows"])

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The folder, before anybody asks for it."""
        if self._folder is None:
            self._folder = Path(trainer.default_root_dir)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do not replace an unfinished training by a new one."""
        if self.last.exists() and trainer.ckpt_path is None:
            raise CheckpointError(
                f"{self.last} exists: continue it with --ckpt_path {self.last}, or delete it, or choose another folder"
            )

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Figures of an earlier check are not those of this epoch."""
        trainer.callback_metrics.clear()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """After validation and logging."""
        epoch = trainer.current_epoch + 1
        self.rows.append(
            {
                "epoch": epoch,
                **{name: float(value) for name, value in sorted(trainer.callback_metrics.items())},
            }
        )
        if epoch % self.every and epoch != trainer.max_epochs and not trainer.should_stop:
            return
        replace_file(
            self.folder / "metrics.csv",
            lambda draft: pd.DataFrame(self.rows).to_csv(draft, index=False),
        )
        replace_file(self.last, lambda draft: trainer.save_checkpoint(draft, weights_only=False))
