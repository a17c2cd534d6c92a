"""The note in a collection's folder: its settings and versions, which a resumed one must share."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.world_models.folders import LOCK, path_before
from worldplan.world_models.storage import replace_file

_log = logging.getLogger(__name__)

NOTE = "settings.json"
_FORMAT = 2  # of the folder; 1: a resumed collection differed from an uninterrupted one
_PARTS = ("settings", "versions")
_REMEDY = "choose another --folder, or --fresh to begin anew (this folder's content is kept)"


def claim(
    folder: Path,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    longer: str = "",
    fresh: bool = False,
) -> None:
    """Write settings and versions into a new folder, or compare them with those of an old one.

    Args:
        folder: which this process has exclusively.
        settings: JSON values. All must be those of the old folder, except the one in `longer`.
        versions: of packages whose other versions may give other data.
        longer: name of a setting that may grow.
        fresh: move a collection that is in the folder aside first.

    Raises:
        ConfigError: the folder was begun with other settings or versions, which are named, or its
            note cannot be read.
        OSError: the folder cannot be written to.
    """
    note = folder / NOTE
    if fresh and note.is_file():
        _log.warning("%s: its content is now in %s", folder, _move_aside(folder))
    current = {"settings": dict(settings), "versions": dict(versions)}
    if not note.is_file():
        _write(note, current)
        return
    noted = _read(note)
    if not noted:
        raise ConfigError(
            f"{folder}: begun by an older worldplan, which collected other data: {_REMEDY}"
        )
    changes = [
        f"{name} was {noted[part].get(name)} and is {value}"
        for part in _PARTS
        for name, value in current[part].items()
        if noted[part].get(name) != value and not _grew(name, longer, noted[part].get(name), value)
    ]
    if changes:
        raise ConfigError(f"{folder}: begun with other settings: {'; '.join(changes)}: {_REMEDY}")
    if noted != current:
        _write(note, current)
    _log.warning("continuing %s", folder)


def installed_versions(*names: str) -> dict[str, str]:
    """Package -> installed version."""
    return {name: packages.version(name) for name in names}


def _grew(name: str, longer: str, old: Any, new: Any) -> bool:
    return name == longer and isinstance(old, int) and old <= new


def _write(note: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps({"format": _FORMAT, **content}, indent=2)
    replace_file(note, lambda draft: draft.write_text(text + "\n", encoding="utf-8"))


def _read(note: Path) -> dict[str, dict[str, Any]]:
    """The mappings `_PARTS` in the note; none of them if an older worldplan wrote it.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        current = noted.get("format") == _FORMAT
        return {part: dict(noted[part]) for part in _PARTS} if current else {}
    except OSError as error:
        raise ConfigError(
            f"{note}: cannot be read ({error.strerror or error}): check the permissions"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{note}: cannot be read ({text}): {_REMEDY}") from error


def _move_aside(folder: Path) -> Path:
    """Move the content of the folder, except its lock, beside it; returns where it is now."""
    aside = path_before(folder)
    aside.mkdir()
    entries = [entry for entry in folder.iterdir() if entry.name not in (LOCK, NOTE)]
    # the note last: without it, a kill would leave parts of unknown settings
    for entry in [*entries, folder / NOTE]:
        entry.rename(aside / entry.name)
    return aside
