"""Linear systems and non-negative combinations in exact rationals.

Meant for the few columns that floating point leaves undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from worldplan.world_models.exact.numbers import Rational

RationalVector = Sequence[Rational]


def solve_linear_system(
    columns: Sequence[RationalVector], target: RationalVector
) -> list[Fraction] | None:
    """Weights with sum of weight * column = target; None if there are none or the columns are
    dependent.

    Args:
        columns: linearly independent vectors of the same length.
        target: a vector of this length.
    """
    rows = [
        [Fraction(column[i]) for column in columns] + [Fraction(target[i])]
        for i in range(len(target))
    ]
    for pivot in range(len(columns)):
        chosen = next((i for i in range(pivot, len(rows)) if rows[i][pivot]), None)
        if chosen is None:
            return None
        rows[pivot], rows[chosen] = rows[chosen], rows[pivot]
        _eliminate(rows, pivot, pivot)
    if any(row[-1] for row in rows[len(columns) :]):
        return None
    return [rows[i][-1] for i in range(len(columns))]


def nonnegative_combination(
    columns: Sequence[RationalVector], target: RationalVector
) -> dict[int, Fraction] | list[Fraction]:
    """Weights >= 0 with sum of weight * column = target, or a proof that there are none.

    The first phase of the simplex method with Bland's rule, which always terminates.

    Args:
        columns: vectors of the same length.
        target: a vector of this length.

    Returns:
        The positive weights by column; or, if there are none, a vector h with h . column >= 0 for
            every column and h . target < 0 (Farkas).
    """
    size = len(target)
    signs = [1 if value >= 0 else -1 for value in target]
    rows = [
        [Fraction(signs[i] * column[i]) for column in columns]
        + [Fraction(int(i == j)) for j in range(size)]
        + [Fraction(signs[i] * target[i])]
        for i in range(size)
    ]
    basis = [len(columns) + i for i in range(size)]
    # reduced costs of minimising the sum of the artificial columns
    cost = [-sum((row[j] for row in rows), Fraction(0)) for j in range(len(columns))] + [
        Fraction(0)
    ] * size
    cost.append(-sum((row[-1] for row in rows), Fraction(0)))
    rows.append(cost)
    while True:
        entering = next((j for j in range(len(columns)) if rows[-1][j] < 0), None)
        if entering is None:
            break
        ratios = [
            (rows[i][-1] / rows[i][entering], basis[i], i)
            for i in range(size)
            if rows[i][entering] > 0
        ]
        _, _, leaving = min(ratios)
        _eliminate(rows, leaving, entering)
        basis[leaving] = entering
    if rows[-1][-1] == 0:
        return {
            column: rows[i][-1]
            for i, column in enumerate(basis)
            if column < len(columns) and rows[i][-1]
        }
    return [signs[i] * (rows[-1][len(columns) + i] - 1) for i in range(size)]


def _eliminate(rows: list[list[Fraction]], row: int, column: int) -> None:
    """Make `column` a unit column with its 1 in `row`, in place."""
    lead = rows[row][column]
    rows[row] = [value / lead for value in rows[row]]
    for i, other in enumerate(rows):
        if i != row and (factor := other[column]):
            rows[i] = [a - factor * b for a, b in zip(other, rows[row], strict=True)]
