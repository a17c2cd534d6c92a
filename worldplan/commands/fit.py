"""`worldplan fit|validate|test`: LightningCLI over every learned part, with the run folders of all
other commands.

A YAML file names the module (`model`), the seed (`seed_everything`, handed to the module) and the
folder (`trainer.default_root_dir`). All else about the trainer has its value in the code; it trains
on the CPU unless `trainer.accelerator` says otherwise.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import ArgumentError
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from worldplan.arguments import own_error, shorten
from worldplan.commands.fit_folder import (
    RunFolder,
    TrainingFolder,
    require_origin,
    seed_of,
    settings_of,
)
from worldplan.commands.fit_help import fit_help
from worldplan.commands.fit_loggers import place_loggers, with_remedy
from worldplan.commands.fit_names import unknown_name
from worldplan.commands.fit_settings import (
    callbacks_of,
    check_settings,
    evaluated_checkpoint,
    read_state,
    refused_settings,
    require_loop,
)
from worldplan.commands.fit_words import CONFIG, module_words, options_of
from worldplan.files import read_config
from worldplan.milp.errors import ConfigError
from worldplan.renamed import refuse_renamed
from worldplan.settings_files import refuse_other_kind
from worldplan.short_help import ALL, HelpShown, wants_help
from worldplan.world_models.training.bar import TrainingBar
from worldplan.world_models.training.failures import named_failures
from worldplan.world_models.training.journal import Journal, is_trial
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.saved import Length, Saved
from worldplan.world_models.training.trainer import TRAINER, interruptible, train

_BARS = (RichProgressBar, TQDMProgressBar)  # that Lightning adds by itself


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
        CheckpointError: a checkpoint is missing, damaged, or of another training.
        ConfigError: a file or a setting is wrong, or refused by the class that it is for; or the
            folder holds another training.
        FolderInUse: another process trains into the folder.
        HelpShown: help was asked for and printed.
        Exception: of a module of another project.
        KeyboardInterrupt: Ctrl-C; its text says how to resume.
    """
    if wants_help(arguments):
        raise HelpShown(fit_help(arguments[0]))
    if len(arguments) == 1:
        raise ConfigError(
            f"give the file of a training: worldplan {arguments[0]} --config FILE.yaml "
            "(`worldplan examples` lists those that come with worldplan)"
        )
    if not arguments[1].startswith("-"):
        raise ConfigError(
            f"{arguments[1]}: the file of a training is an option: "
            f"worldplan {arguments[0]} --config {arguments[1]}"
        )
    arguments = ["--help" if word == ALL else word for word in arguments]
    for name, value in options_of(arguments):
        if name in CONFIG:  # one clear line for a missing or malformed file
            refuse_other_kind(Path(value), read_config(value), "training")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # an error stays the only line
    try:
        command = _PlainCLI(
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
        refuse_renamed(str(error), "settings")  # of a file that jsonargparse read: --model FILE
        raise ConfigError(with_remedy(shorten(str(error)))) from error
    command.run()
    return command


class _PlainCLI(LightningCLI):
    """LightningCLI with one seed, a journal and a run folder, whose parsers raise instead of
    exiting.
    """

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser that raises ArgumentError, and takes no beginning of an option for it."""
        parser = super().init_parser(**{"prog": "worldplan", "allow_abbrev": False, **kwargs})
        parser.exit_on_error = False
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Without the warning that arguments were given while the process has some of its own.

        Raises:
            ArgumentError: a value is wrong.
            ConfigError: a name does not exist; see `module_words`.
            ValueError: as ArgumentError.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            try:
                super().parse_arguments(parser, module_words(parser, args))
            except (ArgumentError, ValueError) as error:
                if own_error(error):
                    raise
                problem = unknown_name(self._subcommand_parsers[args[0]], args)
                if problem:
                    raise ConfigError(f"{problem}: see worldplan {args[0]} --help-all") from error
                raise

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """`--journal.every`: epochs between two checkpoints."""
        parser.add_lightning_class_args(Journal, "journal")

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "fit":
            parser.add_argument(
                "--fresh",
                action="store_true",
                help="begin anew; what the folder holds is kept as FOLDER-before-TIME",
            )
        return parser

    def _parse_ckpt_path(self) -> None:
        """Read a checkpoint before Lightning does, whose errors do not say what to do. The
        arguments of the module are those of the command, not those in the checkpoint.
        """
        path = self.config[self.config["subcommand"]].get("ckpt_path")
        self.given = None if path is None else read_state(path)

    def _set_seed(self) -> None:
        """Seed the global generators.

        Raises:
            ConfigError: the seed is out of range.
        """
        seed = self.config[self.config["subcommand"]].get("seed_everything")
        if not isinstance(seed, bool) and seed is not None and not 0 <= seed < 2**32:
            raise ConfigError(f"seed_everything {seed}: give a number from 0 to {2**32 - 1}")
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Hand the seed to the module (jsonargparse cannot link into a function's arguments).

        Raises:
            ConfigError: a setting is out of range, the module was given another seed, or the
                trainer a second journal.
        """
        config = self.config[str(self.subcommand)]
        check_settings(config, str(self.subcommand))
        place_loggers(config["trainer"])
        arguments = config.get("model.init_args") or {}
        if "seed" in arguments:
            seed = seed_of(config)
            if arguments["seed"] not in (None, 0, seed):
                raise ConfigError(
                    f"seed_everything is {seed} and model.init_args.seed {arguments['seed']}: "
                    "give the seed once, as seed_everything"
                )
            arguments["seed"] = seed

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with the progress bar of all trainings unless the settings name another.

        Raises:
            ConfigError: a setting is wrong, or the length of the training is missing.
        """
        with warnings.catch_warnings(), refused_settings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer = super().instantiate_trainer(**kwargs)
        if isinstance(self.model, ResumableModule):
            self.model.check_trainer(trainer)
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped
        length = Length.of(trainer, self.model)
        endless = (length.epochs, length.steps, length.seconds) == (None, None, None)
        if self.subcommand == "fit" and endless and not isinstance(self.model, ResumableModule):
            raise ConfigError(
                f"{type(self.model).__name__} does not end by itself: give --trainer.max_epochs"
            )
        given = callbacks_of(self.config[str(self.subcommand)]["trainer"])
        own = any("ProgressBar" in str(entry.get("class_path")) for entry in given)
        callbacks[:] = [
            TrainingBar() if type(callback) in _BARS and not own else callback
            for callback in callbacks
        ]
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing yet: what goes wrong in `run` is not a setting."""

    def run(self) -> None:
        """Train, validate or test."""
        subcommand = str(self.subcommand)
        folder = Path(self.trainer.default_root_dir)
        if subcommand == "fit" and not is_trial(self.trainer):
            self._fit(folder)
            return
        if subcommand != "fit":
            require_loop(self.model, subcommand)
            state = self.given or evaluated_checkpoint(folder, self.model, subcommand)
            self.config_init[subcommand]["ckpt_path"] = state and str(state.last)
            if state is not None:
                require_origin(state, self.model)
        with warnings.catch_warnings(), interruptible(self.trainer, folder):
            warnings.filterwarnings("ignore", module="lightning")  # as `fit` of the kit does
            with named_failures(self.config_init[subcommand].get("ckpt_path")):
                super()._run_subcommand(subcommand)

    def _fit(self, folder: Path) -> None:
        """Train into the folder, continue there, or say that the training has finished."""
        parser, config = self._parser("fit"), self.config["fit"]
        record = TrainingFolder(folder, settings_of(parser, config), self.given)

        def start(saved: Saved | None) -> str | None:
            begin = record.start(saved, self.model, Length.of(self.trainer, self.model))
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # untyped
                if isinstance(callback, RunFolder):
                    callback.begun_from = record.begun_from
            return begin

        data = self.datamodule
        result, was_there = train(
            self.trainer, self.model, folder, fresh=config["fresh"], start=start, data=data
        )
        if was_there:
            print(  # noqa: T201
                f"{folder}: this training has finished, its result is {result}: a greater length "
                "continues it, --fresh begins anew",
                file=sys.stderr,
            )
