"""What a folder holds of a training: nothing, a part of it, or all of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.folders import LOCK, exclusive, path_before
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.checkpoints import saved_entry
from worldplan.world_models.training.journal import LAST

DONE = "done"
_PARTS: dict[str, type] = {
    "state_dict": Mapping,
    "loops": Mapping,
    "callbacks": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
}
_BY_ITSELF = -1  # in the file DONE: the training was ended by its module or a callback


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is to be; a limit that is None does not end it."""

    epochs: int | None
    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, trainer: L.Trainer, module: L.LightningModule) -> Length:
        """The limits of a trainer, and the length of the module if that is less."""
        own: int | None = getattr(module, "epochs", None)
        limit = None if trainer.max_epochs in (None, -1) else trainer.max_epochs
        if own is not None and (limit is None or limit > own):
            limit = own
        timers = [timer for timer in timers_of(trainer) if timer.time_remaining() is not None]
        seconds = [timer.time_elapsed() + (timer.time_remaining() or 0.0) for timer in timers]
        steps = None if trainer.max_steps == -1 else trainer.max_steps
        return cls(limit, steps, min(seconds, default=None))


@dataclass(frozen=True, slots=True)
class Saved:
    """The state of a training in its folder.

    Args:
        last: the checkpoint from which it resumes.
        content: of that file.
    """

    last: Path
    content: Mapping[str, Any]

    @classmethod
    def find(cls, folder: Path) -> Saved | None:
        """The state in a folder, None where nothing was saved.

        Raises:
            CheckpointError: last.ckpt is damaged or cannot be read.
        """
        last = folder / LAST
        if not os.path.lexists(last):
            return None
        content = saved_entry(last)
        remedy = "choose another folder, or begin anew with --fresh"
        if not isinstance(content, Mapping):
            kind = type(content).__name__
            raise CheckpointError(f"{last}: not the state of a training but a {kind}: {remedy}")
        return cls(last, content)

    def require_whole(self) -> None:
        """Check that all of a training is there, not its weights alone.

        Raises:
            CheckpointError: a part is missing or of another kind.
        """
        for name, kind in _PARTS.items():
            if not isinstance(self.content.get(name), kind):
                raise CheckpointError(
                    f"{self.last}: not the whole state of a training (no {name}): give the "
                    f"{LAST} of a training, choose another folder, or begin anew with --fresh"
                )
        _ = self.epochs

    @property
    def epochs(self) -> int:
        """Epochs trained so far.

        Raises:
            CheckpointError: the file is not the whole state of a training.
        """
        try:
            loop = self.content["loops"]["fit_loop"]
            return int(loop["epoch_progress"]["current"]["processed"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.last}: not the whole state of a training (no number of epochs): "
                "choose another folder, or begin anew with --fresh"
            ) from error

    @property
    def steps(self) -> int:
        """Gradient steps so far; -1 where they are not counted."""
        steps = self.content.get("global_step")
        return steps if isinstance(steps, int) else -1

    @property
    def seconds(self) -> float:
        """Seconds trained so far, where a Timer measured them."""
        states = self.content.get("callbacks", {})
        times = [state["time_elapsed"] for name, state in states.items() if name == "Timer"]
        return float(times[0].get("train", 0.0)) if times else 0.0

    def has(self, length: Length) -> bool:
        """Whether the state has reached a limit of `length`."""
        reached = (self.epochs, self.steps, self.seconds)
        limits = (length.epochs, length.steps, length.seconds)
        return any(
            limit is not None and at >= limit for at, limit in zip(reached, limits, strict=True)
        )

    def is_finished(self, length: Length) -> bool:
        """Whether a training of this length, or a longer one, has ended here."""
        ended = _ended(self.last.with_name(DONE))
        if ended is None:  # maybe killed on its way, but beyond this length
            return length.epochs is not None and self.epochs > length.epochs
        return ended == _BY_ITSELF or self.has(length)


def timers_of(trainer: L.Trainer) -> list[Timer]:
    """The callbacks of a trainer that end it after some time."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped
    return [callback for callback in callbacks if isinstance(callback, Timer)]


def mark_finished(folder: Path, by_itself: bool) -> None:
    """Write that the training in this folder has ended, and whether its length ended it."""
    saved = Saved.find(folder)
    epochs = _BY_ITSELF if by_itself or saved is None else saved.epochs
    replace_file(folder / DONE, lambda draft: draft.write_text(f"{epochs}\n", encoding="utf-8"))


def _ended(done: Path) -> int | None:
    """The number in the file DONE, None without one."""
    try:
        return int(done.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


@contextmanager
def held(folder: Path, fresh: bool = False) -> Iterator[None]:
    """Keep a folder for this process; with `fresh`, an empty one in place of what was there, which
    is renamed and announced on stderr.

    Raises:
        ConfigError: it is no folder, or the process works inside the one to be renamed.
        FolderInUse: another process has the folder.
        OSError: the folder cannot be made, renamed or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder: choose another one for the training")
    with exclusive(folder):
        if not fresh or not any(entry.name != LOCK for entry in folder.iterdir()):
            yield
            return
        if Path.cwd().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{folder}: this command works inside the folder, so it cannot be renamed: "
                "choose another folder for the training (trainer.default_root_dir)"
            )
        aside = path_before(folder)
        folder.rename(aside)
        print(f"{folder} is kept as {aside}", file=sys.stderr)  # noqa: T201
        with exclusive(folder):  # the old folder is kept too: nobody waits for a renamed lock
            yield
