"""Folders that one process at a time writes into, freed of what a killed one left behind."""

from __future__ import annotations

import itertools
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from worldplan.milp.errors import FolderInUse

LOCK = ".lock"
# the name of a file that `worldplan.world_models.storage.replace_file` has not finished
_DRAFT = re.compile(r"\..+\.[0-9a-f]{12}(\.[^.]*)?")
_ORPHANS = 3.0  # seconds that the jobs of a killed command may need to end


@contextmanager
def exclusive(
    folder: str | Path, wait: float = _ORPHANS, remedy: str = "choose another folder"
) -> Iterator[None]:
    """Keep `folder` for this process while the block under `with` runs.

    The operating system ends the lock with its process, however that ends, so none is left over. A
    killed process leaves unfinished files, which are deleted here, from all folders below too.

    Args:
        folder: made if it is missing.
        wait: seconds to wait for another process.
        remedy: what to do other than wait, for the message.

    Raises:
        FolderInUse: another process has the folder; says which.
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    lock = FileLock(file)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise FolderInUse(
            f"{folder}: another process works in this folder ({_holder(file)}): "
            f"wait for its end, or {remedy}"
        ) from None
    try:
        try:
            file.write_text(_myself(), encoding="utf-8")
        except OSError as error:  # a full disk: the error of a failed write has no file name
            raise OSError(error.errno, error.strerror, str(folder)) from error
        sweep(folder)
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Delete the unfinished files in `folder` and below. Only who has the folder may do so."""
    for path in folder.rglob(".*"):
        if _DRAFT.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def path_before(path: Path, ending: str = "") -> Path:
    """A free name beside `path` to rename it to: its name with -before-TIME, and a number where
    that name is taken because the clock went back.

    Args:
        path: the file or folder.
        ending: of its name that stays at the end, such as the suffix of a file.
    """
    name = f"{path.name.removesuffix(ending)}-before-{datetime.now():%Y%m%d-%H%M%S}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    free = (path.with_name(f"{name}{ending}") for name in names)
    return next(place for place in free if not place.exists())


def _myself() -> str:
    """Command, process, machine and time, for the message to others."""
    program, *words = sys.argv
    path = Path(program)
    name = path.parent.name if path.name == "__main__.py" else path.name  # of `python -m NAME`
    command = " ".join([name, *words[:3]])
    place = f"process {os.getpid()} on {socket.gethostname()}"
    return f"{command}, {place}, since {datetime.now():%Y-%m-%d %H:%M:%S}\n"


def _holder(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip() or "it has not said which"
    except (OSError, UnicodeDecodeError):
        return "it has not said which"
