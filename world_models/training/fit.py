"""One call that trains a module into a folder, and continues there when it was interrupted."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from pathlib import Path
from typing import Protocol, cast

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.training.checkpoints import saved_entry
from worldplan.world_models.training.journal import Journal

DONE = "done"


class Resumable(Protocol):
    """A LightningModule whose checkpoints hold "made_with"."""

    def made_with(self) -> str:
        """What the training depends on: task, settings, seed."""
        ...


def fit_resumably(
    module: Resumable,
    folder: Path,
    *,
    epochs: int = -1,
    check_every: int = 10,
    save_every: int = 10,
    accelerator: str = "cpu",
    progress: bool = False,
) -> Path:
    """Train for `epochs` epochs, or until the module itself stops (-1), and return
    `folder`/last.ckpt.

    Finished work is not repeated, and interrupted work continues from the last saved epoch with the
    same result as an unbroken run (same seed, CPU). Metrics go to `folder`/metrics.csv. Raises
    CheckpointError if last.ckpt is damaged or of another training, Diverged on a loss that is not
    finite.
    """
    journal = Journal(folder, save_every)
    if epochs < 1 and epochs != -1:
        raise ConfigError(
            f"epochs {epochs}: must be at least 1, or -1 for a training that ends by itself"
        )
    resumed = journal.last.exists()
    if resumed:
        if saved_entry(journal.last, "made_with") != module.made_with():
            reason = "comes from another task, other settings or another seed"
            raise CheckpointError(
                f"{journal.last}: {reason}: choose another folder, or delete this one to train again"
            )
        if _finished(folder, epochs):
            return journal.last
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    callbacks: list[L.Callback] = [
        journal,
        *([TQDMProgressBar(refresh_rate=5)] if progress else []),
    ]
    trainer = L.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        logger=False,
        callbacks=callbacks,
        check_val_every_n_epoch=check_every,
        num_sanity_val_steps=0,
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        handler = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(
                cast(L.LightningModule, module),
                ckpt_path=str(journal.last) if resumed else None,
                weights_only=True,
            )
        except (
            SystemExit
        ) as stopped:  # what Lightning makes of Ctrl-C, which it ignores from then on
            if not trainer.interrupted:
                raise
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from stopped
    (folder / DONE).write_text(f"{epochs}\n", encoding="utf-8")
    return journal.last


def _finished(folder: Path, epochs: int) -> bool:
    """Whether a finished training is there that was at least as long; -1 is the longest."""
    done = folder / DONE
    if not done.exists():
        return False
    length = int(done.read_text(encoding="utf-8"))
    return length == epochs if epochs == -1 else length >= epochs
