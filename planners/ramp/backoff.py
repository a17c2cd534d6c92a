"""Exponential backoff between unsuccessful searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

MAX_WAIT = 64  # steps between two searches


class Backoff:
    """Repeats a search step by step, and doubles the wait after each unsuccessful one, up to
    `MAX_WAIT` steps.
    """

    def __init__(self) -> None:
        self._wait, self._next = 1, 0

    def at(self, step: int, search: Callable[[], Result | None]) -> Result | None:
        """The result of `search` at this step; None if it has none, or the wait is not over.

        Args:
            step: number of the current step, larger than in the last call.
            search: returns None if it is unsuccessful.
        """
        if step < self._next:
            return None
        result = search()
        self._wait = 1 if result is not None else min(2 * self._wait, MAX_WAIT)
        self._next = step + self._wait
        return result
