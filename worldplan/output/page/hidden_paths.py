"""Texts of a run without the folders of the machine it ran on."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

# an absolute path of two parts or more that is no part of an address such as https://...
_POSIX = re.compile(r"(?<![\w./:~*\\-])/(?:[^/\s'\"`,;:()<>|*]+/)+[^/\s'\"`,;:()<>|*]*")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\\\s'\"`,;:()<>|*]+\\)*[^\\\s'\"`,;:()<>|*]*")


def without_folders(text: str, run: Path) -> str:
    """The text with every absolute path cut to ".../name"; those in the run's own folder are given
    from there on.

    Args:
        text: any.
        run: the run folder.
    """
    for folder in {str(run), str(run.resolve())}:
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    text = _POSIX.sub(lambda found: _short(PurePosixPath(found[0]).name), text)
    return _WINDOWS.sub(lambda found: _short(PureWindowsPath(found[0]).name), text)


def settings_without_folders(value: Any, run: Path) -> Any:
    """Settings in which a text that is an absolute path is cut to ".../name"; keys too."""
    if isinstance(value, dict):
        return {
            settings_without_folders(key, run): settings_without_folders(entry, run)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [settings_without_folders(entry, run) for entry in value]
    if not isinstance(value, str):
        return value
    if PurePosixPath(value).is_absolute() and "\n" not in value:
        return _short(PurePosixPath(value).name)
    if PureWindowsPath(value).is_absolute() and "\n" not in value:
        return _short(PureWindowsPath(value).name)
    return without_folders(value, run)


def _short(name: str) -> str:
    return f".../{name}"
