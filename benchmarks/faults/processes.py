"""Start a command in a session of its own, end it, and see what remains of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.faults.cases import ROOT

_INJECTED = Path(__file__).with_name("injected")
_LONGEST = 300.0  # seconds of a command
_GRACE = 5.0  # seconds in which the jobs of a killed command must end


@dataclass
class Ended:
    """A command that ended: its exit code (negative: by a signal) and its stderr."""

    code: int
    errors: str

    @property
    def last_line(self) -> str:
        """The last line on stderr."""
        return (self.errors.strip().splitlines() or [""])[-1].strip()

    @property
    def has_traceback(self) -> bool:
        """Whether stderr holds a traceback."""
        return "Traceback (most recent call last)" in self.errors


class Running:
    """A command in a folder.

    Args:
        words: after `worldplan`.
        folder: where it runs; its Minari datasets and temporary files lie there too.
        variables: of the environment, see `injected/sitecustomize.py`.
    """

    def __init__(self, words: str, folder: Path, **variables: str) -> None:
        self.folder = folder
        (folder / "tmp").mkdir(exist_ok=True)
        self.begun = folder.with_name(f"{folder.name}-begun-{time.monotonic_ns()}")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(_INJECTED), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            "MINARI_DATASETS_PATH": str(folder / "minari"),
            "TMPDIR": str(folder / "tmp"),
            "COLUMNS": "200",
            "FAULTS_BEGUN": str(self.begun),
            **variables,
        }
        self._errors = self.begun.with_suffix(".err").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worldplan", *words.split()],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )

    def signalled(self, number: signal.Signals, after: float) -> bool:
        """Send a signal some seconds after the interpreter is up. SIGINT goes to all processes of
        the command, as from a terminal. Returns False if the command had ended before.
        """
        deadline = time.monotonic() + _LONGEST
        while not self.begun.exists() and self.process.poll() is None:
            time.sleep(0.005)
            if time.monotonic() > deadline:
                break
        try:
            self.process.wait(after)
            return False
        except subprocess.TimeoutExpired:
            if number == signal.SIGINT:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
            return True

    def end(self) -> Ended:
        """Wait for the end; a command that takes minutes is killed."""
        try:
            code = self.process.wait(_LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            code = self.process.wait()
        self._errors.seek(0)
        text = self._errors.read()
        self._errors.close()
        Path(self._errors.name).unlink()
        self.begun.unlink(missing_ok=True)
        return Ended(code, text)

    def orphans(self) -> int:
        """Number of processes that outlive the command by seconds; they are killed."""
        deadline = time.monotonic() + _GRACE
        while (left := _session(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in left:
            os.kill(process, signal.SIGKILL)
        return len(left)


def run(words: str, folder: Path, **variables: str) -> Ended:
    """Run a command to its end."""
    return Running(words, folder, **variables).end()


def held_locks(folder: Path) -> list[str]:
    """The lock files in a folder that a process still holds."""
    held = []
    for path in folder.rglob(".lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            held.append(str(path.relative_to(folder)))
    return held


def _session(leader: int) -> list[int]:
    """The processes of a session that are alive."""
    alive = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # it has just ended
            continue
        if int(session) == leader and state != "Z":
            alive.append(int(path.parent.name))
    return alive
