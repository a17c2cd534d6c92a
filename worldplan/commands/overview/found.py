"""The run folders below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from worldplan.commands.overview.figures import Figure, headlines
from worldplan.commands.overview.kinds import Kind, date_of, kind_of, state_of
from worldplan.files import read_mapping
from worldplan.milp.errors import ConfigError, WorldplanError, one_line
from worldplan.near_files import near_path
from worldplan.runs import CONFIG, Run

_DEEPEST = 6  # folders below the one that is listed
_FILES = (".csv", ".ckpt", ".yaml", ".json", ".html")  # of a folder that may have been a run


@dataclass(frozen=True)
class FoundRun:
    """A run folder.

    Args:
        run: the folder.
        kind: which command made it.
        date: when it began.
        state: finished, running or broken off.
        figures: that it is told by; empty where it has no results.
    """

    run: Run
    kind: Kind
    date: datetime
    state: str
    figures: list[Figure]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "path": str(self.run.path),
            "kind": self.kind.name,
            "name": self.run.name,
            "date": self.date.isoformat(sep=" "),
            "state": self.state,
            "figures": [figure.to_dict() for figure in self.figures],
        }


@dataclass(frozen=True)
class Skipped:
    """A folder that is no run that can be read, and why."""

    path: Path
    reason: str


def open_found(path: Path) -> FoundRun:
    """The run in a folder.

    Args:
        path: of the folder.

    Raises:
        ConfigError: it is no run folder, or its settings cannot be read.
        DatasetError: a table of the run is damaged.
    """
    run = Run.open(path)
    kind = kind_of(read_mapping(run.path / CONFIG))
    if kind is None:
        raise ConfigError(f"{run.path / CONFIG}: not the settings of a run of worldplan")
    return FoundRun(run, kind, date_of(run), state_of(run, kind), headlines(run, kind))


def find_runs(folder: Path) -> tuple[list[FoundRun], list[Skipped]]:
    """All run folders in `folder` and below, and what cannot be read there.

    Args:
        folder: of runs, or one run.

    Raises:
        ConfigError: it is missing, or a file.
    """
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else f"no such folder{near_path(folder)}"
        raise ConfigError(f"{folder}: {kind}: give the folder of run folders, such as runs")
    runs, skipped = list[FoundRun](), list[Skipped]()
    for path, reason in _folders(folder, 0):
        try:
            if reason:
                raise ConfigError(reason)
            runs.append(open_found(path))
        except (WorldplanError, OSError) as error:
            skipped.append(Skipped(path, one_line(error).removeprefix(f"{path}: ")))
    return runs, skipped


def _folders(folder: Path, depth: int) -> Iterator[tuple[Path, str]]:
    """Folders that hold settings, and those that hold nothing of worldplan with the reason. A run
    folder is not searched.
    """
    if (folder / CONFIG).is_file():
        yield folder, ""
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, str(error.strerror)
        return
    below = [entry for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    if depth < _DEEPEST:
        for entry in below:
            yield from _folders(entry, depth + 1)
    if depth > 0 and not below:
        rest = any(entry.suffix in _FILES for entry in entries)
        yield folder, f"has no {CONFIG}: not a run" if rest or entries else "is empty"


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder, and no link, which may lead in a circle."""
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:
        return False
