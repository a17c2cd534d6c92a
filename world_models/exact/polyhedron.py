"""Convex sets by their points: exact membership in conv(points) + cone(rays), without ever listing
a big hull's facets.

Floating point only proposes. "Inside" is confirmed by convex weights in exact rationals, "outside"
by a plane in whole numbers; where neither is confirmed an exact simplex method decides. So every
answer is the true one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from math import lcm

import numpy as np
from scipy.optimize import nnls

from worldplan.world_models.exact.affine import AffineMap, Equation, coprime_integers
from worldplan.world_models.exact.facets import HalfSpaces, half_spaces
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.exact.simplex import nonnegative_combination, solve_linear_system

SMALL = 48  # with at most so many facets they decide faster than weights do
REMEMBERED = 200_000  # answers kept


class Polyhedron:
    """The smallest convex set with the given points that is unbounded along the given directions.

    Args:
        points: at least one; repeated ones are dropped.
        directions: for each coordinate 1 if it may grow without end, -1 if it may fall, 0 if
            neither (default: all 0).
    """

    def __init__(self, points: Iterable[Point], directions: Sequence[int] | None = None) -> None:
        self.points: tuple[Point, ...] = tuple(dict.fromkeys(tuple(point) for point in points))
        self.dimension = len(self.points[0])
        self.directions = tuple(directions) if directions is not None else (0,) * self.dimension
        self._known: dict[Point, bool] = dict.fromkeys(self.points, True)
        self._cuts: list[Equation] = []

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Polyhedron)
            and set(self.points) == set(other.points)
            and self.directions == other.directions
        )

    def __hash__(self) -> int:
        return hash((frozenset(self.points), self.directions))

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """Least and greatest value of each coordinate; None where there is none."""
        return self._bounds

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        answer = self._known.get(point)
        if answer is None:
            answer = self._decide(point)
            if len(self._known) < REMEMBERED:
                self._known[point] = answer
        return answer

    def half_spaces(self, budget: int) -> HalfSpaces:
        """The set as half-spaces in whole numbers, or, if it has more than `budget`, a smaller set
        within it.
        """
        found = half_spaces(self._generators, budget)
        assert found is not None
        return found

    def _decide(self, point: Point) -> bool:
        for x, (low, high) in zip(point, self._bounds, strict=True):
            if (low is not None and x < low) or (high is not None and x > high):
                return False
        if self.dimension == 1:
            return True
        if self._small is not None:
            return self._small.contains(point)
        if not all(_dot(normal, point) == b for normal, b in self._equations):
            return False
        if any(_dot(normal, point) > b for normal, b in self._cuts):
            return False
        return self._by_certificate(point)

    def _by_certificate(self, point: Point) -> bool:
        matrix, shift, scale = self._scaled
        target = np.append((np.array([float(x) for x in point]) - shift) / scale, 1.0)
        try:
            weight, residual = nnls(matrix, target)
        except RuntimeError:  # too many iterations: the exact method decides
            weight, residual = np.zeros(0), 0.0
        if residual > 1e-9:
            # the residual is normal to a plane between the point and the set; each coordinate was
            # divided by its spread
            steps = np.rint(_left_over(matrix, weight, target) * 2**24).astype(int).tolist()
            if self._cut(
                [Fraction(step) / spread for step, spread in zip(steps, self._spread, strict=True)],
                point,
            ):
                return False
        else:
            support = np.flatnonzero(weight)
            if len(support):
                exact_weight = solve_linear_system([self._columns[i] for i in support], (1, *point))
                if exact_weight is not None and min(exact_weight) >= 0:
                    return True
        found = nonnegative_combination(self._columns, (1, *point))
        if isinstance(found, dict):
            return True
        _, *plane = coprime_integers([-a for a in found])
        self._cut(plane, point)
        return False

    def _cut(self, normal: Sequence[Rational], point: Point) -> bool:
        """Keep the plane if the point lies beyond it: normal . x <= its greatest value over the
        set, in whole numbers.
        """
        normal = [
            min(a, 0) if sign > 0 else max(a, 0) if sign < 0 else a
            for a, sign in zip(coprime_integers(normal), self.directions, strict=True)
        ]
        greatest = max(_dot(normal, one) for one in self.points)
        if _dot(normal, point) <= greatest:
            return False
        factor = Fraction(greatest).denominator
        self._cuts.append((tuple(int(factor * a) for a in normal), int(factor * greatest)))
        return True

    @cached_property
    def _bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        columns = zip(*self.points, strict=True)
        return [
            (None if sign < 0 else min(column), None if sign > 0 else max(column))
            for column, sign in zip(columns, self.directions, strict=True)
        ]

    @cached_property
    def _spread(self) -> list[Rational]:
        return [max(column) - min(column) or 1 for column in zip(*self.points, strict=True)]

    @cached_property
    def _rays(self) -> list[tuple[int, ...]]:
        return [
            tuple(sign * int(i == j) for j in range(self.dimension))
            for i, sign in enumerate(self.directions)
            if sign
        ]

    @cached_property
    def _columns(self) -> list[tuple[Rational, ...]]:
        return [(1, *point) for point in self.points] + [(0, *ray) for ray in self._rays]

    @cached_property
    def _generators(self) -> list[tuple[int, ...]]:
        """Homogeneous whole numbers, the outermost points first, so that what a facet budget leaves
        out is small.
        """
        matrix, _, _ = self._scaled
        points = matrix[:-1, : len(self.points)].T
        order = np.argsort(-np.abs(points - points.mean(axis=0)).max(axis=1), kind="stable")
        factors = [lcm(*(x.denominator for x in point)) for point in self.points]
        generators = [(factors[i], *(int(x * factors[i]) for x in self.points[i])) for i in order]
        return [(0, *ray) for ray in self._rays] + generators

    @cached_property
    def _small(self) -> HalfSpaces | None:
        return half_spaces(self._generators, SMALL, skip=False)

    @cached_property
    def _equations(self) -> list[Equation]:
        if any(self.directions):
            return []  # the rays leave the affine hull of the points; the certificates see to it
        hull = AffineMap(self.dimension, 0)
        for point in self.points:
            if not hull.rank or not hull.contains(point):
                hull.add(point, ())
        return hull.equations()

    @cached_property
    def _scaled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns for least squares with every coordinate in 0..1, and the shift and scale that
        made them so.
        """
        points = np.array([[float(x) for x in point] for point in self.points]).reshape(
            len(self.points), self.dimension
        )
        shift, scale = points.min(axis=0), np.array([float(spread) for spread in self._spread])
        rows = np.vstack([((points - shift) / scale).T, np.ones(len(points))])
        rays = np.array([(*ray, 0) for ray in self._rays], dtype=float).reshape(
            -1, self.dimension + 1
        )
        return np.hstack([rows, rays.T]), shift, scale


def _left_over(matrix: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The part of the target that least squares left over, of length at most 1, without its
    constant row.
    """
    left = target - matrix @ weight
    return left[:-1] / np.abs(left).max()


def _dot(a: Sequence[Rational], b: Sequence[Rational]) -> Rational:
    return sum(x * y for x, y in zip(a, b, strict=True))
