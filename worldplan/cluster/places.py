"""Files of this machine on another one: they lie under a folder there, by their absolute names
here, so that relative names lead from one to the other as they do here.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def under(root: Path, path: str | Path) -> Path:
    """Where a file of this machine lies on the other one.

    Args:
        root: the folder there.
        path: absolute path here.
    """
    name = Path(path)
    return root / name.relative_to(name.anchor)


def moved(value: Any, root: Path, carried: Collection[str]) -> Any:
    """A copy of a job, or of a part of it, that names the files under `root`.

    Args:
        value: dataclasses, mappings, lists and tuples are followed; all else is kept.
        root: the folder of the other machine.
        carried: absolute paths of files and folders that are there. A text is changed if it is one
            of them, or if its part before the last colon is, as in "/home/ann/rules.py:build".
    """
    if isinstance(value, str | Path):
        name, colon, rest = str(value).rpartition(":")
        if str(value) in carried:
            return type(value)(under(root, value))
        return f"{under(root, name)}{colon}{rest}" if name in carried else value
    if is_dataclass(value) and not isinstance(value, type):
        other = copy.copy(value)
        for field in fields(value):  # `replace` would check the settings, which stay the same
            object.__setattr__(other, field.name, moved(getattr(value, field.name), root, carried))
        return other
    if isinstance(value, Mapping):
        return {key: moved(entry, root, carried) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(moved(entry, root, carried) for entry in value)
    return value
