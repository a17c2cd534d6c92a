"""Time and memory a search may take, asked often and cheaply."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")
_MEMORY_EVERY = 0.1  # seconds between two looks at the memory


class LimitReached(Exception):
    """Stops a search from within; `status` is "time_limit" or "memory_limit". Never leaves
    `search`.
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


def resident_mb() -> float:
    """Resident memory of this process in MB (where the system does not tell: the most it ever had)."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class SearchLimits:
    """Limits that count from its making.

    Args:
        seconds: wall-clock time.
        memory_mb: resident memory of the whole process.
    """

    def __init__(self, seconds: float, memory_mb: float) -> None:
        self.began = time.perf_counter()
        self.memory_mb = memory_mb
        self._deadline = self.began + seconds
        self._next_look = self.began

    def spent(self) -> float:
        """Seconds since its making."""
        return time.perf_counter() - self.began

    def part(self, seconds: float) -> SearchLimits:
        """The same limits, but at most `seconds` from now."""
        part = SearchLimits(seconds, self.memory_mb)
        part._deadline = min(part._deadline, self._deadline)
        return part

    def check(self) -> None:
        """Raises LimitReached if a limit is met; a tenth of a microsecond where not."""
        now = time.perf_counter()
        if now >= self._deadline:
            raise LimitReached("time_limit")
        if now >= self._next_look:
            self._next_look = now + _MEMORY_EVERY
            if resident_mb() > self.memory_mb:
                raise LimitReached("memory_limit")
