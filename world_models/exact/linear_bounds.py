"""Certified bounds of linear programs: floating point proposes the dual solution, exact fractions
confirm it.

For the maximum of c . t over all t with G t <= h, weights w >= 0 with w G = c prove that no value
is above w . h (weak duality). HiGHS proposes which rows have weight, and the exact simplex method
finds the weights on these rows alone. Where rounding has hidden a row, the proposed weights leave
a remainder r = c - w G, and w . h + sum_j |r_j| T_j is a bound, where T_j is a proven bound of
|t_j|. Whatever is returned is a true bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
from scipy.optimize import linprog

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.exact.simplex import nonnegative_combination

Row = tuple[Rational, ...]
ACTIVE = 1e-7  # slack up to which a row may have weight


class Infeasible(Exception):
    """No point satisfies all rows, by the floating-point solver."""


class LinearProgram:
    """The set of all t with G t <= h.

    Args:
        rows: the rows of G, of numbers near 1.
        limits: h.
    """

    def __init__(self, rows: Sequence[Row], limits: Sequence[Rational]) -> None:
        unique: dict[Row, Rational] = {}
        for row, limit in zip(rows, limits, strict=True):
            if row not in unique or limit < unique[row]:
                unique[row] = limit
        self.rows, self.limits = list(unique), list(unique.values())
        self._matrix = np.array([[float(a) for a in row] for row in self.rows])
        self._limits = np.array([float(limit) for limit in self.limits])

    def upper_bound(self, objective: Sequence[Rational]) -> Fraction | None:
        """A number that no value of objective . t exceeds; None if there is none.

        Raises:
            Infeasible: the set is empty, by the floating-point solver.
        """
        costs = -np.array([float(c) for c in objective])
        result = linprog(
            costs, A_ub=self._matrix, b_ub=self._limits, bounds=(None, None), method="highs"
        )
        if result.status == 2:
            raise Infeasible
        if result.status == 0:
            slack = self._limits - self._matrix @ result.x
            bound = self._by_rows(np.flatnonzero(slack <= ACTIVE).tolist(), objective)
            if bound is None:
                bound = self._by_weights(-result.ineqlin.marginals, objective, self._box)
            if bound is not None:
                return bound
        return self._by_rows(list(range(len(self.rows))), objective)

    def _by_rows(self, chosen: Sequence[int], objective: Sequence[Rational]) -> Fraction | None:
        """A bound by exact weights of some rows; None if they have none."""
        weights = nonnegative_combination([self.rows[i] for i in chosen], objective)
        if not isinstance(weights, dict):
            return None
        return sum((w * self.limits[chosen[i]] for i, w in weights.items()), Fraction(0))

    def _by_weights(
        self,
        proposed: np.ndarray,
        objective: Sequence[Rational],
        box: Sequence[Fraction | None],
    ) -> Fraction | None:
        """A bound by proposed weights (rows,) and bounds of |t_j| for the remainder."""
        total, left = Fraction(0), [Fraction(c) for c in objective]
        for i in np.flatnonzero(proposed > 0):
            weight = Fraction(float(proposed[i]))
            total += weight * self.limits[i]
            left = [r - weight * a for r, a in zip(left, self.rows[i], strict=True)]
        for remainder, most in zip(left, box, strict=True):
            if remainder:
                if most is None:
                    return None
                total += abs(remainder) * most
        return total

    @cached_property
    def _box(self) -> list[Fraction | None]:
        """A bound of each |t_j|; None where there is none."""
        size = len(self.rows[0])
        units = [[sign * int(i == j) for i in range(size)] for j in range(size) for sign in (1, -1)]
        every = list(range(len(self.rows)))
        ends = [self._by_rows(every, unit) for unit in units]
        for _ in range(2):  # the proposed weights need the first, loose bounds
            box = _larger(ends)
            for k, unit in enumerate(units):
                result = linprog(
                    [-c for c in unit], self._matrix, self._limits, bounds=(None, None)
                )
                if result.status == 0:
                    better = self._by_weights(-result.ineqlin.marginals, unit, box)
                    known = ends[k]
                    if better is not None and (known is None or better < known):
                        ends[k] = better
        return _larger(ends)

    def range_of(self, objective: Sequence[Rational]) -> tuple[Fraction, Fraction] | None:
        """Numbers between which all values of objective . t lie; None if there are none.

        Raises:
            Infeasible: the set is empty, by the floating-point solver.
        """
        high = self.upper_bound(objective)
        low = self.upper_bound([-c for c in objective])
        return None if low is None or high is None else (-low, high)


def _larger(ends: Sequence[Fraction | None]) -> list[Fraction | None]:
    """The larger of each pair of ends, at least 0."""
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return [None if a is None or b is None else max(a, b, Fraction(0)) for a, b in pairs]
