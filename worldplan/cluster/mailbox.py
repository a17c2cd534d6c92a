"""What jobs on a cluster report while they run: that they have begun, and their checkpoints, so
that a job whose machine is lost continues from its last one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldplan.cluster.parcels import Parcel, Snapshots, merged


class Mailbox:
    """Reports of running jobs, by the number of the attempt to run them: an actor of Ray, on the
    machine of the command where that belongs to the cluster.
    """

    def __init__(self) -> None:
        self._begun: list[int] = []
        self._saved: dict[int, Parcel] = {}

    def begin(self, attempt: int) -> None:
        """A job has begun."""
        self._begun.append(attempt)

    def save(self, attempt: int, parcel: Parcel) -> None:
        """Keep what a job has written until the command takes it."""
        before = self._saved.get(attempt)
        self._saved[attempt] = parcel if before is None else merged(before, parcel)

    def take(self) -> tuple[list[int], dict[int, Parcel]]:
        """(attempts that have begun, parcels by attempt), each of them once."""
        taken = self._begun, self._saved
        self._begun, self._saved = [], {}
        return taken


@contextmanager
def reporting(mailbox: Any, attempt: int, folder: Path, every: float) -> Iterator[Snapshots]:
    """Report the job that runs in the block under `with`.

    Args:
        mailbox: the actor.
        attempt: number of the attempt.
        folder: where the job writes.
        every: seconds between two looks for new files.
    """
    mailbox.begin.remote(attempt)
    snapshots, ended = Snapshots(folder), threading.Event()

    def report() -> None:
        while not ended.wait(every):
            if (parcel := snapshots.next()) is not None:
                mailbox.save.remote(attempt, parcel)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield snapshots
    finally:
        ended.set()
        thread.join()
