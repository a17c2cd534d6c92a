"""Limits of time and memory for a search, cheap enough to be checked at every state."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worldplan.milp import checks
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem

_STATM = Path("/proc/self/statm")
_MEMORY_INTERVAL = 0.1  # seconds between two measurements of the memory


def check_limits(
    model: NumericModel, problem: NumericProblem, time_limit: float, memory_limit_mb: int
) -> None:
    """Check what every numeric planner is called with.

    Raises:
        ConfigError: an argument of another type, a negative time, or no memory.
    """
    checks.of_type(model, "model", NumericModel)
    checks.of_type(problem, "problem", NumericProblem)
    check_effort(time_limit, memory_limit_mb)


def check_effort(time_limit: float, memory_limit_mb: int) -> None:
    """Check the limits alone.

    Raises:
        ConfigError: a limit of another type, a negative time, or no memory.
    """
    checks.number(time_limit, "time_limit", least=0, infinite=True)
    checks.whole_number(memory_limit_mb, "memory_limit_mb", least=1)


class LimitReached(Exception):
    """A limit is reached; ends a search from within and never leaves `search_plan` or `milp_plan`.

    Args:
        status: "time_limit" or "memory_limit".
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


def resident_mb() -> float:
    """Resident memory of this process in MB; the peak of it where the system has no /proc."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class SearchLimits:
    """Limits that count from the creation of the object.

    Args:
        seconds: wall-clock time.
        memory_mb: resident memory of the whole process.
        between: called about ten times a second. It may pause the search, and returns the seconds
            of the pause: they count for `seconds`, but not for a part of the limits.
    """

    def __init__(
        self, seconds: float, memory_mb: float, between: Callable[[], float] = lambda: 0.0
    ) -> None:
        checks.number(seconds, "seconds", least=0, infinite=True)
        self.created = time.perf_counter()
        self.memory_mb = checks.number(memory_mb, "memory_mb", least=0, infinite=True)
        self._between = between
        self._paused = [0.0]  # seconds of all pauses, shared with the parts
        self._last = self._deadline = self.created + seconds
        self._next_memory_check = self.created

    def spent(self) -> float:
        """Seconds since the creation, without pauses."""
        return time.perf_counter() - self.created - self._paused[0]

    def left(self) -> float:
        """Seconds until the time limit, at least 0."""
        return max(0.0, self._deadline - time.perf_counter())

    def part(self, seconds: float) -> SearchLimits:
        """The same limits, but at most `seconds` from now."""
        part = SearchLimits(seconds, self.memory_mb, self._between)
        part._deadline, part._last = min(part._deadline, self._deadline), self._last
        part._paused = self._paused
        return part

    def check(self) -> None:
        """Check the limits; takes about a tenth of a microsecond.

        Raises:
            LimitReached: a limit is reached.
        """
        now = time.perf_counter()
        if now >= self._deadline:
            raise LimitReached("time_limit")
        if now >= self._next_memory_check:
            if resident_mb() > self.memory_mb:
                raise LimitReached("memory_limit")
            if pause := self._between():
                self._paused[0] += pause
                self._deadline = min(self._deadline + pause, self._last)
            self._next_memory_check = time.perf_counter() + _MEMORY_INTERVAL
