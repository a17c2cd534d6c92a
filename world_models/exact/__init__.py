"""Exact geometry in rational numbers: points in; affine maps, convex hulls and half-spaces out.

`exact` reads a number without rounding, `AffineMap` fits affine maps, `Polyhedron` decides
membership in a convex hull of points, `hull_points` drops the points that span nothing.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
