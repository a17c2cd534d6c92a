"""Run folders: runs/<name>/<time>/ holds the configuration, versions, seed, metrics, plots,
checkpoints and report of one run.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from worldplan.files import (
    config_hash,
    config_text,
    read_config,
    read_json,
    read_mapping,
    write_csv,
    write_json,
    write_text,
)
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.versions import versions

CONFIG, VERSIONS, SEED, METRICS, SUMMARY = (
    "config.yaml",
    "versions.json",
    "seed",
    "metrics.csv",
    "summary.csv",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder: made by `create_run`, found again by `Run.open` or `latest_run`."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in `path`.

        Raises:
            ConfigError: it is not a run folder.
        """
        folder = Path(path)
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"{folder}: not a run folder (it has no {CONFIG}): "
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
            return int((self.path / SEED).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.path / SEED}: cannot read the seed of this run ({error}): start a new run"
            ) from error

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

    def write_csv(self, name: str, table: pd.DataFrame) -> Path:
        """Write a table of the run, whole or not at all."""
        return write_csv(self.path / name, table)

    def read_csv(self, name: str) -> pd.DataFrame | None:
        """A table of the run, or None where it was never written.

        Raises:
            DatasetError: the file cannot be read.
        """
        path = self.path / name
        if not path.is_file():
            return None
        try:
            # a policy is called "null": only empty cells are missing values
            return pd.read_csv(path, keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
            raise DatasetError(
                f"{path}: cannot read this table ({error}): delete it and run again"
            ) from error


def create_run(root: str | Path, name: str, config: Mapping[str, Any], seed: int) -> Run:
    """Make `root/name/<time>/` with configuration, versions and seed, complete or not at all.

    Raises:
        ConfigError: the name is no folder name, or the folder cannot be made.
    """
    if not name or name.startswith(".") or "/" in name or os.sep in name:
        raise ConfigError(
            f"'{name}' cannot name a run: use a plain word without slashes, not starting with a dot"
        )
    text = config_text(config)
    parent = Path(root) / name
    draft = parent / f".{secrets.token_hex(6)}"
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"{parent}: cannot make a run folder here ({error.strerror}): "
            "choose another place for runs"
        ) from error
    try:
        for folder in ("plots", "checkpoints"):
            (draft / folder).mkdir()
        write_text(draft / CONFIG, text)
        write_json(draft / VERSIONS, versions())
        write_text(draft / SEED, f"{int(seed)}\n")
        return Run(_publish(draft, parent, f"{datetime.now():%Y%m%d-%H%M%S}"))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _publish(draft: Path, parent: Path, stamp: str) -> Path:
    """Rename the draft to the first free name, and return it.

    Renaming onto a folder with content fails, so two runs never share a folder.

    Raises:
        ConfigError: thousands of runs began in this second.
        OSError: the folder cannot be renamed.
    """
    for number in range(1, 10_000):
        target = parent / (stamp if number == 1 else f"{stamp}-{number:04d}")
        try:
            draft.rename(target)
        except OSError:
            if not target.exists():
                raise
        else:
            return target
    raise ConfigError(f"{parent}: 9999 runs began in this very second: give them different names")


def continue_or_create(
    root: str | Path, name: str, config: Mapping[str, Any], seed: int, *, fresh: bool
) -> Run:
    """The unfinished run of this configuration and seed, announced on stderr, else a new run."""
    known = None if fresh else latest_run(root, name, config, seed)
    results = (SUMMARY, "report.html")
    if known is not None and not all((known.path / file).exists() for file in results):
        print(f"continuing {known.path}", file=sys.stderr)  # noqa: T201
        return known
    return create_run(root, name, config, seed)


def list_runs(root: str | Path, name: str) -> list[Run]:
    """All runs of a name, oldest first."""
    parent = Path(root) / name
    if not parent.is_dir():
        return []
    return [
        Run(folder)
        for folder in sorted(parent.iterdir())
        if not folder.name.startswith(".") and (folder / CONFIG).is_file()
    ]


def latest_run(
    root: str | Path, name: str, config: Mapping[str, Any] | None = None, seed: int | None = None
) -> Run | None:
    """The newest run of a name, of this configuration and seed if they are given, or None."""
    for run in reversed(list_runs(root, name)):
        if (config is None or run.matches(config)) and (seed is None or run.seed == seed):
            return run
    return None
