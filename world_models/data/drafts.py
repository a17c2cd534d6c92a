"""New datasets that appear whole or not at all, and that one process at a time makes.

A dataset is written into a draft folder beside its place and moved there. A killed process leaves
its draft, which the next one that writes a dataset there deletes.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from worldplan.milp.errors import DatasetError, FolderInUse
from worldplan.world_models.folders import LOCK, exclusive

DRAFTS = ".worldplan-drafts"  # Minari skips folders with a dot
_RACES = 20


@dataclass(frozen=True)
class Place:
    """Where a dataset goes: a file, or the folder of a Minari dataset.

    Args:
        name: of the dataset, for messages: the file or the id.
        path: of the file or the folder.
        drafts: an empty folder in the same file system, for this process only.
    """

    name: str
    path: Path
    drafts: Path

    @contextmanager
    def naming_disk_errors(self) -> Iterator[None]:
        """A context in which an error of a draft becomes one of the dataset.

        Raises:
            OSError: names the dataset.
        """
        try:
            yield
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, os.strerror(error.errno), self.name) from error

    def publish(self, draft: Path, *, replace: bool = False) -> None:
        """Move a finished draft to the place.

        Args:
            draft: a file or folder in `drafts`.
            replace: take the place of a dataset that is there.

        Raises:
            DatasetError: a dataset is there, and `replace` is not set.
            OSError: the disk is full.
        """
        for file in [draft] if draft.is_file() else draft.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        if replace and self.path.is_dir():
            self.path.rename(self.drafts / "replaced")
        try:
            if draft.is_dir() or replace:
                draft.replace(self.path)
            else:
                _move_file(draft, self.path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            raise DatasetError(f"{self.name} exists already: choose another name") from error


def _move_file(draft: Path, path: Path) -> None:
    """Rename the draft to `path`.

    Raises:
        FileExistsError: there is such a file.
    """
    try:
        path.hardlink_to(draft)  # unlike a rename, it never replaces a file
    except OSError as error:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        draft.replace(path)  # a file system without hard links


@contextmanager
def reserved(name: str, path: Path, root: Path) -> Iterator[Place]:
    """A context in which no other process makes the dataset `path`.

    Args:
        name: of the dataset, for messages.
        path: of its file or folder.
        root: folder above `path` in which the draft folder is made; it is deleted at the end, as
            are those of killed processes.

    Raises:
        FolderInUse: another process makes this dataset; says which.
        OSError: the draft folder cannot be made.
    """
    drafts = root / DRAFTS
    own = drafts / str(path.relative_to(root)).replace(os.sep, "+")
    _delete_left_over(drafts)
    with ExitStack() as stack:
        try:
            _enter(stack, own)
        except FolderInUse as error:
            text = str(error).replace(str(own), name).replace("works in this folder", "makes it")
            raise FolderInUse(text.replace("another folder", "another name")) from None
        except OSError as error:  # a full disk
            _delete(own)
            raise OSError(error.errno, error.strerror, name) from error
        stack.callback(_delete, own)
        _empty(own)
        yield Place(name, path, own)


def _enter(stack: ExitStack, folder: Path) -> None:
    """Get the folder exclusively.

    Raises:
        FolderInUse: another process has it.
    """
    for _ in range(_RACES):
        try:
            stack.enter_context(exclusive(folder))
            return
        except FileNotFoundError:  # another process has just deleted the folder
            continue
    stack.enter_context(exclusive(folder))


def _delete(folder: Path) -> None:
    """Delete a draft folder, and the folder of drafts if it is empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def _empty(folder: Path) -> None:
    """Delete what a killed process left in the folder, except the lock."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def _delete_left_over(drafts: Path) -> None:
    """Delete the draft folders that no process has."""
    for folder in drafts.glob("*"):
        with suppress(FolderInUse, OSError), exclusive(folder, wait=0.0):
            _delete(folder)
