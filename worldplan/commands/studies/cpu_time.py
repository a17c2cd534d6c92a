"""CPU time of a training, counted over all processes that resumed it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning as L

from worldplan.world_models.training.checkpoints import saved_entry


def cpu_seconds() -> float:
    """CPU time of this process, all its threads, and its children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


class CpuTime(L.Callback):
    """Keeps the CPU time of a training in its checkpoints. Work that an interruption lost is not
    counted, so a resumed training has the time of an unbroken one.
    """

    def __init__(self) -> None:
        self.before, self.began = 0.0, cpu_seconds()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin to count."""
        self.began = cpu_seconds()

    def state_dict(self) -> dict[str, Any]:
        """The CPU seconds up to here."""
        return {"seconds": self.before + cpu_seconds() - self.began}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the CPU seconds of the training that is resumed."""
        self.before = float(state_dict["seconds"])


def training_seconds(checkpoint: Path) -> float:
    """The CPU time of a training with `CpuTime`, up to its checkpoint.

    Raises:
        CheckpointError: the checkpoint is damaged, or was written without `CpuTime`.
    """
    return float(saved_entry(checkpoint, "callbacks", CpuTime().state_key, "seconds"))
