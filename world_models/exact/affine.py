"""Exact affine algebra by incremental elimination: which equations hold on seen points, and which
affine map explains their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from worldplan.world_models.exact.numbers import Point, Rational, exact

Equation = tuple[tuple[int, ...], int]  # whole numbers a, b: a . x = b (or <= b, where so said)


def coprime_integers(numbers: Sequence[Rational]) -> tuple[int, ...]:
    """The numbers times the positive factor that makes them whole and coprime (0 stays 0)."""
    factor = lcm(*(number.denominator for number in numbers))
    integers = [int(number * factor) for number in numbers]
    divisor = gcd(*integers) or 1
    return tuple(number // divisor for number in integers)


class AffineMap:
    """The affine maps that send each seen point x (dimension d) to its label y (dimension m), all
    of them at once.

    Holds the reduced row echelon form of the rows (1, x | y); the constant comes first, so that a
    constant label is explained by the constant alone. Any affine map that agrees on points agrees
    on their affine hull: inside it the one kept here is the true one, however few points were seen.
    """

    def __init__(self, dimension: int, labels: int) -> None:
        self.dimension = dimension
        self.labels = labels
        self._rows: dict[int, list[Rational]] = {}  # by pivot column
        self._equations: list[Equation] | None = None

    def add(self, point: Point, label: Point) -> list[int]:
        """Take in a pair. Returns the indices of labels that no affine map explains; the others
        stay right.
        """
        row: list[Rational] = [1, *point, *label]
        for pivot, kept in self._rows.items():
            if factor := row[pivot]:
                row = [a - factor * b for a, b in zip(row, kept, strict=True)]
        width = self.dimension + 1
        pivot = next((column for column in range(width) if row[column]), -1)
        if pivot < 0:
            return [i for i in range(self.labels) if row[width + i]]
        self._equations = None
        lead = Fraction(row[pivot])
        row = [exact(Fraction(a) / lead) for a in row]
        for other, kept in self._rows.items():
            if factor := kept[pivot]:
                self._rows[other] = [exact(a - factor * b) for a, b in zip(kept, row, strict=True)]
        self._rows[pivot] = row
        return []

    @property
    def rank(self) -> int:
        """Dimension of the affine hull plus one; 0 before the first point."""
        return len(self._rows)

    def equations(self) -> list[Equation]:
        """Independent equations a . x = b, in coprime whole numbers, that hold on the affine hull
        and nowhere else.
        """
        if self._equations is None:
            free = [column for column in range(self.dimension + 1) if column not in self._rows]
            self._equations = [self._equation(column) for column in free]
        return self._equations

    def _equation(self, column: int) -> Equation:
        normal: list[Rational] = [0] * (self.dimension + 1)
        normal[column] = 1
        for pivot, row in self._rows.items():
            normal[pivot] = -row[column]
        constant, *coefficients = coprime_integers(normal)
        return tuple(coefficients), -constant

    def contains(self, point: Point) -> bool:
        """Whether a point lies in the affine hull of those seen."""
        return bool(self._rows) and all(
            sum(a * x for a, x in zip(normal, point, strict=True)) == b
            for normal, b in self.equations()
        )

    def explains(self, point: Point, label: Point) -> bool:
        """Whether `add` would change and find nothing: the cheap question before it."""
        if not self.contains(point):
            return False
        row = (1, *point)
        width = self.dimension + 1
        return all(
            sum(x * kept[width + i] for x, kept in self._weighted(row)) == y
            for i, y in enumerate(label)
        )

    def _weighted(self, row: tuple[Rational, ...]) -> list[tuple[Rational, list[Rational]]]:
        return [(row[pivot], kept) for pivot, kept in self._rows.items()]

    def explanation(self, label: int) -> tuple[list[Rational], Rational]:
        """One affine map for a label: coefficients (d) and constant. Exact on the affine hull of
        the seen points.
        """
        coefficients: list[Rational] = [0] * (self.dimension + 1)
        for pivot, row in self._rows.items():
            coefficients[pivot] = row[self.dimension + 1 + label]
        return coefficients[1:], coefficients[0]
