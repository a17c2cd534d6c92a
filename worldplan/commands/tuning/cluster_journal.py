"""The trials of a tuning on a Ray cluster: its machines append to a journal in an actor, which the
command keeps in the run folder's file.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from worldplan.cluster import connected, start_actor
from worldplan.milp.errors import ConfigError

SCHEME = "rayjournal://"
_EVERY = 1.0  # seconds between two copies into the file


class SharedLog:
    """Entries that several processes append and read: an actor of Ray.

    Args:
        entries: those that are there already.
    """

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def read(self, start: int) -> list[dict[str, Any]]:
        """The entries from number `start` on."""
        return self._entries[start:]

    def append(self, entries: list[dict[str, Any]]) -> None:
        """Add entries."""
        self._entries += entries


class ClusterJournal(BaseJournalBackend):
    """A journal of trials in an actor of the cluster.

    Args:
        name: of the actor.
    """

    def __init__(self, name: str) -> None:
        import ray

        self._ray = ray
        self._log = self._answer(lambda: ray.get_actor(name))

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The entries from a number on.

        Raises:
            ConfigError: the actor's machine was lost.
        """
        entries: list[dict[str, Any]] = self._answer(
            lambda: self._ray.get(self._log.read.remote(log_number_from))
        )
        return entries

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries.

        Raises:
            ConfigError: the actor's machine was lost.
        """
        self._answer(lambda: self._ray.get(self._log.append.remote(logs)))

    def _answer(self, ask: Any) -> Any:
        try:
            return ask()
        except (self._ray.exceptions.RayError, ValueError) as error:
            raise ConfigError(
                "the machine of the Ray cluster that held the trials was lost: the run folder has "
                "those that were finished: repeat the command to continue"
            ) from error


@contextmanager
def journal_on_cluster(file: Path) -> Iterator[str]:
    """The storage of the trials of a file for the machines of the cluster, while the block under
    `with` runs. The file has all entries at its end, and all but those of the last second where
    this process is killed.

    Args:
        file: a journal, or where one begins. No other process writes to it.

    Raises:
        ConfigError: there is no such cluster, or the journal is damaged.
    """
    kept = JournalFileBackend(str(file))
    entries = list(kept.read_logs(0))
    with connected() as ray:
        name = f"worldplan-trials-{secrets.token_hex(8)}"
        log = start_actor(ray, SharedLog, entries, name=name)
        ended, count = threading.Event(), len(entries)

        def copy() -> None:
            nonlocal count
            if new := ray.get(log.read.remote(count)):
                kept.append_logs(new)
                count += len(new)

        def keep() -> None:
            while not ended.wait(_EVERY):
                try:
                    copy()
                except ray.exceptions.RayError:
                    return  # the trials report it

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield f"{SCHEME}{name}"
        finally:
            ended.set()
            thread.join()
            with suppress(ray.exceptions.RayError):
                copy()
            ray.kill(log)
