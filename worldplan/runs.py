"""Run folders: runs/<name>/<time>/ holds the configuration, versions, seed, metrics, plots,
checkpoints and report of one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.renamed import refuse_renamed
from worldplan.world_models.storage import replace_file

CONFIG, VERSIONS, SEED, METRICS, SUMMARY = (
    "config.yaml",
    "versions.json",
    "seed",
    "metrics.csv",
    "summary.csv",
)
PACKAGES = (
    "worldplan",
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "pandas",
    "gymnasium",
    "mujoco",
    "minari",
    "stable-baselines3",
    "pyomo",
    "highspy",
    "gurobipy",
    "networkx",
    "joblib",
    "ray",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder. Make one with `create_run`, come back to one with `Run.open` or `latest_run`."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in `path`. Raises ConfigError when it is not a run folder."""
        folder = Path(path)
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"{folder}: not a run folder (it has no {CONFIG}): give a folder like runs/<name>/<time>"
            )
        return cls(folder)

    @property
    def name(self) -> str:
        """<name>/<time>, for people."""
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
        """The configuration the run was made with."""
        return read_config(self.path / CONFIG)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of everything that was installed when the run was made."""
        return read_json(self.path / VERSIONS)

    @property
    def seed(self) -> int:
        """The seed the run was made with."""
        try:
            return int((self.path / SEED).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.path / SEED}: cannot read the seed of this run ({error}): start a new run"
            ) from error

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Whether the run was made with exactly this configuration."""
        # names of an older worldplan make a difference here, not an error
        return config_hash(_read_mapping(self.path / CONFIG)) == config_hash(config)

    def require(self, config: Mapping[str, Any], seed: int | None = None) -> None:
        """Raise ConfigError, naming what differs, unless the run was made with this configuration
        (and seed).
        """
        if not self.matches(config):
            changes = _differences(self.config, config)
            raise ConfigError(
                f"{self.path}: made with another configuration ({changes}): start a new run, or resume with {self.path / CONFIG}"
            )
        if seed is not None and seed != self.seed:
            raise ConfigError(
                f"{self.path}: made with seed {self.seed}, not {seed}: start a new run, or resume with the old seed"
            )

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
        """A table of the run, or None where it was never written. Raises DatasetError when it
        cannot be read.
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
    """Make `root/name/<time>/` with configuration, versions and seed; it appears complete or not at
    all.
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
            f"{parent}: cannot make a run folder here ({error.strerror}): choose another place for runs"
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
    """Rename the draft to the first free name; renaming onto a folder with content fails, so two
    runs never share one.
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
    """The unfinished run of this configuration, which it says it continues, else a new one."""
    known = None if fresh else latest_run(root, name, config, seed)
    if known is not None and not all(
        (known.path / file).exists() for file in (SUMMARY, "report.html")
    ):
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
    """The newest run of a name, or the newest made with this configuration and seed; None where
    there is none.
    """
    for run in reversed(list_runs(root, name)):
        if (config is None or run.matches(config)) and (seed is None or run.seed == seed):
            return run
    return None


# --- files ----------------------------------------------------------------------------------------


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text, whole or not at all."""
    return replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> Path:
    """Write JSON, whole or not at all."""
    return write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a table without its index, whole or not at all; floats keep all their digits."""
    return replace_file(path, lambda draft: table.to_csv(draft, index=False))


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ConfigError naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read this JSON file: {_one_line(error)}") from error


def read_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError naming file and line.

    Raises:
        ConfigError: the file cannot be read or parsed, holds no mapping, or holds a class path or
            environment id of an older worldplan (see `worldplan.renamed`).
    """
    config = _read_mapping(path)
    refuse_renamed(config, path)
    return config


def _read_mapping(path: str | Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file: check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {_one_line(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {_one_line(error)}") from error
    if not isinstance(value, dict):
        raise ConfigError(
            f"{path}: must hold settings as 'name: value' lines, but holds {'nothing' if value is None else type(value).__name__}"
        )
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


# --- configurations -------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The same value out of dicts, lists and scalars only: what YAML and JSON can hold. Raises
    ConfigError for anything else.
    """
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, (int, bool)) else str(key): plain(entry)
            for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(
        value, "tolist"
    ):  # numpy arrays and scalars; its float64 is a float too, yet YAML refuses it
        return plain(value.tolist())
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "isoformat"):  # YAML turns 2026-11-22 into a date
        return value.isoformat()
    raise ConfigError(
        f"a configuration holds a {type(value).__name__} ({value!r}): only numbers, texts, lists and mappings can be stored"
    )


def config_text(config: Mapping[str, Any], *, sort_keys: bool = False) -> str:
    """The configuration as YAML."""
    return yaml.safe_dump(plain(config), sort_keys=sort_keys, allow_unicode=True, width=120)


def config_hash(config: Mapping[str, Any]) -> str:
    """A fingerprint that depends on the settings only, not on their order or on tuples and lists."""
    return hashlib.sha256(config_text(config, sort_keys=True).encode()).hexdigest()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first settings that differ, in one line."""
    before, after = _flatten(plain(old)), _flatten(plain(new))
    changed = sorted(
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    )
    parts = [
        f"{key} was {before.get(key, 'not set')}, is {after.get(key, 'not set')}"
        for key in changed[:3]
    ]
    return "; ".join(parts) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    entries = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else None
    )
    if not entries:
        return {prefix: repr(value)}
    flat: dict[str, str] = {}
    for key, entry in entries:
        flat |= _flatten(entry, f"{prefix}.{key}" if prefix else str(key))
    return flat


# --- versions -------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Versions of Python, the machine, the packages that matter, and the source commit; found
    without importing any of them.
    """
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commit = _git_commit()
    return found | ({"commit": commit} if commit else {})


def _git_commit() -> str | None:
    """Commit of the source tree worldplan runs from, with "+changes" where files differ from it."""
    source = Path(__file__).resolve().parent.parent
    if not (source / ".git").exists():
        return None
    command = [
        "git",
        "-C",
        str(source),
        "describe",
        "--always",
        "--abbrev=40",
        "--exclude=*",
        "--dirty=+changes",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
