"""`worldplan fit|validate|test`: LightningCLI over every learned part, with the run folders of all
other commands.

A YAML file names the module (`model`), the seed (`seed_everything`, handed to the module) and the
folder (`trainer.default_root_dir`). All else about the trainer has its value in the code; it trains
on the CPU unless `trainer.accelerator` says otherwise.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from jsonargparse import ArgumentError
from lightning.pytorch.callbacks import RichProgressBar, Timer, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from worldplan.arguments import own_error, shorten
from worldplan.files import read_config, write_json, write_text
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.output.plots import learning_curve
from worldplan.renamed import refuse_renamed
from worldplan.runs import CONFIG, SEED, VERSIONS
from worldplan.versions import versions
from worldplan.world_models.training.checkpoints import reading_checkpoint
from worldplan.world_models.training.journal import METRICS, Journal, is_trial
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.trainer import TRAINER, interruptible


class RunFolder(SaveConfigCallback):
    """Makes the trainer's folder a run folder: config.yaml, versions.json, seed, and at the end the
    plots of the metrics. That is where the results are, whatever loggers there are.

    The record is written when training begins, not in `setup`: by then whatever may refuse to train
    into this folder has done so.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write nothing yet."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the record, unless this is a trial (`fast_dev_run`)."""
        if is_trial(trainer) or not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, str(folder / CONFIG), skip_none=False, overwrite=True)
        write_json(folder / VERSIONS, versions())
        write_text(folder / SEED, f"{_seed(self.config)}\n")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Plot the metrics."""
        folder = Path(trainer.default_root_dir)
        if is_trial(trainer) or not trainer.is_global_zero or not (folder / METRICS).is_file():
            return
        table = pd.read_csv(folder / METRICS)
        if "step" not in table:
            table = table.rename(columns={"epoch": "step"})
        learning_curve(table, folder / "plots" / "learning_curve.png")


def fit(argv: Sequence[str]) -> int:
    """Entry of `worldplan fit`."""
    lightning_main(["fit", *argv])
    return 0


def validate(argv: Sequence[str]) -> int:
    """Entry of `worldplan validate`."""
    lightning_main(["validate", *argv])
    return 0


def test(argv: Sequence[str]) -> int:
    """Entry of `worldplan test`."""
    lightning_main(["test", *argv])
    return 0


def lightning_main(arguments: Sequence[str]) -> Any:
    """Build trainer and module from YAML and dotted overrides, and run the subcommand.

    Args:
        arguments: of the command line, the subcommand first.

    Raises:
        ConfigError: a file or a setting is wrong.
        ArgumentError: of jsonargparse, if a module of another project raises it.
        ValueError: of a module of another project.
        KeyboardInterrupt: Ctrl-C; its text says how to resume.
    """
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in ("-c", "--config") or word.startswith("--config="):
            # one clear line for a missing or malformed file
            read_config(word.partition("=")[2] or following)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    try:
        return _PlainCLI(
            L.LightningModule,
            subclass_mode_model=True,
            trainer_defaults=TRAINER,
            save_config_callback=RunFolder,
            seed_everything_default=0,
            args=list(arguments),
        )
    except (ArgumentError, ValueError) as error:
        cause = own_error(error)
        if cause is not None:
            raise cause from error
        if not isinstance(error, ArgumentError):
            raise
        refuse_renamed(str(error), "settings")  # of a file that jsonargparse read: --model FILE
        raise ConfigError(shorten(str(error))) from error


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    """Whether a message of Lightning is about the training."""
    return "litlogger" not in record.getMessage()


class _PlainCLI(LightningCLI):
    """LightningCLI with one seed and a journal, whose parsers raise instead of exiting."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser that raises ArgumentError."""
        parser = super().init_parser(**{"prog": "worldplan", **kwargs})
        parser.exit_on_error = False
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Without the warning that arguments were given while the process has some of its own."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            super().parse_arguments(parser, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """`--journal.every`: epochs between two checkpoints."""
        parser.add_lightning_class_args(Journal, "journal")

    def _parse_ckpt_path(self) -> None:
        """Read a checkpoint before Lightning does, whose errors do not say what to do."""
        subcommand = self.config.get("subcommand")
        path = self.config[subcommand].get("ckpt_path") if subcommand else None
        if path and Path(path).is_file():
            with reading_checkpoint(path, "the whole state of a training", "'worldplan fit'"):
                torch.load(path, weights_only=True, map_location="cpu", mmap=True)["state_dict"]
        super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Hand the seed to the module (jsonargparse cannot link into a function's arguments).

        Raises:
            CheckpointError: the file of --ckpt_path is missing.
            ConfigError: the module was given another seed, or the trainer a second journal.
        """
        config = self.config.get(str(self.subcommand), self.config)
        checkpoint = config.get("ckpt_path")
        is_local = str(checkpoint).endswith(".ckpt") and "://" not in str(checkpoint)
        if is_local and not Path(checkpoint).is_file():
            raise CheckpointError(
                f"--ckpt_path {checkpoint}: no such file: check the path, or leave the option out "
                "to begin anew"
            )
        if config.get("trainer.max_epochs") is None:
            config["trainer.max_epochs"] = -1  # for Lightning, no number means 1000
        for callback in config.get("trainer.callbacks") or []:
            if str(callback.get("class_path", "")).endswith(".Journal"):
                raise ConfigError(
                    "trainer.callbacks: every training has a Journal: leave it out "
                    "(--journal.every N sets how often it saves)"
                )
        arguments = config.get("model.init_args") or {}
        if "seed" in arguments:
            seed = _seed(config)
            if arguments["seed"] not in (None, 0, seed):
                raise ConfigError(
                    f"seed_everything is {seed} and model.init_args.seed {arguments['seed']}: "
                    "give the seed once, as seed_everything"
                )
            arguments["seed"] = seed

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with a bar that needs no number of epochs.

        Raises:
            ConfigError: the length of the training is missing, or there are several devices for a
                module that uses one.
        """
        trainer = super().instantiate_trainer(**kwargs)
        if trainer.world_size > 1 and isinstance(self.model, ResumableModule):
            raise ConfigError(
                f"trainer.devices: {trainer.world_size} devices, but {type(self.model).__name__} "
                "trains on one: leave it out"
            )
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped
        timed = any(isinstance(callback, Timer) for callback in callbacks)
        endless = trainer.max_epochs == trainer.max_steps == -1 and not timed
        if self.subcommand == "fit" and endless and not isinstance(self.model, ResumableModule):
            raise ConfigError(
                f"{type(self.model).__name__} does not end by itself: give --trainer.max_epochs"
            )
        callbacks[:] = [
            TQDMProgressBar() if type(callback) is RichProgressBar else callback
            for callback in callbacks
        ]
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            with warnings.catch_warnings(), interruptible(self.trainer):
                warnings.filterwarnings("ignore", module="lightning")  # as `fit` of the kit does
                super()._run_subcommand(subcommand)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(_how_to_resume(self.trainer)) from stop


def _seed(config: Any) -> int:
    """The seed of a configuration: where Lightning sets none (false), the module's own."""
    seed = config.get("seed_everything", 0)
    if seed is False:
        seed = (config.get("model.init_args") or {}).get("seed")
    return 0 if isinstance(seed, bool) else int(seed or 0)


def _how_to_resume(trainer: L.Trainer) -> str:
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, Journal) and callback.last.is_file():
            return f"interrupted: continue with the same command and --ckpt_path {callback.last}"
    return "interrupted before anything was saved: the same command begins again"
