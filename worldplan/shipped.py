"""Scenarios, settings and example data that come with worldplan.

A command finds them by the names of the documentation, `configs/bandits/capacity.yaml`, from every
folder. A file of that name in the user's own folder comes first.
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
        if value.startswith(_FOLDER) and not Path(value).exists() and (PACKAGE / value).exists():
            names.append(value)
            value = str(PACKAGE / value)
        words.append(f"{option}{equals}{value}")
    return words, names
