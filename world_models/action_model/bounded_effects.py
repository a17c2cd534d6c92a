"""Every affine effect that noisy numbers allow, as an enclosure: bounds of its value at points.

An observed change z_i at observed numbers x_i belongs to true numbers x_i* within e of x_i. An
affine map t(x) = a . x + b is consistent with it if and only if

    |z_i - t(x_i)| <= E0 + sum_j e_j |a_j|      (Oettli and Prager, 1964)

where E0 is the bound of z_i itself. The absolute values make this set of maps not convex. They are
replaced by what is larger for every consistent map: by a_j or -a_j where the sign of a_j is known,
else by a bound of |a_j|. The first such bound comes from the points of the certain region (see
`worldplan.world_models.exact.erosion`): each lies in the hull of the true points whatever the
noise, so that t there lies between the least and the greatest true change. Better bounds then
follow from the linear program itself, and from them a smaller program. Every bound is confirmed
exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from worldplan.world_models.exact.affine import AffineMap
from worldplan.world_models.exact.linear_bounds import Infeasible, LinearProgram, Row
from worldplan.world_models.exact.numbers import Point, Rational, exact

ROUNDS = 3  # of better bounds of the slopes
Interval = tuple[Rational, Rational]


class Inconsistent(Exception):
    """No affine map is consistent with the numbers and their bounds.

    Args:
        factor: the bounds times about this factor would do.
    """

    def __init__(self, factor: float) -> None:
        super().__init__(f"the bounds are too small by a factor of about {factor:.3g}")
        self.factor = factor


@dataclass(frozen=True)
class NoisyChanges:
    """The observed values of an unknown affine function.

    Args:
        points: observed arguments, each with as many coordinates.
        labels: the observed value at each.
        margins: the bound of each coordinate.
        base: the bound of a label.
        certain: points that lie in the hull of the true points, however the noise fell.
    """

    points: Sequence[Point]
    labels: Sequence[Rational]
    margins: Sequence[Rational]
    base: Rational
    certain: Sequence[Point]


def enclosures(changes: NoisyChanges, corners: Sequence[Point]) -> list[Interval] | None:
    """Bounds of the function at each corner, true for every consistent affine function.

    Args:
        changes: the observations.
        corners: any points.

    Returns:
        The bounds; None if the certain points leave a slope unbounded.

    Raises:
        Inconsistent: there is no such function.
    """
    if not changes.margins:
        low = max(changes.labels) - changes.base
        high = min(changes.labels) + changes.base
        if low > high:
            raise Inconsistent(float((low - high) / (2 * changes.base) + 1) if changes.base else 2)
        return [(exact(low), exact(high))] * len(corners)
    if not any(changes.margins) and not changes.base:
        return _exact_values(changes, corners)
    frame = _Frame(changes)
    try:
        program = frame.program()
        if program is None:
            return None
        ranges = [frame.value_range(program, corner) for corner in corners]
        return None if None in ranges else [entry for entry in ranges if entry is not None]
    except Infeasible:
        raise Inconsistent(frame.factor()) from None


def _exact_values(changes: NoisyChanges, corners: Sequence[Point]) -> list[Interval]:
    """The values of the function through exact numbers.

    Raises:
        Inconsistent: the labels are not affine.
    """
    through = AffineMap(len(changes.margins), 1)
    for point, label in zip(changes.points, changes.labels, strict=True):
        if not through.explains(point, (label,)) and through.add(point, (label,)):
            raise Inconsistent(float("inf"))
    coefficients, constant = through.explanation(0)
    values = [_dot(coefficients, corner) + constant for corner in corners]
    return [(value, value) for value in values]


class _Frame:
    """Coordinates in which the numbers of the linear programs are near 1.

    Arguments are scaled to -1..1. Of the function, only the difference from a reference map is
    unknown, in units of the noise, so that bounds far below the size of the numbers are resolved.
    """

    def __init__(self, changes: NoisyChanges) -> None:
        self.changes = changes
        columns = list(zip(*changes.points, strict=True))
        self.middle = [exact(Fraction(min(c) + max(c)) / 2) for c in columns]
        self.width = [exact(Fraction(max(c) - min(c)) / 2) or 1 for c in columns]
        self.points = [self.scaled(point) for point in changes.points]
        self.margins = [Fraction(e) / w for e, w in zip(changes.margins, self.width, strict=True)]
        self.reference = self._reference()
        self.residuals = [
            label - self._at_reference(point)
            for label, point in zip(changes.labels, self.points, strict=True)
        ]
        noise = changes.base + sum(
            e * abs(Fraction(a)) for e, a in zip(self.margins, self.reference, strict=False)
        )
        self.unit = Fraction(noise) or max(map(abs, map(Fraction, self.residuals))) or Fraction(1)

    def scaled(self, point: Point) -> Row:
        """A point in scaled coordinates, with a 1 at the end."""
        shifted = zip(point, self.middle, self.width, strict=True)
        return (*(exact(Fraction(x - m) / w) for x, m, w in shifted), 1)

    def _at_reference(self, point: Row) -> Rational:
        return _dot(self.reference, point)

    def _reference(self) -> list[Rational]:
        """A map near the observations: least squares, repeated on what is left."""
        matrix = np.array([[float(x) for x in point] for point in self.points])
        reference: list[Rational] = [0] * (len(self.margins) + 1)
        for _ in range(3):
            left = [
                Fraction(label - _dot(reference, point))
                for label, point in zip(self.changes.labels, self.points, strict=True)
            ]
            size = max(map(abs, left))
            if not size:
                break
            step, *_ = np.linalg.lstsq(matrix, [float(x / size) for x in left], rcond=None)
            reference = [
                exact(r + Fraction(round(float(s), 12)).limit_denominator(10**12) * size)
                for r, s in zip(reference, step, strict=True)
            ]
        return reference

    def program(self) -> LinearProgram | None:
        """A set of maps that contains every consistent one; None if a slope is unbounded.

        Raises:
            Infeasible: no map is consistent.
        """
        bounds = self._first_bounds()
        if bounds is None:
            return None
        signs: dict[int, int] = {}
        program = self._rows(signs, bounds)
        for _ in range(ROUNDS):
            before = dict(bounds)
            for j in list(bounds):
                direction = [int(i == j) for i in range(len(self.reference))]
                between = program.range_of(direction)
                if between is None:
                    continue
                low, high = (self.reference[j] + self.unit * end for end in between)
                if low >= 0 or high <= 0:
                    signs[j] = 1 if low >= 0 else -1
                    del bounds[j]
                else:
                    bounds[j] = min(bounds[j], max(-low, high))
            program = self._rows(signs, bounds)
            if all(j in bounds and bounds[j] > before[j] * Fraction(9, 10) for j in before):
                break
        return program

    def _first_bounds(self) -> dict[int, Fraction] | None:
        """A bound of |slope| for each coordinate with noise, from values at certain points."""
        least = min(self.changes.labels) - self.changes.base
        greatest = max(self.changes.labels) + self.changes.base
        half = Fraction(greatest - least) / 2 or Fraction(1)
        rows = [self.scaled(point) for point in self.changes.certain]
        program = LinearProgram(
            [*rows, *(tuple(-x for x in row) for row in rows)], [1] * (2 * len(rows))
        )
        bounds = {}
        for j, margin in enumerate(self.margins):
            if margin:
                between = program.range_of([int(i == j) for i in range(len(self.reference))])
                if between is None:
                    return None
                bounds[j] = half * max(-between[0], between[1])
        return bounds

    def _rows(self, signs: dict[int, int], bounds: dict[int, Fraction]) -> LinearProgram:
        """|label - value| <= E as rows, with each |slope| replaced by what is not smaller."""
        signed = [self.margins[j] * signs.get(j, 0) for j in range(len(self.margins))]
        allowance = self.changes.base + _dot(signed, self.reference[:-1])
        allowance += sum(self.margins[j] * bound for j, bound in bounds.items())
        rows, limits = [], []
        for point, residual in zip(self.points, self.residuals, strict=True):
            for sign in (1, -1):
                slopes = zip(point, signed, strict=False)
                rows.append((*(sign * x - s for x, s in slopes), sign))
                limits.append((sign * residual + allowance) / self.unit)
        return LinearProgram(rows, limits)

    def value_range(self, program: LinearProgram, corner: Point) -> Interval | None:
        """Bounds of the value at a corner; None if there are none.

        Raises:
            Infeasible: no map is consistent.
        """
        row = self.scaled(corner)
        between = program.range_of(row)
        if between is None:
            return None
        middle = self._at_reference(row)
        return middle + self.unit * between[0], middle + self.unit * between[1]

    def factor(self) -> float:
        """About the factor by which the bounds are too small."""
        size = float(self.unit)
        matrix = np.array([[float(x) for x in point] for point in self.points])
        left = np.array([float(r / self.unit) for r in self.residuals])
        ones = np.ones((len(left), 1))
        result = linprog(
            [*[0.0] * matrix.shape[1], 1.0],
            A_ub=np.vstack([np.hstack([matrix, -ones]), np.hstack([-matrix, -ones])]),
            b_ub=np.concatenate([left, -left]),
            bounds=[*[(None, None)] * matrix.shape[1], (0, None)],
            method="highs",
        )
        slopes = [
            abs(float(r) + size * float(t))
            for r, t in zip(self.reference[:-1], result.x[:-2], strict=True)
        ]
        noise = float(self.changes.base) + float(np.dot([float(e) for e in self.margins], slopes))
        return float(result.x[-1]) * size / noise if noise else float("inf")


def _dot(a: Sequence[Rational], b: Sequence[Rational]) -> Rational:
    return exact(sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0)))
