"""The loggers of `worldplan fit`: further places for the metrics of metrics.csv, chosen by the
setting `trainer.logger`. The files of a training stay in its folder whatever loggers there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from worldplan.extras import is_installed
from worldplan.milp.errors import ConfigError
from worldplan.world_models.training.journal import LAST

FOLDER = "tensorboard"  # in the folder of the training
_TENSORBOARD = "lightning.pytorch.loggers.TensorBoardLogger"


def place_loggers(trainer: Any) -> None:
    """Fill in where TensorBoard files go: `logger: true` writes them into the folder of the
    training, and a training that is resumed continues the files that it began.

    Args:
        trainer: its settings; changed.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
    """
    folder = trainer.get("default_root_dir")
    if trainer.get("logger") is True:
        arguments = _namespace({"save_dir": str(folder or "."), "name": "", "version": FOLDER})
        trainer["logger"] = _namespace({"class_path": _TENSORBOARD, "init_args": arguments})
    for logger in _loggers(trainer.get("logger")):
        if not str(logger.get("class_path", "")).endswith(".TensorBoardLogger"):
            continue
        if not (is_installed("tensorboard") or is_installed("tensorboardX")):
            raise ConfigError(
                "trainer.logger: TensorBoard is not installed: pip install "
                "'worldplan[tensorboard]', or leave the logger out: metrics.csv has the metrics"
            )
        resumed = folder is not None and (Path(folder) / LAST).is_file()
        if resumed and (latest := _latest_version(logger.get("init_args") or {})) is not None:
            logger["init_args"]["version"] = latest


def _namespace(values: dict[str, Any]) -> Namespace:
    return Namespace(values)  # type: ignore[no-untyped-call]  # jsonargparse has no types here


def with_remedy(text: str) -> str:
    """A message of jsonargparse about a logger without its folder, and what to do.

    Args:
        text: the message.
    """
    if "trainer.logger" in text and "save_dir" in text:
        return (
            f"{text}: give the class as class_path and its save_dir in init_args, or "
            "`logger: true`, which writes TensorBoard files into the folder of the training"
        )
    return text


def _loggers(setting: Any) -> Iterator[Any]:
    """The settings of each logger: of none, one or several."""
    for logger in setting if isinstance(setting, list) else [setting]:
        if isinstance(logger, Namespace):
            yield logger


def _latest_version(arguments: Any) -> int | None:
    """The number of the newest files of a logger that would begin new ones; None if it would not,
    or there are none.
    """
    if arguments.get("version") is not None or arguments.get("save_dir") is None:
        return None
    parent = Path(arguments["save_dir"]) / (arguments.get("name") or "")
    if not parent.is_dir():
        return None
    found = (re.fullmatch(r"version_(\d+)", entry.name) for entry in parent.iterdir())
    return max((int(match[1]) for match in found if match), default=None)
