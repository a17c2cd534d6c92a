"""The part of a convex set that is certain when its points are known up to a box.

Let the true points x_1* ... x_n* lie in boxes x_i + [-e, e] around the observed ones. A point p
lies in conv{x_1*, ..., x_n*} for *every* choice of true points if and only if the whole box
p + [-e, e] lies in conv{x_1, ..., x_n}:

    p is outside for some choice
      <=> some c has c . x_i* > c . p for all i and some choice          (separating plane)
      <=> some c has c . x_i + sum_j e_j |c_j| > c . p for all i         (best choice in each box)
      <=> some c has min_i c . x_i > min over q in p + [-e, e] of c . q
      <=> the box p + [-e, e] is not in conv{x_1, ..., x_n}.

With rays, c is restricted to directions in which they do not decrease; the steps are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worldplan.world_models.exact.facets import vertices
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.exact.vertices import hull_points

MOST_FACETS = (2, 8, 64, 160, 120, 100)  # by dimension; the last for all above


def eroded(
    points: Iterable[Point], margins: Sequence[Rational], directions: Sequence[int] | None = None
) -> Polyhedron | None:
    """The set of all p with p + box inside the hull of the points; None if there is no such p.

    A hull with many facets is replaced by the hull of some of its points, which makes the set
    smaller, never larger.

    Args:
        points: at least one.
        margins: half the width of the box in each coordinate.
        directions: as in `Polyhedron`.
    """
    hull = Polyhedron(points, directions)
    if not any(margins):
        return hull
    hull = Polyhedron(hull_points(hull), hull.directions)
    budget = MOST_FACETS[min(hull.dimension, len(MOST_FACETS) - 1)]
    while budget:
        sides = hull.half_spaces(budget)
        if any(
            a and e for normal, _ in sides.equalities for a, e in zip(normal, margins, strict=True)
        ):
            return None  # the hull is flat in a direction in which the box is not
        shifted = [
            (normal, b - sum(abs(a) * e for a, e in zip(normal, margins, strict=True)))
            for normal, b in sides.inequalities
        ]
        corners = vertices(sides.equalities, shifted, hull.dimension, 8 * budget)
        if corners is not None:
            return Polyhedron(corners, hull.directions) if corners else None
        budget //= 2  # too many vertices: a hull with fewer facets
    return None


def box_corners(centre: Point, margins: Sequence[Rational]) -> list[Point]:
    """The corners of the box centre + [-margins, margins]."""
    corners: list[Point] = [()]
    for x, margin in zip(centre, margins, strict=True):
        ends = (x - margin, x + margin) if margin else (x,)
        corners = [(*corner, end) for corner in corners for end in ends]
    return corners
