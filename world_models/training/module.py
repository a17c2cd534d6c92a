"""The base of every trained part: a module that resumes to the result of an unbroken run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.utils.data import DataLoader

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.training.journal import LAST, Journal, is_trial
from worldplan.world_models.training.origin import differences

_LIGHTNING_LENGTH = 1000  # epochs of a trainer that was given no length
# what a trainer has by default, written out: the number 1 is one batch, 1.0 is all of them
_TRAINER_DEFAULTS = {
    "overfit_batches": ("0.0", "0"),  # before the limits, which it sets
    "accumulate_grad_batches": ("1",),
    "gradient_clip_val": ("None",),
    "limit_train_batches": ("1.0",),
    "limit_val_batches": ("1.0",),
    "max_steps": ("-1",),
    "min_epochs": ("None", "0"),
    "min_steps": ("None",),
    "precision": ("'32-true'",),
    "reload_dataloaders_every_n_epochs": ("0",),
    "val_check_interval": ("1.0",),
}
_CHANGE_TRAINING = (
    BaseFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)


class ResumableModule(L.LightningModule):
    """A LightningModule that defines its length, and whose checkpoints hold their origin.

    A subclass defines

    * `made_with()`: all that the result depends on (data, settings, seed), see `origin`;
    * `record()`: what a planner or a model is restored from, stored in the checkpoint under `KEY`;
    * `progress()` and `restore(progress)`: what else the training needs to resume;
    * `export(folder)`: only if the result is not the last state, the file `RESULT`.

    Random numbers of an epoch must come from generators seeded by (seed, epoch): then a run that
    was killed and resumed ends with the numbers of an unbroken one (on a CPU).

    Attributes:
        KEY: name of the record in a checkpoint.
        RESULT: the file, in the folder of the training, that `fit` returns.
        MADE_WITH: what must be the same when a training is resumed, for the error message.
    """

    KEY: ClassVar[str]
    RESULT: ClassVar[str] = LAST
    MADE_WITH: ClassVar[str] = "another task, other settings or another seed"

    @property
    def epochs(self) -> int | None:
        """Epochs of the whole training; None where the module itself ends it."""
        return None

    @property
    def check_every(self) -> int:
        """Epochs between two validations."""
        return 1

    def made_with(self) -> dict[str, str]:
        """What the training depends on, by name: equal mappings mean equal trainings.

        Raises:
            TypeError: the subclass does not define it.
        """
        raise TypeError(f"{type(self).__name__} must define made_with()")

    def record(self) -> Any:
        """What the trained part is restored from: tensors and plain values.

        Raises:
            TypeError: the subclass does not define it.
        """
        raise TypeError(f"{type(self).__name__} must define record()")

    def progress(self) -> dict[str, Any]:
        """State of the training beyond weights, optimisers and the record."""
        return {}

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over the `progress` of the run that is resumed."""

    def export(self, folder: Path) -> None:
        """Write `folder`/RESULT, if the result is not the last state."""

    # --- what Lightning calls ---------------------------------------------------------------------

    def configure_callbacks(self) -> Sequence[L.Callback]:
        """Set the length of the training and the distance of its checks; no callbacks.

        Callbacks look at these when they are set up, which is before `setup` of the module. A
        subclass with callbacks of its own calls this first.

        Raises:
            ConfigError: the trainer was given another distance, or a greater length.
        """
        self.check_trainer(self.trainer)
        if self.trainer.state.fn == "fit":
            self._set_pace(self.trainer)
        return []

    def check_trainer(self, trainer: L.Trainer) -> None:
        """Refuse what would change how the module trains, or would have no effect on it.

        Raises:
            ConfigError: a setting or callback of the trainer does.
        """
        name = type(self).__name__
        if trainer.world_size > 1:
            raise ConfigError(
                f"trainer.devices: {trainer.world_size} devices, but {name} trains on one: "
                "leave it out"
            )
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped
        for callback in callbacks:
            if isinstance(callback, _CHANGE_TRAINING):
                raise ConfigError(
                    f"trainer.callbacks: {type(callback).__name__} changes how a module trains, "
                    f"and {name} sets this itself: leave it out"
                )
        if not isinstance(trainer.strategy, SingleDeviceStrategy):
            raise ConfigError(f"trainer.strategy: {name} trains on one device: leave it out")
        keeps = any(isinstance(item, Journal) for item in trainer.checkpoint_callbacks)
        if is_trial(trainer) or not keeps:  # a trial has limits of its own
            return
        for setting, default in _TRAINER_DEFAULTS.items():
            value = getattr(trainer, setting)
            if repr(value) not in default:
                raise ConfigError(
                    f"trainer.{setting} is {value}, but {name} has its own training loop: "
                    "leave it out"
                )

    def _set_pace(self, trainer: L.Trainer) -> None:
        length, epochs = trainer.max_epochs, self.epochs
        if epochs is not None and length is not None:
            if length not in (-1, _LIGHTNING_LENGTH) and length > epochs:
                raise ConfigError(
                    f"trainer.max_epochs is {length}, but the module ends after {epochs} epochs: "
                    "leave it out, and make the module's own length greater"
                )
            if length == -1 or length > epochs:
                trainer.fit_loop.max_epochs = epochs
        # a check is part of the training, such as the choice of the best weights: none before it
        trainer.num_sanity_val_steps = 0
        if trainer.check_val_every_n_epoch not in (1, self.check_every):
            raise ConfigError(
                f"trainer.check_val_every_n_epoch is {trainer.check_val_every_n_epoch}: "
                "leave it out, the module sets it (check_every)"
            )
        trainer.check_val_every_n_epoch = self.check_every

    def setup(self, stage: str) -> None:
        """Set length and checks also where a subclass replaces `configure_callbacks`."""
        self.check_trainer(self.trainer)
        if stage == "fit":
            self._set_pace(self.trainer)

    def val_dataloader(self) -> DataLoader[Any]:
        """One batch without content: a check makes its own data."""
        return DataLoader(range(1), batch_size=None)  # type: ignore[arg-type]  # a sequence serves

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store record, origin and progress."""
        checkpoint[self.KEY] = self.record()
        checkpoint["made_with"] = self.made_with()
        checkpoint["progress"] = self.progress()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the progress.

        Raises:
            CheckpointError: the checkpoint comes from another training.
        """
        self.require_origin(checkpoint.get("made_with"), "the checkpoint")
        self.restore(checkpoint["progress"])

    def require_origin(self, saved: Any, name: object) -> None:
        """Compare a stored origin with that of this training.

        Raises:
            CheckpointError: they differ; says in what.
        """
        if different := differences(saved, self.made_with()):
            raise CheckpointError(
                f"{name} comes from {self.MADE_WITH} ({different}): "
                "give what it was made with, choose another folder, or begin anew with --fresh "
                "(from Python: fresh=True)"
            )

    def require_epochs(self, saved: Any, epochs: int, name: object) -> None:
        """Check that a training of so many epochs can be continued as this one; nothing by default.

        Args:
            saved: its origin, see `require_origin`.
            epochs: so far.
            name: of the checkpoint, for messages.
        """

    # --- for subclasses ---------------------------------------------------------------------------

    @property
    def journal(self) -> Journal | None:
        """The callback that keeps metrics and state, if there is one."""
        callbacks = self.trainer.checkpoint_callbacks
        return next((item for item in callbacks if isinstance(item, Journal)), None)

    def last_good(self) -> str:
        """Half a sentence that names the last checkpoint, for errors of a diverged training."""
        journal = self.journal
        if journal is None or not journal.last.exists():
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {journal.folder / self.RESULT}"
