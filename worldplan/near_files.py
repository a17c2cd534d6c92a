"""Which file or folder a misspelt path was probably meant to be."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from worldplan.nearest import closest_of
from worldplan.shipped import PACKAGE

_MOST = 20_000  # names of a folder that are looked at
_FOLDER = "configs"


def near_path(path: str | Path) -> str:
    """ " (did you mean 'configs/own.yaml'?)", with a path that exists; "" where none is near.

    Each part of the path that does not exist is replaced by the nearest name in its folder: one
    that differs only in what follows its last dot comes first. The files that come with worldplan
    count as well, where the current folder has no `configs/`, and by their names without folders.

    Args:
        path: of a file or folder that does not exist.
    """
    near = nearest_path(path)
    return f" (did you mean '{near}'?)" if near else ""


def nearest_path(path: str | Path) -> Path | None:
    """The path that `near_path` names; None where none is near.

    Args:
        path: of a file or folder that does not exist.
    """
    try:
        near = _nearest(Path(), Path(path))
        if near is None or near.stem != Path(path).stem:
            near = _shipped(Path(path)) or near
    except (OSError, ValueError):  # a folder that may not be read; a NUL byte
        return None
    return None if near == Path(path) else near


def _shipped(path: Path) -> Path | None:
    """The nearest of the files that come with worldplan, or that of a name without folders."""
    if path.parts[:1] == (_FOLDER,) and not Path(_FOLDER).exists():
        near = _nearest(PACKAGE, path)
        return near and near.relative_to(PACKAGE)
    if len(path.parts) == 1 and path.suffix:
        files = (PACKAGE / _FOLDER).rglob(f"*{path.suffix}")
        same = [file for file in files if file.name == path.name]
        return same[0].relative_to(PACKAGE) if len(same) == 1 else None
    return None


def _nearest(root: Path, path: Path) -> Path | None:
    """The path below `root`, with the nearest name in the place of each that does not exist."""
    place, parts = root, path.parts
    if path.is_absolute():
        place, parts = Path(path.anchor), parts[1:]
    for number, part in enumerate(parts, 1):
        if not (place / part).exists():
            wants_folder = number < len(parts)
            part = _nearest_name(place, part, wants_folder)
            if not part:
                return None
        place /= part
    return place


def _nearest_name(folder: Path, name: str, wants_folder: bool) -> str:
    """The nearest name in a folder; "" where none is near.

    Args:
        folder: where to look.
        name: as it was written.
        wants_folder: whether only folders count.
    """
    hidden = name.startswith(".")  # drafts and locks are no names that a user writes
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in islice(entries, _MOST)
            if entry.name.startswith(".") == hidden and (entry.is_dir() or not wants_folder)
        )
    stems: dict[str, list[str]] = {}
    for other in names:
        stems.setdefault(other if wants_folder else Path(other).stem, []).append(other)
    near = stems.get(closest_of(name if wants_folder else Path(name).stem, stems), [])
    return closest_of(name, near) or (near[0] if len(near) == 1 else "")
