"""One call that trains reach-aware value learning into a folder, and continues there when it was interrupted."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from milp.errors import CheckpointError, ConfigError
from planners.reach_aware_training import ReachAwareModule
from planners.training_journal import Journal
from world_models.saved_state import saved_entry

DONE = "done"


def fit_reach_aware(
    module: ReachAwareModule,
    folder: Path,
    *,
    epochs: int,
    check_every: int = 10,
    save_every: int = 10,
    accelerator: str = "cpu",
    progress: bool = False,
) -> Path:
    """Train for `epochs` epochs and return `folder`/last.ckpt.

    Finished work is not repeated, and interrupted work continues from the last saved epoch with the same result as an unbroken run
    (same seed, CPU). Metrics go to `folder`/metrics.csv. Raises CheckpointError if last.ckpt is damaged or of another training,
    Diverged on a loss that is not finite.
    """
    journal = Journal(folder, save_every)
    if epochs < 1:
        raise ConfigError(f"epochs {epochs}: must be at least 1")
    resumed = journal.last.exists()
    if resumed:
        if saved_entry(journal.last, "made_with") != module.made_with():
            reason = "comes from another task, other settings or another seed"
            raise CheckpointError(f"{journal.last}: {reason}: choose another folder, or delete this one to train again")
        if _epochs_done(folder) >= epochs:
            return journal.last
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    callbacks: list[L.Callback] = [journal, *([TQDMProgressBar(refresh_rate=5)] if progress else [])]
    trainer = L.Trainer(
        accelerator=accelerator, devices=1, max_epochs=epochs, logger=False, callbacks=callbacks,
        check_val_every_n_epoch=check_every, num_sanity_val_steps=0, enable_progress_bar=progress, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, ckpt_path=str(journal.last) if resumed else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    (folder / DONE).write_text(f"{epochs}\n", encoding="utf-8")
    return journal.last


def _epochs_done(folder: Path) -> int:
    """How long a finished training was; 0 for an unfinished one."""
    done = folder / DONE
    return int(done.read_text(encoding="utf-8")) if done.exists() else 0
