"""What a run folder holds: which command made it, what its values are, and its state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from worldplan.output.page import terms
from worldplan.runs import CONFIG, REPORT, SUMMARY, UNFINISHED, VERSIONS, Run
from worldplan.world_models.folders import LOCK

DONE = "done"  # of worldplan.world_models.training.saved, whose import takes seconds
FINISHED, RUNNING, BROKEN_OFF = "finished", "running", "broken off"
PART = "part of it"  # the rows that --methods or --shares chose are finished
_STAMP = re.compile(r"(\d{8}-\d{6})(-\d{4})?")


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Args:
        name: as tables show it.
        value: what the mean of its rows is.
        percent: whether this is a share.
        training: whether it is a folder of `worldplan fit`.
    """

    name: str
    value: str
    percent: bool = False
    training: bool = False


_BY_REPORT = {  # by what reports call the run
    terms.BANDITS: Kind("bandits", "reward per step"),
    terms.TUNING: Kind("tuning", "score"),
    terms.STUDY: Kind("study", "return"),
    terms.ACTIONS: Kind("action models", "solved", percent=True),
    terms.RAMP: Kind("RAMP", "problems solved", percent=True),
    terms.MODEL: Kind("model report", "error"),
}
_BY_MODULE = {  # beginnings of the class path of a training
    "worldplan.planners.modem.": Kind("MoDem", "success rate", percent=True, training=True),
    "worldplan.planners.bandits.": Kind("bandit policy", "reward per step", training=True),
    "worldplan.planners.offline.": Kind("policy from data", "return", training=True),
    "worldplan.world_models.ensemble.": Kind("ensemble", "error", training=True),
}
_OTHER = Kind("training", "value", training=True)


def kind_of(config: Mapping[str, Any]) -> Kind | None:
    """The kind of a run, or None for settings that no command of worldplan has.

    Args:
        config: of config.yaml.
    """
    kind, model = terms.kind_of(config), config.get("model")
    if kind is terms.TRAINING and isinstance(model, Mapping | str):
        path = str(model.get("class_path", "") if isinstance(model, Mapping) else model)
        fitting = (kind for begin, kind in _BY_MODULE.items() if path.startswith(begin))
        return next(fitting, _OTHER)
    return _BY_REPORT.get(kind)


def state_of(run: Run, kind: Kind) -> str:
    """Whether a run is finished, finished in the part that was chosen, running in another process,
    or broken off.

    Args:
        run: the run folder.
        kind: of the run.
    """
    if kind.training:
        finished = (run.path / DONE).is_file()
    elif kind.name == "model report":
        finished = (run.path / REPORT).is_file()
    else:
        finished = run.finished
    if finished:
        return FINISHED
    if _is_held(run.path / LOCK):
        return RUNNING
    part = (run.path / UNFINISHED).is_file() and (run.path / SUMMARY).is_file()
    return PART if part else BROKEN_OFF


def _is_held(file: Path) -> bool:
    """Whether another process holds the lock of a folder."""
    if not file.is_file():
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder in which nobody may write
        return False
    lock.release()
    return False


def date_of(run: Run) -> datetime:
    """When a run began: the time in its folder's name, else that of its record.

    Args:
        run: the run folder.
    """
    name = run.path.resolve().name
    if match := _STAMP.fullmatch(name):
        try:
            return datetime.strptime(match[1], "%Y%m%d-%H%M%S")
        except ValueError:  # a number that is no time
            pass
    files = (run.path / file for file in (VERSIONS, CONFIG))
    times = [file.stat().st_mtime for file in files if file.is_file()]
    return datetime.fromtimestamp(min(times, default=0.0)).replace(microsecond=0)
