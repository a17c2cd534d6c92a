"""What a job writes: its files travel as bytes, and are put into the run folder one by one, the
file that says that the job is done last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worldplan.runs import refuse_deleted
from worldplan.world_models.storage import replace_file


class Job(Protocol):
    """A part of a run that depends on no other part: a value that can be pickled."""

    @property
    def folder(self) -> Path:
        """The run folder; the job writes nothing elsewhere."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Its own files and folders in `folder`, in the order in which they are written: the job
        is done when the last one exists, and continues from what exists of the others.
        """
        ...


@dataclass(frozen=True)
class Parcel:
    """Files of a job.

    Args:
        files: the content of each by its path in the run folder, with "/".
        gone: paths that the job deleted.
    """

    files: dict[str, bytes]
    gone: tuple[str, ...] = ()


def pack(job: Job, names: Iterable[str] = ()) -> Parcel:
    """What the run folder has of the job.

    Args:
        job: the job.
        names: paths in the run folder that are its own too, of which some may not exist.
    """
    root = job.folder
    places = [*job.files, *(root / name for name in names)]
    found = [file for path in places for file in _files_in(path)]
    return Parcel({file.relative_to(root).as_posix(): file.read_bytes() for file in found})


def unpack(parcel: Parcel, folder: Path) -> None:
    """Write the files into an empty folder."""
    for name, content in parcel.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def changes(before: Parcel, folder: Path, names: Collection[str] = ()) -> Parcel:
    """What differs between a parcel and the folder that it was unpacked into.

    Args:
        before: the parcel.
        folder: the folder.
        names: of files that were sent since: the run folder may have them in another state than
            the parcel.
    """
    now = {file.relative_to(folder).as_posix(): file.read_bytes() for file in _files_in(folder)}
    changed = {
        name: content
        for name, content in now.items()
        if name in names or before.files.get(name) != content
    }
    known = dict.fromkeys((*before.files, *names))
    return Parcel(changed, tuple(name for name in known if name not in now))


def merged(first: Parcel, second: Parcel) -> Parcel:
    """Two parcels of a job, the first of which is older, as one."""
    files = {name: text for name, text in first.files.items() if name not in second.gone}
    gone = [name for name in first.gone if name not in second.files]
    return Parcel(files | second.files, tuple(dict.fromkeys((*gone, *second.gone))))


class Snapshots:
    """What a running job has written, parcel by parcel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._stamps()
        self.names: set[str] = set()

    def next(self) -> Parcel | None:
        """What has changed since the last parcel, as it would be found if the job was killed now;
        None where nothing has, or where a file is being replaced. The paths are added to `names`.
        """
        now = self._stamps()
        changed = [name for name, stamp in now.items() if self._seen.get(name) != stamp]
        gone = tuple(name for name in self._seen if name not in now)
        if not changed and not gone:
            return None
        try:
            files = {name: (self._folder / name).read_bytes() for name in changed}
        except FileNotFoundError:
            return None
        if self._stamps() != now:  # files of two moments may contradict each other
            return None
        self._seen = now
        self.names.update(changed, gone)
        return Parcel(files, gone)

    def _stamps(self) -> dict[str, tuple[int, int, int]]:
        stamps = {}
        for file in _files_in(self._folder):
            with suppress(FileNotFoundError):
                state = file.stat()
                name = file.relative_to(self._folder).as_posix()
                stamps[name] = (state.st_ino, state.st_mtime_ns, state.st_size)
        return stamps


def deliver(parcel: Parcel, job: Job) -> None:
    """Put the files into the run folder, each of them whole or not at all.

    Raises:
        ConfigError: the run folder was deleted or moved; it is not made again.
    """
    refuse_deleted(job.folder)
    own = [path.relative_to(job.folder) for path in job.files]
    for name in sorted(parcel.files, key=lambda name: (_place(Path(name), own), name)):
        replace_file(job.folder / name, _writer(parcel.files, name))
    for name in parcel.gone:
        (job.folder / name).unlink(missing_ok=True)


def _writer(files: Mapping[str, bytes], name: str) -> Callable[[Path], object]:
    return lambda draft: draft.write_bytes(files[name])


def _place(path: Path, own: Sequence[Path]) -> int:
    """Number of the job's file or folder that a path belongs to; -1 for none."""
    return next((n for n, part in enumerate(own) if path.is_relative_to(part)), -1)


def _files_in(path: Path) -> Iterator[Path]:
    """The file, or the files in a folder, without drafts of files; nothing if it does not exist."""
    if path.is_file():
        yield path
        return
    for part in sorted(path.rglob("*")):
        if part.is_file() and not part.name.startswith("."):
            yield part
