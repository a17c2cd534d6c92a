"""One call that trains SEQUOIA into a folder, and continues there when it was interrupted."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

from envs.bandits import BanditInstance
from milp.solvers import SolverSettings
from planners.sequoia import SequoiaSettings
from planners.sequoia_training import SequoiaModule

DONE = "done"


def fit_sequoia(
    instance: BanditInstance, settings: SequoiaSettings, folder: Path, *, seed: int = 0, solver: SolverSettings | None = None, progress: bool = False
) -> Path:
    """Train until done and return `folder`/best.ckpt, the weights with the best check.

    Finished work is not repeated, and interrupted work continues from `folder`/last.ckpt with the same result as an
    unbroken run (same seed, CPU). Metrics go to `folder`/metrics.csv.
    """
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    if (folder / DONE).exists() and best.exists():
        return best
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # small networks: more threads are slower
    module = SequoiaModule(instance, settings, seed, solver)
    trainer = make_trainer(settings, folder, progress=progress)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    (folder / DONE).write_text("training is complete\n", encoding="utf-8")
    return best


def make_trainer(settings: SequoiaSettings, folder: Path, *, progress: bool) -> L.Trainer:
    """A CPU trainer that checks every `check_every` steps and keeps the best and the last state."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    total = settings.pretrain_steps + settings.updates
    keep = ModelCheckpoint(dirpath=folder, filename="best", monitor="val/reward", mode="max", save_top_k=1, enable_version_counter=False)
    resume = ModelCheckpoint(dirpath=folder, filename="last", every_n_train_steps=min(250, settings.check_every), enable_version_counter=False)
    callbacks: list[L.Callback] = [keep, resume]
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    return L.Trainer(
        accelerator="cpu", devices=1, max_steps=total, logger=CSVLogger(folder.parent, name=folder.name, version="", flush_logs_every_n_steps=100),
        callbacks=callbacks, val_check_interval=min(settings.check_every, total), check_val_every_n_epoch=None, num_sanity_val_steps=0,
        enable_progress_bar=progress, enable_model_summary=False, log_every_n_steps=50, gradient_clip_val=5.0,
    )  # fmt: skip
