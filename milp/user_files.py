"""The content of a user's file: what is no regular file, too large or no UTF-8 text is refused in
one line, and a permission is reported as such.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldplan.milp.errors import DatasetError, WorldplanError
from worldplan.near_files import near_path

_MEGABYTE = 2**20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OPEN_PIPES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # bash's <(command) is such a path


def require_regular(path: str | Path, error: type[WorldplanError] = DatasetError) -> None:
    """Check that a path is a regular file, so that opening it neither waits nor never ends.

    A pipe that the caller has opened, as bash does for <(command), is taken as well.

    Args:
        path: the file.
        error: what is raised.

    Raises:
        WorldplanError: an `error`: it is missing, a folder, a device or a named pipe, or cannot be
            reached.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise error(f"{path}: no such file{near_path(path)}: check the path") from None
    except (OSError, ValueError) as reason:  # ValueError: a NUL byte in the path
        raise error(f"{path}: cannot be read ({_text(reason)}): check path and permissions") from (
            reason
        )
    if stat.S_ISREG(mode) or (stat.S_ISFIFO(mode) and str(path).startswith(_OPEN_PIPES)):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
    raise error(f"{path}: cannot be read: is {kind}: give a file")


def read_user_text(
    path: str | Path, error: type[WorldplanError] = DatasetError, megabytes: int = 64
) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; lines end in "\\n".

    Args:
        path: the file.
        error: what is raised.
        megabytes: the largest size that is read.

    Raises:
        WorldplanError: an `error`: the file is missing, no regular file, too large or no UTF-8
            text, or cannot be read; names the file and the line.
    """
    require_regular(path, error)
    try:
        with open(path, "rb") as file:
            data = file.read(megabytes * _MEGABYTE + 1)
    except OSError as reason:
        raise error(f"{path}: cannot be read ({_text(reason)}): check path and permissions") from (
            reason
        )
    if len(data) > megabytes * _MEGABYTE:
        raise error(f"{path}: is larger than {megabytes} MB, the most that is read: split it")
    if data.startswith(_UTF16):
        raise error(f"{path}: cannot be read: not a UTF-8 text file but UTF-16: save it in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = data.count(b"\n", 0, reason.start) + 1
        raise error(
            f"{path}, line {line}: cannot be read: not a UTF-8 text file ({reason.reason} at byte "
            f"{reason.start}): save it in UTF-8"
        ) from reason
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(f"{path}, line {line}: cannot be read: holds a NUL byte: write the file again")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The entries of a JSON object as a mapping; an `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a key is given twice.
    """
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(n for n in names if names.count(n) > 1)}' is given twice")
    return mapping


def _text(reason: Exception) -> str:
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
