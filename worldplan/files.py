"""Files of settings and tables: errors name the file, and a file is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from worldplan.milp.errors import ConfigError, DatasetError, one_line
from worldplan.milp.user_files import read_user_text, unique_keys
from worldplan.renamed import refuse_renamed
from worldplan.spreadsheets import plain_table, quoting, safe_table
from worldplan.strict_yaml import strict_load
from worldplan.world_models.storage import replace_file, require_replaceable


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text, whole or not at all. A byte of a file's name that is no UTF-8, which Python
    holds as half a character, is written as an escape.
    """
    return replace_file(
        path,
        lambda draft: draft.write_text(text, encoding="utf-8", errors="backslashreplace"),
    )


def write_json(path: Path, value: Any) -> Path:
    """Write JSON, whole or not at all."""
    return write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a table without its index, whole or not at all; floats keep all their digits. Texts
    that a spreadsheet would run as formulas are made harmless (`worldplan.spreadsheets`).
    """
    safe, marks = safe_table(table), quoting(table)
    return replace_file(path, lambda draft: safe.to_csv(draft, index=False, quoting=marks))


def refuse_input_as_output(
    output: str | Path, *inputs: str | Path | None, option: str = "--output"
) -> None:
    """Check that writing `output` replaces none of the files that a command reads, and no device.

    Args:
        output: the file that is written.
        inputs: the files that are read.
        option: that names the output, for messages.

    Raises:
        ConfigError: it would.
        IsADirectoryError: `output` is a folder.
    """
    require_replaceable(Path(output))
    files = [path for path in inputs if path is not None and _is_file(Path(path))]
    if _is_file(Path(output)) and any(Path(output).samefile(path) for path in files):
        raise ConfigError(f"{option} {output}: the command reads this file: choose another name")


def read_table(path: Path) -> pd.DataFrame:
    """The table in a CSV file that worldplan wrote; only empty cells are missing values.

    Raises:
        DatasetError: the file is missing, or cannot be read; names it.
    """
    try:
        # a policy is called "null": only empty cells are missing values
        return plain_table(pd.read_csv(path, keep_default_na=False, na_values=[""]))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: this table is missing: repeat the command that made the run"
        ) from error
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DatasetError(
            f"{path}: cannot read this table ({one_line(error, 1000)}): delete it and run again"
        ) from error


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ConfigError: the file cannot be read or parsed; names it.
    """
    text = read_user_text(path, ConfigError)
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot read this JSON file: {one_line(error, 1000)}") from error


def read_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file cannot be read or parsed, holds no mapping, or holds a class path or
            environment id of an older worldplan (see `worldplan.renamed`).
    """
    config = read_mapping(path)
    refuse_renamed(config, path)
    return config


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, names of an older worldplan included.

    Raises:
        ConfigError: the file cannot be read or parsed, or holds no mapping.
    """
    text = read_user_text(path, ConfigError, megabytes=16)
    try:
        value = strict_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {_yaml_problem(error)}") from error
    if not isinstance(value, dict):
        kind = "nothing" if value is None else type(value).__name__
        raise ConfigError(f"{path}: must hold settings as 'name: value' lines, but holds {kind}")
    return value


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Line and problem; the text that PyYAML quotes may be long."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        context = f"{error.context}, " if error.context else ""
        return f"line {mark.line + 1}, column {mark.column + 1}: {context}{error.problem}"
    return one_line(error, 1000)


def plain(value: Any) -> Any:
    """The same value as dicts, lists and scalars only: what YAML and JSON can hold.

    Raises:
        ConfigError: the value holds anything else.
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
    if hasattr(value, "tolist"):  # numpy arrays and scalars: YAML refuses even its float64
        return plain(value.tolist())
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "isoformat"):  # YAML turns 2026-11-22 into a date
        return value.isoformat()
    raise ConfigError(
        f"a configuration holds a {type(value).__name__} ({value!r}): "
        "only numbers, texts, lists and mappings can be stored"
    )


def config_text(config: Mapping[str, Any], *, sort_keys: bool = False) -> str:
    """The configuration as YAML."""
    return yaml.safe_dump(plain(config), sort_keys=sort_keys, allow_unicode=True, width=120)


def config_hash(config: Mapping[str, Any]) -> str:
    """A hash of the settings: their order, and tuples or lists, make no difference."""
    return hashlib.sha256(config_text(config, sort_keys=True).encode()).hexdigest()


def input_files(config: Any, *folders: Path) -> dict[str, str]:
    """The contents of the files that a configuration names, as hashes.

    Args:
        config: settings; every text in them, or its part before a colon, may be a file's name.
        folders: where relative names are looked up; the first folder that has the file counts.

    Returns:
        The SHA-256 of each file, by the name in the configuration.
    """
    hashes = {}
    for name, path in named_files(config, *folders).items():
        with path.open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def named_files(config: Any, *folders: Path) -> dict[str, Path]:
    """The files that a configuration names, by the name there; the arguments are those of
    `input_files`.
    """
    if isinstance(config, Mapping):
        return named_files(list(config.values()), *folders)
    if isinstance(config, (list, tuple)):
        return {name: file for part in config for name, file in named_files(part, *folders).items()}
    if not isinstance(config, (str, Path)):
        return {}
    name = str(config)
    for folder in folders or (Path(),):
        for path in (folder / name, folder / name.rpartition(":")[0]):
            if _is_file(path):
                return {name: path}
    return {}


def files_and_data(config: Any, *datasets: str | None) -> Iterator[Path]:
    """The files that a configuration names, and those of datasets. They are looked for when the
    first one is taken.

    Args:
        config: settings, see `input_files`.
        datasets: files or ids of Minari; None is passed over.
    """
    from worldplan.world_models.data.files import files_of  # imports h5py

    yield from named_files(config).values()
    for dataset in datasets:
        if dataset is not None:
            yield from files_of(dataset)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a text that is too long for a file's name is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
