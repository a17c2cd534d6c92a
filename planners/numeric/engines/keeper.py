"""A script that runs one command and never leaves it behind: `keeper.py MEMORY_MB LOG COMMAND...`.

It reads orders from its standard input: `p` pauses the command and everything that the command has
started, `c` lets them continue, and the end of the input, which comes when the caller closes it or
dies, kills them. A command that exceeds its memory is killed too. At the end the script prints
one JSON object: the exit status of the command, why it ended, and its largest memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time

import psutil

MEMORY_INTERVAL = 0.3  # seconds between two measurements of the memory
LARGEST_FILE = 64 * 2**20  # bytes of one file that the command may write
DEATH_SIGNAL = 1  # the number of Linux's prctl option PR_SET_PDEATHSIG


def main(memory_mb: int, log: str, command: list[str]) -> int:
    """Run the command; returns 0 whatever becomes of it."""
    try:
        with open(log, "wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_limit_and_follow,
            )
    except OSError as error:
        _report(ended="not started", code=None, reason=str(error))
        return 0
    try:
        ended, peak = _watch(child, memory_mb)
    finally:
        _signal(child, signal.SIGKILL)
    code = child.wait()
    peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _rss_unit())
    _report(ended=ended, code=code, memory_mb=round(peak / 2**20))
    return 0


def _report(**report: object) -> None:
    """Tell the caller how the command ended, if the caller still lives."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(report))
        sys.stdout.flush()


def _watch(child: subprocess.Popen[bytes], memory_mb: int) -> tuple[str, int]:
    """Why the command ended ("itself", "memory" or "closed"), and its largest memory in bytes."""
    peak, next_look = 0, 0.0
    while child.poll() is None:
        if select.select([0], [], [], 0.02)[0]:
            orders = os.read(0, 64)
            if not orders:
                return "closed", peak
            _signal(child, signal.SIGSTOP if orders.endswith(b"p") else signal.SIGCONT)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + MEMORY_INTERVAL
            used = _memory(child.pid)
            peak = max(peak, used)
            if used > memory_mb * 2**20:
                return "memory", peak
    return "itself", peak


def _memory(pid: int) -> int:
    """Resident bytes of a process and its descendants."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the command's whole group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group has ended
        os.killpg(child.pid, number)


def _limit_and_follow() -> None:
    """In the new process: a bound on files, and death with this script where the system has it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)


def _rss_unit() -> int:
    """Bytes in a unit of ru_maxrss."""
    return 1 if sys.platform == "darwin" else 1024


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
