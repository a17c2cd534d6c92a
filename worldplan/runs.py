"""Run folders: runs/<name>/<time>/ holds the configuration, versions, seed, metrics, plots,
checkpoints and report of one run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from worldplan.files import (
    config_hash,
    read_config,
    read_json,
    read_mapping,
    read_table,
    write_csv,
    write_json,
    write_text,
)
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.near_files import near_path

CONFIG, VERSIONS, SEED, METRICS, SUMMARY, REPORT, UNFINISHED, BOUND, EVALUATION = (
    "config.yaml",
    "versions.json",
    "seed",
    "metrics.csv",
    "summary.csv",
    "report.html",
    "unfinished.txt",
    "bound.txt",
    "evaluation.csv",
)


def _newest_run(folder: Path) -> str:
    """ " (did you mean 'runs/clinic/20261122-101500'?)", the newest of the runs in a folder; ""
    where it holds none.
    """
    files = [*folder.glob(f"*/{CONFIG}"), *folder.glob(f"*/*/{CONFIG}")]
    if not files:
        return ""
    newest = max(files, key=lambda file: (file.stat().st_mtime, file.parent.name))
    return f" (did you mean '{newest.parent}'?)"


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder: made or continued by `worldplan.opening.open_run`, found by `Run.open`."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in `path`.

        Raises:
            ConfigError: it is not a run folder.
        """
        folder = Path(path)
        if not (folder / CONFIG).is_file():
            near = _newest_run(folder) if folder.is_dir() else near_path(folder)
            raise ConfigError(
                f"{folder}: not a run folder (it has no {CONFIG}){near}: "
                "give a folder like runs/<name>/<time>"
            )
        return cls(folder)

    @property
    def name(self) -> str:
        """<name>/<time>, as tables and reports show it."""
        resolved = self.path.resolve()
        return f"{resolved.parent.name}/{resolved.name}"

    @property
    def plots(self) -> Path:
        """Folder of the plots."""
        return self.path / "plots"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the run.

        Raises:
            ConfigError: config.yaml cannot be read, or is from an older worldplan.
        """
        return read_config(self.path / CONFIG)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what the run was made with, by name.

        Raises:
            ConfigError: versions.json cannot be read.
        """
        return dict(read_json(self.path / VERSIONS))

    @property
    def seed(self) -> int:
        """The seed of the run.

        Raises:
            ConfigError: the file cannot be read.
        """
        try:
            return int(read_user_text(self.path / SEED, ConfigError))
        except ValueError as error:
            raise ConfigError(
                f"{self.path / SEED}: cannot read the seed of this run ({error}): start a new run"
            ) from error

    @property
    def bound(self) -> float | None:
        """The upper bound on every policy; None where the run has none, infinite where it could
        not be computed.

        Raises:
            DatasetError: bound.txt is damaged.
        """
        file = self.path / BOUND
        if not file.is_file():
            return None
        try:
            return float(read_user_text(file, DatasetError))
        except ValueError as error:
            raise DatasetError(
                f"{file}: holds no number: delete it, and the bound is left out"
            ) from error

    @property
    def finished(self) -> bool:
        """Whether the run is complete: its summary, then its report were written last, and no file
        says that these are of a part of the run.
        """
        return (
            (self.path / SUMMARY).is_file()
            and (self.path / REPORT).is_file()
            and not (self.path / UNFINISHED).exists()
        )

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Whether the run was made with exactly this configuration."""
        # names of an older worldplan make a difference here, not an error
        return config_hash(read_mapping(self.path / CONFIG)) == config_hash(config)

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file of the run, whole or not at all."""
        return write_text(self.path / name, text)

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file of the run, whole or not at all."""
        return write_json(self.path / name, value)

    def write_summary(self, table: pd.DataFrame) -> Path:
        """Write the summary, which only the report follows. A report of the unfinished run is
        deleted first, so that it does not pass for that of the finished one.
        """
        (self.path / REPORT).unlink(missing_ok=True)
        return self.write_csv(SUMMARY, table)

    def write_csv(self, name: str, table: pd.DataFrame) -> Path:
        """Write a table of the run, whole or not at all."""
        return write_csv(self.path / name, table)

    def read_csv(self, name: str) -> pd.DataFrame | None:
        """A table of the run, or None where it was never written.

        Raises:
            DatasetError: the file cannot be read.
        """
        path = self.path / name
        return read_table(path) if path.is_file() else None


def write_result(path: Path, table: pd.DataFrame) -> None:
    """Write the table of a job, whole or not at all.

    Raises:
        ConfigError: the run folder was deleted or moved; it is not made again.
    """
    refuse_deleted(path.parent)
    write_csv(path, table)


def refuse_deleted(folder: Path) -> None:
    """Refuse to write into a folder of a run that is no longer there.

    Raises:
        ConfigError: it was deleted or moved.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: the folder of this run was deleted or moved while the run went on: repeat "
            "the command"
        )


def list_runs(root: str | Path, name: str) -> list[Run]:
    """All runs of a name, in the order of their folders' names."""
    parent = Path(root) / name
    if not parent.is_dir():
        return []
    return [
        Run(folder)
        for folder in sorted(parent.iterdir())
        if not folder.name.startswith(".") and (folder / CONFIG).is_file()
    ]
