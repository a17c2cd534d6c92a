"""Scenarios, settings and example data that come with worldplan.

A command finds them by the names of the documentation, `configs/bandits/capacity.yaml`, from every
folder. A file or folder of that name in the user's own folder comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parent
_FOLDER = "configs/"


def shipped_files(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replace the names of shipped files in `argv` by their paths.

    Args:
        argv: words of a command line; a name is a word, or stands after the `=` of an option.

    Returns:
        The words, and the names that were replaced.
    """
    words, names = [], []
    for word in argv:
        option, equals, value = _parts(word)
        # in a folder of the user's own, a missing file is missing: files of two origins do not mix
        if _is_shipped(value) and not Path(value).parent.is_dir():
            names.append(value)
            value = str(PACKAGE / value)
        words.append(f"{option}{equals}{value}")
    return words, names


def withheld_files(argv: Sequence[str]) -> list[str]:
    """The names in `argv` of shipped files that are not used, because the user has a folder of that
    name and the file is missing there.

    Args:
        argv: as in `shipped_files`.
    """
    values = [_parts(word)[2] for word in argv]
    return [value for value in values if _is_shipped(value) and Path(value).parent.is_dir()]


def _parts(word: str) -> tuple[str, str, str]:
    """Option, "=" and value of a word of a command line; the first two may be empty."""
    return word.rpartition("=") if word.startswith("-") else ("", "", word)


def _is_shipped(name: str) -> bool:
    """Whether the current folder lacks the file and worldplan has it."""
    return name.startswith(_FOLDER) and not Path(name).exists() and (PACKAGE / name).exists()
