"""Runs days of a programme in processes that are killed at random, each until it is done.

`python -m tests.worldplan.routine.killed FOLDER KILLS SEED`
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.worldplan.routine.builders import day, write_outcomes


def attempt(folder: Path, number: int, patience: float, more: Sequence[str] | None = None) -> bool:
    """Whether a day's process ends by itself, and well, within `patience` seconds.

    Args:
        folder: of the programme.
        number: of the day.
        patience: seconds.
        more: options of the command; random outcomes unless given.
    """
    if more is None:
        more = ["--outcomes", write_outcomes(folder / "o.csv", number)]
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(day(folder, number, *more))
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"day {number}: exit status {status}"
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main(folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Run days until so many processes were killed; returns the number of days, and how many of
    the processes were killed inside their transaction.
    """
    generator = random.Random(seed)
    started = time.monotonic()
    assert attempt(folder, 0, 600.0)
    usual = time.monotonic() - started
    number, inside = 1, 0
    while kills:
        killed = not attempt(folder, number, generator.uniform(0, 1.2 * usual))
        inside += killed and (folder / "c.db-journal").exists()
        kills -= killed
        if killed and generator.random() < 0.5:
            continue  # the next process may be killed, too
        if killed:
            assert attempt(folder, number, 600.0)
        number += 1
    assert attempt(folder, number, 600.0)
    return number + 1, inside


if __name__ == "__main__":
    print(*main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))  # noqa: T201
