"""What a command left in its folder, in parts that can be compared: columns of tables, entries of
settings, arrays and tensors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from worldplan.world_models.training.checkpoints import load_tensors

_RUN = re.compile(r"\d{4}-?\d{2}-?\d{2}\D.*")  # the name of a run folder: the time of its start
_TIMES = re.compile(r"(^|[/_ ])(seconds|time|ms|time_ms|decision_ms)($|[/_ ])")
# pictures, reports and journals of trials hold times; logs of MuJoCo are no result
_NOT_COMPARED = {".html", ".png", ".svg", ".log", ".txt~", ".journal"}
DRAFT = re.compile(r"\..+\.[0-9a-f]{12}(\.[^.]*)?|\.[0-9a-f]{12}|\.worldplan-drafts")


def run_folders(folder: Path) -> list[Path]:
    """The folders runs/NAME/TIME in a folder."""
    return sorted(path for path in folder.glob("runs/*/*") if _RUN.fullmatch(path.name))


def parts(folder: Path, root: Path) -> dict[str, str]:
    """Hashes of all that the files in `folder` hold, without the run folders below it.

    Args:
        folder: whose files are read.
        root: of the trial; its name is left out of texts.
    """
    hashes: dict[str, str] = {}
    runs = [run for run in run_folders(folder) if run != folder]
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(run in path.parents for run in runs):
            continue
        name = str(path.relative_to(folder))
        if path.suffix in _NOT_COMPARED or path.name.startswith(".") or "tmp/" in name:
            continue
        for entry, value in _entries(path, root):
            if not _TIMES.search(entry):
                hashes[f"{name}: {entry}".rstrip(": ")] = _hash(value)
    return hashes


def names(folder: Path) -> set[str]:
    """The names of all files in a folder, with the times of runs left out."""
    found = set()
    for path in folder.rglob("*"):
        parts_ = path.relative_to(folder).parts
        if path.is_file() or DRAFT.fullmatch(path.name):
            found.add("/".join("TIME" if _RUN.fullmatch(part) else part for part in parts_))
    return found


def _entries(path: Path, root: Path) -> Iterator[tuple[str, Any]]:
    """(name, value) of what a file holds."""
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        yield from ((str(column), table[column].tolist()) for column in table.columns)
    elif path.suffix in (".json", ".yaml"):
        text = path.read_text(encoding="utf-8").replace(str(root), "ROOT")
        text = re.sub(r"\d{4}-\d{2}-\d{2}[T_ -][\d:-]+\d", "TIME", text)
        yield from _leaves("", json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))
    elif path.suffix == ".npz":
        with np.load(path) as file:
            yield from ((name, file[name]) for name in file.files)
    elif path.suffix in (".ckpt", ".pt"):
        yield from _leaves("", load_tensors(path))
    elif path.suffix == ".hdf5":
        yield from _hdf5(path)
    else:
        yield "", path.read_bytes().replace(str(root).encode(), b"ROOT")


def _hdf5(path: Path) -> list[tuple[str, Any]]:
    import h5py

    entries: list[tuple[str, Any]] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, entry: entries.append(
                (name, entry[()] if isinstance(entry, h5py.Dataset) else dict(entry.attrs))
            )
        )
    return entries


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(f"{name}/{key}", entry)
    elif isinstance(value, list | tuple) and not all(isinstance(e, int | float) for e in value):
        for number, entry in enumerate(value):
            yield from _leaves(f"{name}/{number}", entry)
    else:
        yield name, value


def _hash(value: Any) -> str:
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = str((value.dtype, value.shape)).encode() + value.tobytes()
    else:
        content = value if isinstance(value, bytes) else repr(value).encode()
    return hashlib.sha256(content).hexdigest()
