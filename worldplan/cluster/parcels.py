"""What a job writes: its files travel as bytes, and are put into the run folder one by one, the
file that says that the job is done last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worldplan.milp.errors import ConfigError
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


def pack(job: Job) -> Parcel:
    """What the run folder has of the job."""
    root = job.folder
    found = [file for path in job.files for file in _files_in(path)]
    return Parcel({file.relative_to(root).as_posix(): file.read_bytes() for file in found})


def unpack(parcel: Parcel, folder: Path) -> None:
    """Write the files into an empty folder."""
    for name, content in parcel.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def changes(before: Parcel, folder: Path) -> Parcel:
    """What differs between a parcel and the folder that it was unpacked into."""
    now = {file.relative_to(folder).as_posix(): file.read_bytes() for file in _files_in(folder)}
    changed = {name: content for name, content in now.items() if before.files.get(name) != content}
    return Parcel(changed, tuple(name for name in before.files if name not in now))


def deliver(parcel: Parcel, job: Job) -> None:
    """Put the files into the run folder, each of them whole or not at all.

    Raises:
        ConfigError: the run folder was deleted or moved; it is not made again.
    """
    if not job.folder.is_dir():
        raise ConfigError(
            f"{job.folder}: the folder of this run was deleted or moved while the run went on: "
            "repeat the command"
        )
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
