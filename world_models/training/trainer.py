"""One call that trains a module into a folder, and resumes there after an interruption."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.checkpoints import saved_entry
from worldplan.world_models.training.journal import LAST, Journal
from worldplan.world_models.training.module import ResumableModule

DONE = "done"
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
) -> Path:
    """Train `module` to its end in `folder`, and return the file of the result.

    A finished training is not repeated. An interrupted one resumes from `folder`/last.ckpt with the
    result of an unbroken one (same seed, CPU). Metrics of every epoch go to `folder`/metrics.csv.

    Args:
        module: the training; defines its length and its result.
        folder: of metrics, state and result.
        save_every: epochs between two checkpoints; the module's `check_every` if None.
        accelerator: Lightning's name of the device: "cpu", "gpu" or "auto".
        progress: show a progress bar.
        callbacks: further Lightning callbacks. A training that one of them stops has finished.

    Returns:
        `folder`/RESULT: ensemble.ckpt, best.ckpt or last.ckpt, as the module defines.

    Raises:
        CheckpointError: last.ckpt is damaged, or comes from other data, settings or seed.
        Diverged: a loss is not finite; names the last good checkpoint.
        KeyboardInterrupt: Ctrl-C; what was saved is kept.
    """
    folder = Path(folder)
    result, last = folder / module.RESULT, folder / LAST
    resumed = last.exists()
    if resumed:
        module.require_origin(_origin_of(last), last)
        if _finished(folder, module.epochs) and result.exists():
            return result
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    bars = [TQDMProgressBar(refresh_rate=5)] if progress else []
    trainer = L.Trainer(
        **TRAINER | {"accelerator": accelerator},
        default_root_dir=folder,
        callbacks=[*bars, *callbacks, Journal(folder, save_every)],
        enable_progress_bar=progress,
    )
    with warnings.catch_warnings(), interruptible(trainer):
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, ckpt_path=str(last) if resumed else None, weights_only=True)
    if not result.exists():  # a complete training whose result was deleted
        module.export(folder)
    length = f"{module.epochs or -1}\n"
    replace_file(folder / DONE, lambda draft: draft.write_text(length, encoding="utf-8"))
    return result


@contextmanager
def interruptible(trainer: L.Trainer) -> Iterator[None]:
    """Turn the SystemExit that Lightning makes of Ctrl-C back into a KeyboardInterrupt.

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
        raise KeyboardInterrupt from stopped


def _origin_of(last: Path) -> Any:
    """The origin in a checkpoint; None if an older worldplan wrote the file."""
    checkpoint = saved_entry(last)
    return checkpoint.get("made_with") if isinstance(checkpoint, dict) else None


def _finished(folder: Path, epochs: int | None) -> bool:
    """Whether a finished training of at least this length is in `folder`."""
    done = folder / DONE
    if not done.exists():
        return False
    length = int(done.read_text(encoding="utf-8"))
    return epochs is None or length == -1 or length >= epochs
