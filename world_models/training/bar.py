"""The progress bar of a training: what is trained, how much is done, and how long is left."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from worldplan.world_models.training.saved import Length

_SHOWN = 2  # metrics at a time
_SECONDS = 300.0  # of the recent past, from which the time that is left is estimated


class TrainingBar(ProgressBar):
    """One line on the terminal, such as "training Ensemble, 12 of 100 epochs, 0:01:10, left: 8:31".
    Nothing where stderr is no terminal.

    A training that ends by itself has no known length: the line says how long it has run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._shown = sys.stderr.isatty()
        self._length = Length(None, None, None)

    def disable(self) -> None:
        """Show nothing."""
        self._shown = False

    def enable(self) -> None:
        """Show the bar where stderr is a terminal."""
        self._shown = sys.stderr.isatty()

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The metrics of the bar, without the version of a logger."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin the line."""
        self._length = Length.of(trainer, pl_module)
        self._begin(f"training {spoken(pl_module)}")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Move the line."""
        self._move(trainer, pl_module, index + 1)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Move the line, also of a training without batches."""
        self._move(trainer, pl_module, None)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say that the training is checked; begin the line of `worldplan validate`."""
        if self._bar is None:
            self._begin(f"validating {spoken(pl_module)}")
        else:
            self._describe(f"checking {spoken(pl_module)}")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go back to the training; end the line of `worldplan validate`."""
        if trainer.state.fn == "validate":
            self._end()
        else:
            self._describe(f"training {spoken(pl_module)}")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin the line of `worldplan test`."""
        self._begin(f"testing {spoken(pl_module)}")

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the line."""
        self._end()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the line."""
        self._end()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """End the line before the message of an error."""
        self._end()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the line."""
        if self._bar is not None:
            self._bar.console.print(*args)
        else:
            print(*args, **kwargs)  # noqa: T201 - Lightning prints through the bar

    def _begin(self, text: str) -> None:
        if not self._shown or self._bar is not None:
            return
        self._bar = Progress(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(12),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left:", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            expand=True,
            speed_estimate_period=_SECONDS,
        )
        self._task = self._bar.add_task(text, total=None, count="")
        self._bar.start()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _describe(self, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=text)

    def _move(self, trainer: L.Trainer, module: L.LightningModule, batch: int | None) -> None:
        """Show how much is done.

        Args:
            trainer: of the training.
            module: that is trained.
            batch: number of batches that are done in this epoch; None: all of them.
        """
        if self._bar is None:
            return
        epochs, steps = self._length.epochs, self._length.steps
        if steps is not None and (epochs is None or math.isinf(trainer.num_training_batches)):
            done, total, unit = float(trainer.global_step), float(steps), "steps"
        else:
            batches = trainer.num_training_batches
            part = 1.0 if batch is None else min(batch / batches, 1.0) if batches else 0.0
            part = 0.0 if math.isinf(batches) and batch is not None else part
            done, unit = trainer.current_epoch + part, "epochs"
            total = math.nan if epochs is None else float(epochs)
        known = not math.isnan(total)
        count = f"{int(done)} of {int(total)} {unit}" if known else f"{int(done)} {unit}"
        text = f"training {spoken(module)}{self._metrics(trainer, module)}"
        self._bar.update(
            self._task,
            description=text,
            completed=done,
            total=total if known else None,
            count=count,
        )

    def _metrics(self, trainer: L.Trainer, module: L.LightningModule) -> str:
        metrics = self.get_metrics(trainer, module)
        shown = [
            f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float)
        ]
        return f" ({', '.join(shown[-_SHOWN:])})" if shown else ""


def spoken(module: L.LightningModule) -> str:
    """What is trained, in words, from the name of its class: "reach aware" of ReachAwareModule."""
    name = re.sub(r"(Module|Training|Trainer)$", "", type(module).__name__) or "module"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
