"""Exact affine algebra by incremental elimination: points and labels in, the equations of their
affine hull and affine maps that fit the labels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from worldplan.world_models.exact.numbers import Point, Rational, exact

Equation = tuple[tuple[int, ...], int]  # integers (a, b): a . x = b, or a . x <= b in HalfSpaces


def coprime_integers(numbers: Sequence[Rational]) -> tuple[int, ...]:
    """The numbers times the positive factor that makes them coprime integers (all zeros stay
    zeros).
    """
    factor = lcm(*(number.denominator for number in numbers))
    integers = [int(number * factor) for number in numbers]
    divisor = gcd(*integers) or 1
    return tuple(number // divisor for number in integers)


class AffineMap:
    """All affine maps that send each observed point x (dimension d) to its label y (dimension m).

    Holds the reduced row echelon form of the rows (1, x | y). The constant column comes first, so
    that a constant label is explained by the constant alone. Two affine maps that agree on points
    agree on their affine hull: inside the hull the map returned here is the true one, however few
    points were observed.

    Args:
        dimension: d, the coordinates of a point.
        labels: m, the coordinates of a label.
    """

    def __init__(self, dimension: int, labels: int) -> None:
        self.dimension = dimension
        self.labels = labels
        self._rows: dict[int, list[Rational]] = {}  # by pivot column
        self._equations: list[Equation] | None = None

    def add(self, point: Point, label: Point) -> list[int]:
        """Add a point with its label; returns the indices of the labels that no affine map
        explains.

        The other labels stay explained.
        """
        new_row: list[Rational] = [1, *point, *label]
        for pivot, reduced_row in self._rows.items():
            if factor := new_row[pivot]:
                new_row = [a - factor * b for a, b in zip(new_row, reduced_row, strict=True)]
        width = self.dimension + 1
        pivot = next((column for column in range(width) if new_row[column]), -1)
        if pivot < 0:
            return [i for i in range(self.labels) if new_row[width + i]]
        self._equations = None
        lead = Fraction(new_row[pivot])
        new_row = [exact(Fraction(a) / lead) for a in new_row]
        for other, reduced_row in self._rows.items():
            if factor := reduced_row[pivot]:
                self._rows[other] = [
                    exact(a - factor * b) for a, b in zip(reduced_row, new_row, strict=True)
                ]
        self._rows[pivot] = new_row
        return []

    @property
    def rank(self) -> int:
        """Dimension of the affine hull plus one; 0 before the first point."""
        return len(self._rows)

    def equations(self) -> list[Equation]:
        """Independent equations a . x = b, in coprime integers, that define the affine hull."""
        if self._equations is None:
            free = [column for column in range(self.dimension + 1) if column not in self._rows]
            self._equations = [self._equation(column) for column in free]
        return self._equations

    def _equation(self, column: int) -> Equation:
        """The equation that the free column `column` gives."""
        normal: list[Rational] = [0] * (self.dimension + 1)
        normal[column] = 1
        for pivot, row in self._rows.items():
            normal[pivot] = -row[column]
        constant, *coefficients = coprime_integers(normal)
        return tuple(coefficients), -constant

    def contains(self, point: Point) -> bool:
        """Whether a point lies in the affine hull of the observed points."""
        return bool(self._rows) and all(
            sum(a * x for a, x in zip(normal, point, strict=True)) == b
            for normal, b in self.equations()
        )

    def explains(self, point: Point, label: Point) -> bool:
        """Whether `add` would change nothing and return []; cheaper than `add`."""
        if not self.contains(point):
            return False
        extended_point = (1, *point)
        width = self.dimension + 1
        return all(
            sum(x * reduced_row[width + i] for x, reduced_row in self._weighted(extended_point))
            == y
            for i, y in enumerate(label)
        )

    def _weighted(
        self, extended_point: tuple[Rational, ...]
    ) -> list[tuple[Rational, list[Rational]]]:
        """Each reduced row with the entry of `extended_point` at its pivot."""
        return [(extended_point[pivot], reduced_row) for pivot, reduced_row in self._rows.items()]

    def explanation(self, label: int) -> tuple[list[Rational], Rational]:
        """One affine map for a label: its d coefficients and its constant. Exact on the affine
        hull.

        Args:
            label: index of the label.
        """
        coefficients: list[Rational] = [0] * (self.dimension + 1)
        for pivot, row in self._rows.items():
            coefficients[pivot] = row[self.dimension + 1 + label]
        return coefficients[1:], coefficients[0]
