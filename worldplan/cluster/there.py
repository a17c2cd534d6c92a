"""The side of a job on a machine of the cluster: unpack, run, pack."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from worldplan.cluster.luggage import Luggage
from worldplan.cluster.mailbox import reporting
from worldplan.cluster.parcels import Parcel, changes, unpack
from worldplan.cluster.places import moved, under
from worldplan.milp.errors import ConfigError
from worldplan.versions import package_versions

_PREFIX, _LOCK = "worldplan-ray-", ".lock"
_folders: dict[str, Path] = {}  # of this process, by the token of the luggage
_locks: list[FileLock] = []


@dataclass(frozen=True)
class Order:
    """One job for a machine of the cluster.

    Args:
        call: the pickled function and job.
        folder: absolute path of the run folder here.
        parcel: what the run folder has of the job.
        attempt: a number of its own for each attempt to run a job.
        every: seconds between two looks for new checkpoints.
    """

    call: bytes
    folder: str
    parcel: Parcel
    attempt: int
    every: float


@dataclass(frozen=True)
class Outcome:
    """What comes back.

    Args:
        parcel: what the job wrote.
        warned: type and text of its warnings.
        error: what the job raised.
        trace: its traceback.
    """

    parcel: Parcel
    warned: tuple[tuple[type[Warning], str], ...] = ()
    error: Exception | None = None
    trace: str = ""


def run_there(luggage: Luggage, order: Order, mailbox: Any) -> Outcome:
    """Run one job in the folder of this process. What the job raises is part of the outcome: a job
    that ends without one is repeated.
    """
    try:
        _check_versions(luggage.versions)
        root = _unpacked(luggage)
    except Exception as problem:
        return Outcome(Parcel({}), (), problem, traceback.format_exc())
    folder = under(root, order.folder)
    shutil.rmtree(folder, ignore_errors=True)  # of a job that was cancelled
    for name in ("jobs", "plots", "checkpoints"):
        (folder / name).mkdir(parents=True)
    unpack(order.parcel, folder)
    error: Exception | None = None
    trace = ""
    with (
        warnings.catch_warnings(record=True) as caught,
        reporting(mailbox, order.attempt, folder, order.every) as snapshots,
    ):
        warnings.simplefilter("default")
        try:
            work, job = pickle.loads(order.call)
            work(moved(job, root, {*luggage.files, luggage.folder, order.folder}))
        except (Exception, SystemExit) as problem:
            error, trace = _as_here(problem, root), _without(traceback.format_exc(), root)
    warned = tuple((entry.category, _without(str(entry.message), root)) for entry in caught)
    written = changes(order.parcel, folder, snapshots.names)
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(written, warned, error, trace)


def _check_versions(wanted: dict[str, str]) -> None:
    """Check that this machine has the same packages.

    Raises:
        ConfigError: it has not.
    """
    present = package_versions()
    different = [
        f"{name} {present[name]} in the place of {version}"
        for name, version in wanted.items()
        if present.get(name, version) != version  # a job that needs an absent one says so
    ]
    if different:
        raise ConfigError(
            f"machine {os.uname().nodename} of the Ray cluster has {', '.join(different)}: install "
            "the same versions on every machine"
        )


def _unpacked(luggage: Luggage) -> Path:
    """The folder of this process with the files of the command, which become its current folder and
    its modules.
    """
    if luggage.token not in _folders:
        import ray

        root = _new_folder(luggage.token)
        for name, reference in luggage.files.items():
            path = under(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(ray.get(reference).data)
        under(root, luggage.folder).mkdir(parents=True, exist_ok=True)
        sys.path[:0] = [str(under(root, folder)) for folder in luggage.modules]
        _folders[luggage.token] = root
    root = _folders[luggage.token]
    os.chdir(under(root, luggage.folder))
    os.environ.update({name: str(under(root, at)) for name, at in luggage.variables.items()})
    return root


def _new_folder(token: str) -> Path:
    """A temporary folder of this process, which holds its lock. Those of killed processes, which
    hold their locks no more, are deleted.
    """
    temporary = Path(tempfile.gettempdir())
    for old in temporary.glob(f"{_PREFIX}*"):
        with suppress(Timeout, OSError), FileLock(old / _LOCK, timeout=0):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{token}-", dir=temporary))
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    _locks.append(lock)
    return folder


def leave(token: str) -> None:
    """Delete what the processes of a command left on this machine; they end with the command."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}{token}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _as_here(error: BaseException, root: Path) -> Exception:
    """The error with the paths of the command's machine."""
    for name in ("filename", "filename2"):
        if getattr(error, name, None) is not None:
            setattr(error, name, _without(str(getattr(error, name)), root))
    error.args = tuple(
        _without(part, root) if isinstance(part, str) else part for part in error.args
    )
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error may refuse to be pickled in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def _without(text: str, root: Path) -> str:
    return text.replace(str(root), "")
