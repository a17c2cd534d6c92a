"""Metrics and state of a training, written together so that it resumes to the same result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from lightning.pytorch.callbacks import Checkpoint, Timer

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.seeds import random_states, restore_random_states

LAST, METRICS = "last.ckpt", "metrics.csv"


class Journal(Checkpoint):
    """Writes, at the end of every `every`-th epoch, the result, metrics.csv and last.ckpt.

    Each file is replaced in one move, the state last: after a kill in between, the epoch is
    repeated with the same result. The rows of metrics.csv are part of the checkpoint, and for a
    module that is no `ResumableModule` the states of the global random number generators. Lightning
    calls a `Checkpoint` after all other callbacks, so validation and logging are complete. A trial
    (`fast_dev_run`) writes nothing. An epoch of a `ResumableModule` that a callback cut short is
    not saved: it is repeated when the training resumes.

    Attributes:
        rows: of metrics.csv.
        stopped: whether the module or a callback ended the training, not its length or its time.

    Args:
        folder: of the files; the trainer's `default_root_dir` if None.
        every: epochs between two checkpoints; the module's `check_every` if None, 1 for a module
            that has none.

    Raises:
        ConfigError: `every` is below 1.
    """

    def __init__(self, folder: str | Path | None = None, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ConfigError(f"every {every}: must be at least 1")
        self._folder, self.every = None if folder is None else Path(folder), every
        self.rows: list[dict[str, float]] = []
        self.stopped = False
        self._keeps_random = False
        self._optimizers: int | None = None  # in the checkpoint that is resumed

    @property
    def folder(self) -> Path:
        """The folder of the files.

        Raises:
            ConfigError: no folder was given, and no trainer has used this callback.
        """
        if self._folder is None:
            raise ConfigError("Journal: give a folder, or use it in a trainer")
        return self._folder

    @property
    def last(self) -> Path:
        """The state from which the training resumes."""
        return self.folder / LAST

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, whether that is all, and random states of a module that needs them."""
        state: dict[str, Any] = {"rows": self.rows, "stopped": self.stopped}
        return state | {"random": random_states()} if self._keeps_random else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what the run that is resumed has saved."""
        self.rows = list(state_dict["rows"])
        self.stopped = bool(state_dict.get("stopped", False))
        if "random" in state_dict:
            restore_random_states(state_dict["random"])

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the name of the module's class."""
        checkpoint["module"] = type(pl_module).__qualname__

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Count the optimizers: Lightning leaves out those that only one side has."""
        self._optimizers = len(checkpoint.get("optimizer_states", ()))

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Take what was not given from the trainer and the module."""
        if self._folder is None:
            self._folder = Path(trainer.default_root_dir)
        if self.every is None:
            self.every = getattr(pl_module, "check_every", 1)
        self._keeps_random = not _is_resumable(pl_module)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse to replace a training by a new one, or to resume with other optimizers.

        Raises:
            CheckpointError: the folder holds a checkpoint that is not being resumed, or the one
                that is has another number of optimizers.
        """
        there = len(trainer.optimizers)
        if self._optimizers not in (None, there):
            raise CheckpointError(
                f"{trainer.ckpt_path}: holds {self._optimizers} optimizers, but the module has "
                f"{there}: choose the checkpoint of the same module, or begin anew"
            )
        if self.last.exists() and trainer.ckpt_path is None and not is_trial(trainer):
            raise CheckpointError(
                f"{self.last} exists: continue it with ckpt_path={str(self.last)!r}, "
                "or delete it, or choose another folder"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no further where a callback had stopped the run that is resumed."""
        if self.stopped:
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drop the metrics of earlier checks: a row holds what was measured in its epoch."""
        trainer.callback_metrics.clear()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add a row; write the files if they are due."""
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        if _is_resumable(pl_module) and batches < trainer.num_training_batches:
            return
        epoch = trainer.current_epoch + 1
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        self.rows.append({"epoch": epoch, **metrics})
        self.stopped = trainer.should_stop and not _time_is_up(trainer)
        due = epoch % (self.every or 1) == 0
        last = epoch == trainer.max_epochs or 0 < trainer.max_steps <= trainer.global_step
        if is_trial(trainer) or not (due or last or trainer.should_stop):
            return
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.last, weights_only=False)  # takes part, writes nothing
            return
        export: Callable[[Path], None] | None = getattr(pl_module, "export", None)
        if export is not None:
            export(self.folder)
        table = pd.DataFrame(self.rows)
        replace_file(self.folder / METRICS, lambda draft: table.to_csv(draft, index=False))
        replace_file(self.last, lambda draft: trainer.save_checkpoint(draft, weights_only=False))


def _is_resumable(module: L.LightningModule) -> bool:
    """Whether the random numbers of an epoch depend on seed and epoch alone."""
    return hasattr(module, "made_with")


def _time_is_up(trainer: L.Trainer) -> bool:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped
    left = [callback.time_remaining() for callback in callbacks if isinstance(callback, Timer)]
    return any(seconds is not None and seconds <= 0 for seconds in left)


def is_trial(trainer: L.Trainer) -> bool:
    """Whether the trainer only tries a batch out (`fast_dev_run`), and nothing is to be written."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]  # set outside its class
