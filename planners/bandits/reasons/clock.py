"""A time limit for several solves."""

from __future__ import annotations

import math
import time

from worldplan.milp import checks


class Clock:
    """Time that is left of a limit for everything, and of the limit of one solve."""

    def __init__(self, total: float | None, one: float) -> None:
        self._began, self._one = time.perf_counter(), one
        self._total = math.inf if total is None else checks.number(total, "time_limit", above=0)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._began

    def part(self, share: float) -> Clock:
        """A clock for a share of the time that is left."""
        rest = self._total - self.seconds
        return Clock(max(share * rest, 1e-9) if math.isfinite(rest) else None, self._one)

    def left(self) -> float:
        """Seconds for the next solve."""
        return min(self._one, self._total - self.seconds)

    def over(self) -> bool:
        """Whether no time is left."""
        return self._total - self.seconds <= 0
