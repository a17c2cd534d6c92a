"""A short affine map in the middle of an enclosure, and its certified error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from worldplan.world_models.exact.numbers import Point, Rational, exact

MOST_DIGITS = 15
WIDER = Fraction(21, 20)  # how much wider the error may be for shorter numbers


def centred(
    corners: Sequence[Point], intervals: Sequence[tuple[Rational, Rational]]
) -> tuple[list[Rational], Rational, tuple[Rational, Rational]]:
    """Coefficients and constant of an affine map g, and (low, high) such that every affine map t
    with values in the intervals at the corners has low <= t - g <= high in the hull of the corners.

    Args:
        corners: the points.
        intervals: bounds of t at each.
    """
    size = len(corners[0])
    proposed = _proposed(corners, intervals) if size else []
    least = _error(proposed, corners, intervals)
    best = proposed, least
    for digits in range(MOST_DIGITS):
        shorter = [exact(round(Fraction(a), digits)) for a in proposed]
        error = _error(shorter, corners, intervals)
        if error[1] - error[0] <= WIDER * (least[1] - least[0]):
            best = shorter, error
            break
    coefficients, (low, high) = best
    constant = _short(low, high)
    return coefficients, constant, _outward(low - constant, high - constant)


def _proposed(
    corners: Sequence[Point], intervals: Sequence[tuple[Rational, Rational]]
) -> list[Rational]:
    """Coefficients with about the least error, by a linear program in floating point."""
    columns = list(zip(*corners, strict=True))
    middle = [float(min(c) + max(c)) / 2 for c in columns]
    width = [float(max(c) - min(c)) / 2 or 1.0 for c in columns]
    points = (np.array([[float(x) for x in corner] for corner in corners]) - middle) / width
    ends = np.array([[float(low), float(high)] for low, high in intervals])
    scale = float(np.ptp(ends)) or 1.0
    low, high = (ends / scale).T
    size, count = points.shape[1], len(points)
    ones, zeros = np.ones((count, 1)), np.zeros((count, 1))
    result = linprog(
        [*[0.0] * size, -1.0, 1.0],  # of the coefficients, the low and the high error
        A_ub=np.vstack([np.hstack([-points, zeros, -ones]), np.hstack([points, ones, zeros])]),
        b_ub=np.concatenate([-high, low]),
        bounds=(None, None),
        method="highs",
    )
    slopes = result.x[:size] * scale / width if result.status == 0 else np.zeros(size)
    return [exact(float(slope)) for slope in slopes]


def _error(
    coefficients: Sequence[Rational],
    corners: Sequence[Point],
    intervals: Sequence[tuple[Rational, Rational]],
) -> tuple[Fraction, Fraction]:
    """The least and the greatest difference of t from coefficients . x at the corners."""
    lows, highs = [], []
    for corner, (low, high) in zip(corners, intervals, strict=True):
        value = sum((a * x for a, x in zip(coefficients, corner, strict=True)), Fraction(0))
        lows.append(Fraction(low) - value)
        highs.append(Fraction(high) - value)
    return min(lows), max(highs)


def _short(low: Fraction, high: Fraction) -> Rational:
    """The shortest decimal near the middle of an interval."""
    middle, near = (low + high) / 2, (high - low) / 4
    for digits in range(MOST_DIGITS):
        rounded = round(middle, digits)
        if abs(rounded - middle) <= near:
            return exact(rounded)
    return exact(middle)


def _outward(low: Fraction, high: Fraction) -> tuple[Rational, Rational]:
    """A slightly wider interval with short ends."""
    width = high - low
    if not width:
        return exact(low), exact(high)
    step = Fraction(10) ** (math.floor(math.log10(float(width))) - 2)
    return exact(math.floor(low / step) * step), exact(math.ceil(high / step) * step)
