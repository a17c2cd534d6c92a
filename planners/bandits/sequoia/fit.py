"""One call that trains SEQUOIA into a folder, and continues there when it was interrupted."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.planner import SequoiaSettings
from worldplan.planners.bandits.sequoia.training import SequoiaModule
from worldplan.world_models.training.checkpoints import save_tensors, saved_entry

DONE = "done"


def fit_sequoia(
    instance: BanditInstance,
    settings: SequoiaSettings,
    folder: Path,
    *,
    seed: int = 0,
    solver: SolverSettings | None = None,
    progress: bool = False,
) -> Path:
    """Train until done and return `folder`/best.ckpt, the weights with the best check.

    Finished work is not repeated, and interrupted work continues from `folder`/last.ckpt with the
    same result as an unbroken run (same seed, CPU). Metrics go to `folder`/metrics.csv. Raises
    CheckpointError if last.ckpt is damaged.
    """
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    if (folder / DONE).exists() and best.exists():
        return best
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # small networks: more threads are slower
    resumed = last.exists()
    if resumed:
        saved_entry(last, "sequoia")
        _keep_metrics(folder)
    module = SequoiaModule(instance, settings, seed, solver)
    trainer = make_trainer(settings, folder, progress=progress)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, ckpt_path=str(last) if resumed else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    _join_metrics(folder)
    (folder / DONE).write_text("training is complete\n", encoding="utf-8")
    return best


def make_trainer(settings: SequoiaSettings, folder: Path, *, progress: bool) -> L.Trainer:
    """A CPU trainer that checks every `check_every` steps and keeps the best and the last state."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    total = settings.pretrain_steps + settings.updates
    keep = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val/reward",
        mode="max",
        save_top_k=1,
        enable_version_counter=False,
    )
    callbacks: list[L.Callback] = [
        keep,
        SaveLast(folder / "last.ckpt", min(250, settings.check_every)),
    ]
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=total,
        logger=CSVLogger(folder.parent, name=folder.name, version="", flush_logs_every_n_steps=100),
        callbacks=callbacks,
        plugins=[_WholeFiles()],
        val_check_interval=min(settings.check_every, total),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=50,
        gradient_clip_val=5.0,
    )


class SaveLast(Checkpoint):
    """Saves the state every so many steps; where a check is due, after the check, which a resumed
    training would else leave out.

    A `Checkpoint` comes after all other callbacks, and after the checkpoints listed before it: the
    best score is up to date.
    """

    def __init__(self, path: str | Path, every: int = 250) -> None:
        self.path, self.every = Path(path), every

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        check = trainer.val_check_batch
        if trainer.global_step % self.every == 0 and (
            not check or trainer.global_step % check != 0
        ):
            trainer.save_checkpoint(self.path)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            trainer.save_checkpoint(self.path)


class _WholeFiles(TorchCheckpointIO):
    """A checkpoint is replaced in one move: a kill while it is written leaves the one before."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        save_tensors(checkpoint, path)


def _keep_metrics(folder: Path) -> None:
    """Lightning begins metrics.csv anew: put the rows so far aside."""
    if (folder / "metrics.csv").exists():
        number = len(list(folder.glob("metrics.*.part")))
        (folder / "metrics.csv").replace(folder / f"metrics.{number}.part")


def _join_metrics(folder: Path) -> None:
    """One metrics.csv out of the parts; what was done twice gave the same rows twice."""
    parts = sorted(folder.glob("metrics.*.part"))
    if parts:
        tables = [pd.read_csv(path, dtype=str) for path in [*parts, folder / "metrics.csv"]]
        whole = (
            pd.concat(tables)
            .drop_duplicates()
            .sort_values("step", key=pd.to_numeric, kind="stable")
        )
        whole.to_csv(folder / "metrics.csv.part", index=False)
        (folder / "metrics.csv.part").replace(folder / "metrics.csv")
        for path in parts:
            path.unlink()
