"""Convex sets given by points: exact membership in conv(points) + cone(rays), without enumerating
the facets of a large hull.

Floating point only proposes. "Inside" is confirmed by convex weights in exact rationals, "outside"
by a separating plane in integers. Where neither is confirmed, an exact simplex method decides.
Every result is therefore exact.
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

FEW_FACETS = 48  # up to this number, testing all facets is faster than finding convex weights
MOST_CACHED = 200_000  # membership results kept


class Polyhedron:
    """The smallest convex set that contains the points and is unbounded along the directions.

    Args:
        points: at least one; repeated points are dropped.
        directions: for each coordinate 1 if the set is unbounded upwards, -1 if unbounded
            downwards, 0 if neither (default: all 0).
    """

    def __init__(self, points: Iterable[Point], directions: Sequence[int] | None = None) -> None:
        self.points: tuple[Point, ...] = tuple(dict.fromkeys(tuple(point) for point in points))
        self.dimension = len(self.points[0])
        self.directions = tuple(directions) if directions is not None else (0,) * self.dimension
        self._results: dict[Point, bool] = dict.fromkeys(self.points, True)
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
        """Least and greatest value of each coordinate; None where it is unbounded."""
        return self._bounds

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        is_inside = self._results.get(point)
        if is_inside is None:
            is_inside = self._decide(point)
            if len(self._results) < MOST_CACHED:
                self._results[point] = is_inside
        return is_inside

    def half_spaces(self, budget: int) -> HalfSpaces:
        """The set as half-spaces in integers; if it has more than `budget` of them, a smaller set
        inside it.

        Args:
            budget: the largest allowed number of half-spaces.
        """
        hull = half_spaces(self._generators, budget)
        assert hull is not None
        return hull

    def _decide(self, point: Point) -> bool:
        """Membership by the cheapest test that settles it: bounds, facets, kept planes,
        certificates.
        """
        for x, (low, high) in zip(point, self._bounds, strict=True):
            if (low is not None and x < low) or (high is not None and x > high):
                return False
        if self.dimension == 1:
            return True
        if self._few_half_spaces is not None:
            return self._few_half_spaces.contains(point)
        if not all(_dot(normal, point) == b for normal, b in self._equations):
            return False
        if any(_dot(normal, point) > b for normal, b in self._cuts):
            return False
        return self._by_certificate(point)

    def _by_certificate(self, point: Point) -> bool:
        """Membership by non-negative least squares in floats, whose result is confirmed exactly.

        A positive residual proposes a separating plane, a zero residual proposes the points whose
        exact convex weights prove membership.
        """
        matrix, shift, scale = self._scaled
        target = np.append((np.array([float(x) for x in point]) - shift) / scale, 1.0)
        try:
            weight, residual = nnls(matrix, target)
        except RuntimeError:  # too many iterations: the exact simplex method decides
            weight, residual = np.zeros(0), 0.0
        if residual > 1e-9:
            # the residual is the normal of a separating plane, in coordinates divided by the spread
            integer_normal = (
                np.rint(_scaled_residual(matrix, weight, target) * 2**24).astype(int).tolist()
            )
            if self._cut(
                [
                    Fraction(entry) / spread
                    for entry, spread in zip(integer_normal, self._spread, strict=True)
                ],
                point,
            ):
                return False
        else:
            support = np.flatnonzero(weight)
            if len(support):
                exact_weight = solve_linear_system([self._columns[i] for i in support], (1, *point))
                if exact_weight is not None and min(exact_weight) >= 0:
                    return True
        combination = nonnegative_combination(self._columns, (1, *point))
        if isinstance(combination, dict):
            return True
        _, *plane = coprime_integers([-a for a in combination])
        self._cut(plane, point)
        return False

    def _cut(self, normal: Sequence[Rational], point: Point) -> bool:
        """Keep normal . x <= its greatest value over the set, in integers, if the point violates
        it.

        Returns:
            Whether the point violates it, that is, lies outside.
        """
        normal = [
            min(a, 0) if sign > 0 else max(a, 0) if sign < 0 else a
            for a, sign in zip(coprime_integers(normal), self.directions, strict=True)
        ]
        greatest = max(_dot(normal, corner) for corner in self.points)
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
        """The rays, then the points, as homogeneous integer vectors for `half_spaces`.

        The outermost points come first, so that a facet budget leaves out little.
        """
        matrix, _, _ = self._scaled
        points = matrix[:-1, : len(self.points)].T
        order = np.argsort(-np.abs(points - points.mean(axis=0)).max(axis=1), kind="stable")
        factors = [lcm(*(x.denominator for x in point)) for point in self.points]
        generators = [(factors[i], *(int(x * factors[i]) for x in self.points[i])) for i in order]
        return [(0, *ray) for ray in self._rays] + generators

    @cached_property
    def _few_half_spaces(self) -> HalfSpaces | None:
        """The half-spaces of the set if there are at most FEW_FACETS, else None."""
        return half_spaces(self._generators, FEW_FACETS, skip=False)

    @cached_property
    def _equations(self) -> list[Equation]:
        if any(self.directions):
            return []  # the rays may leave the affine hull of the points: the certificates decide
        hull = AffineMap(self.dimension, 0)
        for point in self.points:
            if not hull.rank or not hull.contains(point):
                hull.add(point, ())
        return hull.equations()

    @cached_property
    def _scaled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns for least squares with every coordinate scaled to 0..1, and the shift and scale
        used.

        Returns:
            (dimension + 1, points + rays), (dimension,) and (dimension,).
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


def _scaled_residual(matrix: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The residual of least squares without its constant row, (dimension,), divided by its largest
    entry.

    Args:
        matrix: (dimension + 1, columns).
        weight: (columns,).
        target: (dimension + 1,).
    """
    residual: np.ndarray = target - matrix @ weight
    normalised: np.ndarray = residual[:-1] / np.abs(residual).max()
    return normalised


def _dot(a: Sequence[Rational], b: Sequence[Rational]) -> Rational:
    return sum(x * y for x, y in zip(a, b, strict=True))
