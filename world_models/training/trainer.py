"""One call that trains a module into a folder, and resumes there after an interruption."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loggers import Logger

from worldplan.milp.errors import ConfigError
from worldplan.world_models.training.bar import TrainingBar
from worldplan.world_models.training.failures import named_failures
from worldplan.world_models.training.journal import LAST, Journal
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.saved import DONE, Length, Saved, held, mark_finished

# the same for every training of this project; a module sets its own length and checks
TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "max_epochs": -1,
    "num_sanity_val_steps": 0,
    "logger": False,
    "enable_model_summary": False,
}


def fit(
    module: ResumableModule,
    folder: str | Path,
    *,
    save_every: int | None = None,
    accelerator: str = "cpu",
    progress: bool = False,
    callbacks: Sequence[L.Callback] = (),
    loggers: Sequence[Logger] = (),
    fresh: bool = False,
) -> Path:
    """Train `module` to its end in `folder`, and return the file of the result.

    A finished training is not repeated. An interrupted one resumes from `folder`/last.ckpt with the
    result of an unbroken one (same seed, CPU). Metrics of every epoch go to `folder`/metrics.csv.

    Args:
        module: the training; defines its length and its result.
        folder: of metrics, state and result; one process at a time trains in it.
        save_every: epochs between two checkpoints; the module's `check_every` if None.
        accelerator: Lightning's name of the device: "cpu", "gpu" or "auto".
        progress: show a progress bar.
        callbacks: further Lightning callbacks. A training that one of them stops has finished; one
            that a `Timer` stops continues with a longer one.
        loggers: of Lightning, such as TensorBoardLogger, which get the metrics too.
        fresh: begin anew; the folder as it is becomes `folder`-before-TIME.

    Returns:
        `folder`/RESULT: ensemble.ckpt, best.ckpt or last.ckpt, as the module defines.

    Raises:
        CheckpointError: last.ckpt is damaged, or comes from other data, settings or seed.
        ConfigError: the device does not exist, or a callback changes how the module trains.
        Diverged: a loss is not finite; names the last good checkpoint.
        FolderInUse: another process trains in the folder.
        KeyboardInterrupt: Ctrl-C; what was saved is kept.
        OSError: the folder cannot be written to, or the disk is full.
    """
    folder = Path(folder)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    bars = [TrainingBar()] if progress else []
    with named_failures():
        trainer = L.Trainer(
            **TRAINER | {"accelerator": accelerator, "logger": list(loggers)},
            default_root_dir=folder,
            callbacks=[*bars, *callbacks, Journal(folder, save_every)],
            enable_progress_bar=progress,
        )
    result, _ = train(trainer, module, folder, fresh=fresh)
    return result


def train(
    trainer: L.Trainer,
    module: L.LightningModule,
    folder: Path,
    *,
    fresh: bool = False,
    start: Callable[[Saved | None], str | None] | None = None,
    data: L.LightningDataModule | None = None,
) -> tuple[Path, bool]:
    """Train with a trainer that has a `Journal` of this folder, unless the training has finished.

    Args:
        trainer: of one training.
        module: a `ResumableModule`, or any other.
        folder: of metrics, state and result.
        fresh: begin anew; the folder as it is becomes `folder`-before-TIME.
        start: called with what the folder holds, after a `ResumableModule` has compared its
            origin; raises to refuse it, or returns the checkpoint to begin from (None: at the
            start, or from the folder's own).
        data: the data of a module that has none.

    Returns:
        The file of the result, and whether it was there before.

    Raises:
        CheckpointError: last.ckpt is damaged, or comes from other data, settings or seed.
        ConfigError: the trainer does not serve for the module, or trains nothing.
        FolderInUse: another process trains in the folder.
        KeyboardInterrupt: Ctrl-C; its text says what is kept.
        OSError: the folder cannot be written to, or the disk is full.
    """
    result = folder / getattr(module, "RESULT", LAST)
    if isinstance(module, ResumableModule):
        module.check_trainer(trainer)
    epoch_timers(trainer, module)
    if not fresh and (folder / DONE).exists():  # also in a folder that nobody may write to
        saved, _ = _look(trainer, module, folder, start)
        if saved is not None and saved.is_finished(Length.of(trainer, module)) and result.exists():
            return result, True
    # other processes of the same training (several devices) work in the folder of the first
    hold = held(folder, fresh) if trainer.is_global_zero else nullcontext()
    with interruptible(trainer, folder, fresh), hold:
        saved, checkpoint = _look(trainer, module, folder, start)
        if saved is not None:
            if saved.is_finished(Length.of(trainer, module)) and result.exists():
                return result, True
            checkpoint = str(saved.last)
        if trainer.is_global_zero:
            (folder / DONE).unlink(missing_ok=True)
        _run(trainer, module, folder, data, checkpoint)
        journal = next(item for item in trainer.checkpoint_callbacks if isinstance(item, Journal))
        if isinstance(module, ResumableModule) and not result.exists():
            module.export(folder)  # a complete training whose result was deleted
        if trainer.is_global_zero:
            mark_finished(folder, journal.stopped)
    return result, False


def _look(
    trainer: L.Trainer,
    module: L.LightningModule,
    folder: Path,
    start: Callable[[Saved | None], str | None] | None,
) -> tuple[Saved | None, str | None]:
    """What the folder holds of this training, and the checkpoint from which a new one begins."""
    saved = Saved.find(folder)
    if saved is not None and isinstance(module, ResumableModule):
        module.require_origin(saved.content.get("made_with"), saved.last)
    if saved is not None:
        saved.require_whole()
    if saved is not None and isinstance(module, ResumableModule):
        module.require_epochs(saved.content.get("made_with"), saved.epochs, saved.last)
    return saved, None if start is None else start(saved)


def _run(
    trainer: L.Trainer,
    module: L.LightningModule,
    folder: Path,
    data: L.LightningDataModule | None,
    checkpoint: str | None,
) -> None:
    """Train to the end.

    Raises:
        ConfigError: nothing was saved, because there is nothing to train on.
    """
    with warnings.catch_warnings(), named_failures(checkpoint):
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if not (folder / LAST).exists():
        raise ConfigError(
            f"{folder}: nothing was trained: there was no batch or no time for an epoch "
            "(trainer.limit_train_batches, trainer.max_time, the module's data)"
        )


def epoch_timers(trainer: L.Trainer, module: L.LightningModule) -> None:
    """Let timers end a `ResumableModule` between epochs: half an epoch cannot be resumed."""
    if not isinstance(module, ResumableModule):
        return
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped
    for place, timer in enumerate(callbacks):
        if type(timer) is Timer and (left := timer.time_remaining()) is not None:
            duration = timedelta(seconds=left + timer.time_elapsed())
            callbacks[place] = Timer(duration, interval="epoch")


@contextmanager
def interruptible(trainer: L.Trainer, folder: Path, fresh: bool = False) -> Iterator[None]:
    """Turn the SystemExit that Lightning makes of Ctrl-C back into a KeyboardInterrupt, whose text
    says what is kept in the folder of the training.

    Lightning also leaves SIGINT without effect: the handler that was there before is restored.

    Raises:
        KeyboardInterrupt: the training was interrupted.
        SystemExit: something else ended the process.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stopped:
        if not trainer.interrupted:
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt(_what_is_kept(folder, fresh)) from stopped
    except KeyboardInterrupt as stopped:  # before Lightning began, or after its end
        raise KeyboardInterrupt(_what_is_kept(folder, fresh)) from stopped


def _what_is_kept(folder: Path, fresh: bool) -> str:
    command = "the same command without --fresh" if fresh else "the same command"
    if (folder / LAST).exists():
        return f"interrupted: {folder / LAST} is kept, {command} continues from it"
    return f"interrupted before anything was saved: {command} begins again"
