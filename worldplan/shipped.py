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
        option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
        # in a folder of the user's own, a missing file is missing: files of two origins do not mix
        is_users = Path(value).exists() or Path(value).parent.is_dir()
        if value.startswith(_FOLDER) and not is_users and (PACKAGE / value).exists():
            names.append(value)
            value = str(PACKAGE / value)
        words.append(f"{option}{equals}{value}")
    return words, names
