"""`EngineProcess`: one command that can be paused, and that ends with its caller."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEEPER = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Args:
        why: "itself", "memory", "closed", "not started", or "lost" (its keeper was killed).
        code: exit status; below 0 the signal that ended it; None if there is none.
        memory_mb: its largest resident memory.
        reason: the error of a command that could not be started.
    """

    why: str
    code: int | None = None
    memory_mb: int = 0
    reason: str = ""


class EngineProcess:
    """A command in a folder, under a keeper that ends it when this object is closed or this process
    dies.

    Args:
        command: the program and its arguments.
        folder: its working folder.
        memory_limit_mb: resident memory of the command and of what it starts.

    Attributes:
        log: file with everything that the command has printed.
    """

    def __init__(self, command: Sequence[str], folder: Path, memory_limit_mb: int) -> None:
        self.log = folder / "output.txt"
        self._ending: Ending | None = None
        # a session of its own: Ctrl-C in the terminal must reach the caller first
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(_KEEPER), str(memory_limit_mb), str(self.log), *command],
            cwd=folder,
            bufsize=0,  # orders leave at once
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def pause(self) -> None:
        """Stop the command until `resume`; it keeps its memory."""
        self._order(b"p")

    def resume(self) -> None:
        """Let the command continue."""
        self._order(b"c")

    def poll(self) -> Ending | None:
        """How the command ended; None if it has not."""
        if self._ending is None and self._keeper.poll() is not None:
            self._ending = self._read()
        return self._ending

    def output(self, size: int = 100_000) -> str:
        """The last `size` bytes that the command has printed."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - size))
            return stream.read().decode(errors="replace")

    def close(self) -> Ending:
        """End the command and everything that it has started; returns how it ended."""
        if self._ending is None:
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
            self._keeper.wait()
            self._ending = self._read()
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        return self._ending

    def _order(self, letter: bytes) -> None:
        if self._ending is None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended; `poll` tells how
                self._keeper.stdin.write(letter)

    def _read(self) -> Ending:
        """The report of the keeper, which has ended."""
        text = b""
        if self._keeper.stdout is not None:
            text = self._keeper.stdout.read()
            self._keeper.stdout.close()
        try:
            report: dict[str, Any] = json.loads(text)
        except ValueError:
            return Ending("lost")
        return Ending(
            report["ended"], report["code"], report.get("memory_mb", 0), report.get("reason", "")
        )
