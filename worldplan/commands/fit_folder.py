"""The run folder of `worldplan fit`: its record, and whether a command continues what it holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import yaml
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from worldplan.commands.fit_settings import callbacks_of
from worldplan.files import config_text, read_mapping, write_json, write_text
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.output.plots import learning_curve
from worldplan.runs import CONFIG, SEED, VERSIONS
from worldplan.versions import versions
from worldplan.world_models.training.journal import LAST, METRICS, is_trial
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.origin import differences, origin
from worldplan.world_models.training.saved import Length, Saved

# settings that change neither what is trained nor how: length, device, progress, reports
_TRAINER = {
    *("accelerator", "devices", "num_nodes", "strategy", "plugins", "use_distributed_sampler"),
    *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "fast_dev_run"),
    *(
        "enable_progress_bar",
        "enable_model_summary",
        "enable_checkpointing",
        "num_sanity_val_steps",
    ),
    *("logger", "log_every_n_steps", "profiler", "detect_anomaly", "benchmark", "barebones"),
    *("inference_mode", "enable_autolog_hparams", "model_registry", "default_root_dir"),
    *("limit_test_batches", "limit_predict_batches"),
}
_CALLBACKS = (
    *("ProgressBar", "ModelSummary", "LearningRateMonitor", "DeviceStatsMonitor", "Timer"),
    *("ModelCheckpoint", "OnExceptionCheckpoint"),
)
_REMEDY = "choose another folder (--trainer.default_root_dir), or begin anew with --fresh"


def settings_of(parser: LightningArgumentParser, config: Any) -> dict[str, Any]:
    """The settings of a command as plain values."""
    settings: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False))
    return settings


class TrainingFolder:
    """What a command finds in its folder, and what it may do there.

    Args:
        folder: of the training.
        settings: of the command.
        given: the content of --ckpt_path, or None.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], given: Saved | None) -> None:
        self.folder, self.settings, self.given = folder, settings, given
        self.begun_from: str | None = str(given.last) if given else None

    def start(self, saved: Saved | None, module: L.LightningModule, length: Length) -> str | None:
        """The checkpoint from which a training begins that is not in the folder yet.

        Raises:
            CheckpointError: the training in the folder, or in --ckpt_path, is of another module.
            ConfigError: the folder belongs to something else, or to a training with other settings;
                or the one in --ckpt_path is longer already.
        """
        stored = self._stored()
        if saved is None:
            return self._given_state(module, length)
        self._require_checkpoint(stored, saved)
        now = _compared(self.settings, module)
        if stored and (different := differences(_compared(stored, module), now)):
            raise ConfigError(
                f"{self.folder} holds a training with other settings ({different}): {_REMEDY}"
            )
        require_origin(saved, module)
        return None

    def _given_state(self, module: L.LightningModule, length: Length) -> str | None:
        """The path of --ckpt_path, once it is known to be an earlier state of this training.

        Raises:
            CheckpointError: it comes from another training.
            ConfigError: it is trained as long as this one is to be.
        """
        if self.given is None:
            return None
        require_origin(self.given, module)
        self.given.require_whole()
        if self.given.has(length):
            raise ConfigError(
                f"--ckpt_path {self.given.last}: has {self.given.epochs} epochs, which is the "
                "length of this training already: give it a greater length (trainer.max_epochs)"
            )
        return str(self.given.last)

    def _stored(self) -> dict[str, Any]:
        """The settings in config.yaml; empty where there is none.

        Raises:
            ConfigError: config.yaml is not that of a training.
        """
        file = self.folder / CONFIG
        if not os.path.lexists(file):
            return {}
        stored = read_mapping(file)
        if not (self.folder / VERSIONS).is_file() or not {"model", "trainer"} <= stored.keys():
            raise ConfigError(
                f"{file} is not the record of a training, which would replace it: "
                "choose another folder (--trainer.default_root_dir)"
            )
        return stored

    def _require_checkpoint(self, stored: Mapping[str, Any], saved: Saved) -> None:
        """Check that --ckpt_path is the folder's own state, or where it once began.

        Raises:
            ConfigError: it is another file.
        """
        before = self.begun_from = stored.get("ckpt_path")
        if self.given is None or self.given.last.resolve() == saved.last.resolve():
            return
        if before is None or self.given.last.resolve() != Path(before).resolve():
            raise ConfigError(
                f"--ckpt_path {self.given.last}: {self.folder} holds a training that did not "
                f"begin from there: leave the option out to continue it, or {_REMEDY}"
            )


