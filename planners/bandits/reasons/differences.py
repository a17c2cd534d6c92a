"""What one decision is worth more than another, with the range that is proven."""

from __future__ import annotations

from worldplan.planners.base import Decision


def difference(
    best: Decision, answer: Decision, rounding: float
) -> tuple[float | None, float | None, float | None]:
    """Value of `best` minus that of `answer`, and its proven range: (difference, low, high).

    All are None if a value is unknown; an end of the range is None if a bound is unknown.

    Args:
        best: a decision.
        answer: of the same problem with other limits.
        rounding: differences up to this are zero.
    """
    if best.value is None or answer.value is None:
        return None, None, None
    gained = best.value - answer.value
    if abs(gained) <= rounding:
        gained = 0.0
    low = gained if _proven(answer) else _minus(best.value, answer.bound)
    high = gained if _proven(best) else _minus(best.bound, answer.value)
    return gained, low, high


def _proven(decision: Decision) -> bool:  # the gap is 0 unless the solve was cut off
    return decision.value is not None and decision.status != "time_limit"


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
