"""The wait between unsuccessful searches."""

from __future__ import annotations

from worldplan.planners.ramp.backoff import Backoff


def test_the_wait_doubles_until_a_search_succeeds() -> None:
    backoff, searched, successes = Backoff(), [], {31}

    def search(step: int) -> int | None:
        searched.append(step)
        return step if step in successes else None

    results = [backoff.at(step, lambda step=step: search(step)) for step in range(1, 300)]
    assert searched == [1, 3, 7, 15, 31, 32, 34, 38, 46, 62, 94, 158, 222, 286], "at most 64 apart"
    assert [result for result in results if result is not None] == [31]
