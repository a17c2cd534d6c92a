"""The points of a convex hull that span it: the others are dropped and the set stays the same."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from worldplan.world_models.exact.numbers import Point
from worldplan.world_models.exact.polyhedron import Polyhedron


@lru_cache(maxsize=1024)
def hull_points(shape: Polyhedron) -> tuple[Point, ...]:
    """Points of `shape` with the same hull: all its vertices and, apart from rays and rounding, no
    other point.

    Floating point proposes (Clarkson 1994: a point outside the hull of the kept points gives a
    plane, and the farthest point beyond this plane is kept). A point is dropped only after an exact
    test that the hull of the kept points, with the rays of the shape, contains it.

    Args:
        shape: the convex set.
    """
    points = sorted(shape.points)
    if len(points) <= 2:
        return tuple(points)
    kept = _proposed(np.array([[float(x) for x in point] for point in points]), shape.directions)
    core = Polyhedron([points[i] for i in kept], shape.directions)
    return tuple(point for i, point in enumerate(points) if i in kept or not core.contains(point))


def _proposed(points: np.ndarray, directions: tuple[int, ...]) -> set[int]:
    """Indices of the points to keep, found in floating point.

    Args:
        points: (points, dimension).
        directions: as in `Polyhedron`.
    """
    spread = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    rows = np.hstack([scaled, np.ones((len(points), 1))])
    rays = np.diag([float(sign) for sign in (*directions, 0)])[[*map(bool, directions), False]]
    least, most = rows.argmin(axis=0), rows.argmax(axis=0)
    kept = {int(least[i]) for i, sign in enumerate(directions) if sign >= 0} | {
        int(most[i]) for i, sign in enumerate(directions) if sign <= 0
    }
    for i in range(len(points)):
        while i not in kept:
            columns = np.vstack([rows[sorted(kept)], rays]).T
            try:
                weights, residual = nnls(columns, rows[i])
            except RuntimeError:  # too many iterations: keeping a point is always sound
                kept.add(i)
                break
            if residual <= 1e-9:
                break
            beyond = np.round(rows @ (rows[i] - columns @ weights), 9)
            farthest = int(np.argmax(beyond))  # the first of equals is a vertex of their face
            kept.add(i if farthest in kept else farthest)
    return kept