def require_origin(state: Saved, module: L.LightningModule) -> None:
    """Compare what a state was made with: the class of the module, and of a module of another
    project the arguments that it saved (`save_hyperparameters`).

    Raises:
        CheckpointError: they differ; says in what.
    """
    name = type(module).__qualname__
    if (other := state.content.get("module", name)) != name:
        raise CheckpointError(f"{state.last} comes from another module ({other}): {_REMEDY}")
    arguments = state.content.get("hyper_parameters")
    if isinstance(module, ResumableModule):
        module.require_origin(state.content.get("made_with"), state.last)
        return
    if not isinstance(arguments, Mapping):
        return
    saved, now = (
        origin(**{str(key): value for key, value in values.items() if str(key)[:1] != "_"})
        for values in (arguments, module.hparams)
    )
    if different := differences(saved, now):
        raise CheckpointError(
            f"{state.last} comes from a module with other arguments ({different}): {_REMEDY}"
        )


def _compared(settings: Mapping[str, Any], module: L.LightningModule) -> dict[str, str]:
    """The settings that must be the same when a training continues, by name.

    What a `ResumableModule` is made of is compared by itself, with the content of its files.
    """
    trainer = dict(settings.get("trainer") or {})
    trainer["callbacks"] = [
        callback
        for callback in callbacks_of(trainer)
        if not str(callback.get("class_path", "")).endswith(_CALLBACKS)
    ]
    kept: dict[str, Any] = {
        "trainer": {name: value for name, value in trainer.items() if name not in _TRAINER}
    }
    if not isinstance(module, ResumableModule):
        names = ("seed_everything", "model", "data", "optimizer", "lr_scheduler")
        kept |= {name: settings.get(name) for name in names}
    described = origin(**kept)
    return {name: text for name, text in described.items() if text not in ("None", "[]")}


class RunFolder(SaveConfigCallback):
    """Makes the trainer's folder a run folder: versions.json, seed, config.yaml, and at the end the
    plots of the metrics. That is where the results are, whatever loggers there are.

    The record is written when training begins, not in `setup`: by then whatever may refuse to train
    into this folder has done so. config.yaml comes last: with it the record is complete.

    Attributes:
        begun_from: the checkpoint from which the training in this folder once began, or None.
    """

    begun_from: str | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write nothing yet."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Announce a training that is continued, and write the record; nothing of either in a
        trial (`fast_dev_run`).
        """
        if is_trial(trainer) or not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        if trainer.ckpt_path:
            own = Path(trainer.ckpt_path).resolve() == (folder / LAST).resolve()
            text = f"continuing {folder}" if own else f"beginning from {trainer.ckpt_path}"
            print(text, file=sys.stderr)  # noqa: T201
        settings = settings_of(self.parser, self.config) | {"ckpt_path": self.begun_from}
        settings.pop("fresh", None)
        write_json(folder / VERSIONS, versions())
        write_text(folder / SEED, f"{seed_of(self.config)}\n")
        write_text(folder / CONFIG, config_text(settings))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Plot the metrics."""
        folder = Path(trainer.default_root_dir)
        if is_trial(trainer) or not trainer.is_global_zero or not (folder / METRICS).is_file():
            return
        table = pd.read_csv(folder / METRICS)
        if "step" not in table:
            table = table.rename(columns={"epoch": "step"})
        learning_curve(table, folder / "plots" / "learning_curve.svg")


def seed_of(config: Any) -> int:
    """The seed of a configuration: where Lightning sets none (false), the module's own."""
    seed = config.get("seed_everything", 0)
    if seed is False:
        seed = (config.get("model.init_args") or {}).get("seed")
    return 0 if isinstance(seed, bool) else int(seed or 0)
