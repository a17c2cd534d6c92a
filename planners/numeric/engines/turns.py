"""`Turns`: time for several engines, and for the search that calls it, in growing slices.

Whoever has had the least time for its weight is next. Its slice doubles the time that it has had,
so that nobody waits long for an engine that is quick and no engine is interrupted often. An engine
whose slice has ended is paused and keeps its memory; nothing is computed twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from worldplan.planners.numeric.engines.run import EngineRun

_NAP = 0.02  # seconds between two looks at engines that run while the caller waits
FIRST_OWN_SLICE = 1.5  # seconds of the caller's first turn


class Overtaken(Exception):
    """An engine has found a valid plan; it ends the search that was waiting for its turn.

    Args:
        run: the run with the plan.
    """

    def __init__(self, run: EngineRun) -> None:
        super().__init__(run.engine.name)
        self.run = run


@dataclass
class _Seat:
    """A participant: an engine, or the caller (no run).

    Args:
        run: the engine's run; None for the caller.
        weight: its share of the time.
        first_slice: seconds of its first turn.
        delay: what counts as spent before its first turn.
        spent: seconds of its turns.
        slice_end: the value of `spent` at which its turn ends.
        running: whether it is its turn.
    """

    run: EngineRun | None
    weight: float
    first_slice: float
    delay: float = 0.0
    spent: float = 0.0
    slice_end: float = 0.0
    running: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it can use another turn."""
        return self.run is None or not self.run.ended


class Turns:
    """The turns of several engines and, until `leave`, of the caller.

    Args:
        runs: the engines' runs, in the order of their first turns.
        at_once: how many participants run at a time.
        seconds: time for all of them, from now on.
        with_caller: whether the caller takes part; its turn is first.
    """

    def __init__(
        self, runs: Sequence[EngineRun], at_once: int, seconds: float, *, with_caller: bool
    ) -> None:
        self.at_once = at_once
        self._caller = _Seat(None, 1.0, FIRST_OWN_SLICE) if with_caller else None
        self._seats = [self._caller] if self._caller is not None else []
        self._seats += [
            _Seat(run, run.engine.weight, run.engine.first_slice, run.engine.delay) for run in runs
        ]
        self._last = time.perf_counter()
        self._end = self._last + seconds

    def tick(self) -> float:
        """Let the engines take their turns; returns the seconds that the caller had to wait.

        Raises:
            Overtaken: an engine has a valid plan.
        """
        waited = 0.0
        while True:
            self._advance()
            is_over = time.perf_counter() >= self._end
            if self._caller is None or self._caller.running or not self._any_running() or is_over:
                return waited
            before = time.perf_counter()
            time.sleep(_NAP)
            waited += time.perf_counter() - before

    def finish(self) -> None:
        """Let the engines alone use the time that is left.

        Raises:
            Overtaken: an engine has a valid plan.
        """
        self._leave()
        while time.perf_counter() < self._end:
            self._advance()
            if not self._any_running():
                return
            time.sleep(min(_NAP, max(0.0, self._end - time.perf_counter())))

    def close(self) -> None:
        """End all engines."""
        for seat in self._seats:
            if seat.run is not None:
                seat.run.close()

    def _leave(self) -> None:
        """The caller needs no further turn."""
        self._seats = [seat for seat in self._seats if seat.run is not None]
        self._caller = None

    def _any_running(self) -> bool:
        return any(seat.running for seat in self._seats)

    def _advance(self) -> None:
        """Count the time, judge engines that have ended, end slices, and begin new ones.

        Raises:
            Overtaken: an engine has a valid plan.
        """
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        for seat in self._seats:
            if not seat.running:
                continue
            seat.spent += passed
            if seat.run is not None:
                seat.run.seconds = seat.spent
                seat.run.poll()
                if seat.run.plan is not None:
                    raise Overtaken(seat.run)
                seat.running = not seat.run.ended
        waiting = [seat for seat in self._seats if seat.is_open and not seat.running]
        for seat in self._seats:
            if waiting and seat.running and seat.spent >= seat.slice_end:
                seat.running = False
                if seat.run is not None:
                    seat.run.pause()
        self._seat_next()

    def _seat_next(self) -> None:
        """Begin slices while a place is free."""
        while sum(seat.running for seat in self._seats) < self.at_once:
            waiting = [seat for seat in self._seats if seat.is_open and not seat.running]
            if not waiting:
                return
            seat = min(waiting, key=lambda seat: (seat.spent + seat.delay) / seat.weight)
            seat.slice_end = seat.spent + max(seat.first_slice, seat.spent)
            if seat.run is not None:
                seat.run.resume()
            seat.running = seat.is_open
