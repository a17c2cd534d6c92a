"""Points and rays to half-spaces, in integers: the double description method.

Sources: Motzkin, Raiffa, Thompson and Thrall (1953); Fukuda and Prodon (1996).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from worldplan.world_models.exact.affine import Equation, coprime_integers
from worldplan.world_models.exact.numbers import Rational, exact

Vector = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HalfSpaces:
    """The set of all x with a . x = b for the equalities and a . x <= b for the inequalities.

    Attributes:
        equalities: pairs (a, b) of integers.
        inequalities: pairs (a, b) of integers.
        exact: False for an inner approximation, the hull of some of the generators only.
    """

    equalities: tuple[Equation, ...]
    inequalities: tuple[Equation, ...]
    exact: bool

    def contains(self, point: Sequence[Rational]) -> bool:
        """Exact membership of a point with as many coordinates as each a."""

        def value(a: Vector) -> Rational:
            return sum(c * x for c, x in zip(a, point, strict=True))

        return all(value(a) == b for a, b in self.equalities) and all(
            value(a) <= b for a, b in self.inequalities
        )


def half_spaces(
    generators: Iterable[Vector], budget: int, *, skip: bool = True
) -> HalfSpaces | None:
    """Half-spaces of the convex hull of generators; None if there are too many of them and `skip`
    is off.

    Args:
        generators: homogeneous integer vectors: (w, w x) with w > 0 is the point x, (0, r) the ray
            r.
        budget: the largest allowed number of half-spaces. A generator that would exceed it is
            skipped, which makes the set smaller, never larger.
        skip: whether such a generator is skipped; otherwise the result is None.
    """
    cone = _DualCone()
    exact = True
    for generator in generators:
        if not cone.cut(generator, budget):
            if not skip:
                return None
            exact = False
    equalities = tuple((normal[1:], -normal[0]) for normal in cone.lines)
    inequalities = tuple((tuple(-a for a in ray[1:]), ray[0]) for ray in cone.rays if any(ray[1:]))
    return HalfSpaces(equalities, inequalities, exact)


def vertices(
    equalities: Sequence[tuple[Sequence[Rational], Rational]],
    inequalities: Sequence[tuple[Sequence[Rational], Rational]],
    dimension: int,
    budget: int,
) -> list[tuple[Rational, ...]] | None:
    """The vertices of the set of all x with a . x = b and a . x <= b; None if there are too many.

    Args:
        equalities: pairs (a, b).
        inequalities: pairs (a, b). The set must not contain a line.
        dimension: the number of coordinates.
        budget: the largest allowed number of vertices and rays at any time.
    """
    rows = [(1, *[0] * dimension)]  # homogeneous (w, w x) with w >= 0
    for normal, b in equalities:
        row = coprime_integers((b, *(-a for a in normal)))
        rows += [row, tuple(-a for a in row)]
    rows += [coprime_integers((b, *(-a for a in normal))) for normal, b in inequalities]
    cone = _DualCone()
    for row in dict.fromkeys(rows):
        if not cone.cut(row, budget):
            return None
    return [tuple(exact(Fraction(x, ray[0])) for x in ray[1:]) for ray in cone.rays if ray[0] > 0]


class _DualCone:
    """All h with h . g >= 0 for the generators g so far, as lines (h and -h) and extreme rays."""

    def __init__(self) -> None:
        self.lines: list[Vector] = []
        self.rays: list[Vector] = []
        self.tight: list[int] = []  # for each ray h, bit i is set if h . g = 0 for generator i
        self.count = 0

    def cut(self, generator: Vector, budget: int) -> bool:
        """Add a generator; returns False, and changes nothing, if the rays exceed `budget`."""
        if not self.count:
            size = len(generator)
            self.lines = [tuple(int(i == j) for j in range(size)) for i in range(size)]
        bit = 1 << self.count
        values = [_dot(line, generator) for line in self.lines]
        chosen = next((i for i, value in enumerate(values) if value), None)
        if chosen is not None:
            if len(self.rays) >= budget:
                return False
            self._turn_line(chosen, values, generator, bit)
        elif not self._cut_rays(generator, bit, budget):
            return False
        self.count += 1
        return True

    def _turn_line(self, chosen: int, values: list[int], generator: Vector, bit: int) -> None:
        """Turn line `chosen`, which is not orthogonal to the generator, into a ray, and move
        everything else along this ray into the generator's plane.
        """
        sign = 1 if values[chosen] > 0 else -1
        leader, height = tuple(sign * a for a in self.lines[chosen]), abs(values[chosen])

        def into_plane(vector: Vector, value: int) -> Vector:
            return _reduced(
                tuple(height * a - value * b for a, b in zip(vector, leader, strict=True))
            )

        self.lines = [
            into_plane(line, value)
            for i, (line, value) in enumerate(zip(self.lines, values, strict=True))
            if i != chosen
        ]
        self.rays = [into_plane(ray, _dot(ray, generator)) for ray in self.rays]
        self.tight = [mask | bit for mask in self.tight]
        self.rays.append(leader)
        self.tight.append(bit - 1)  # a line is tight for every earlier generator

    def _cut_rays(self, generator: Vector, bit: int, budget: int) -> bool:
        """Keep the rays with h . g >= 0, and add the intersection of the plane with each edge
        between a ray above and a ray below it. Returns False, without a change, if that needs more
        rays than `budget`.
        """
        values = [_dot(ray, generator) for ray in self.rays]
        below = [i for i, value in enumerate(values) if value < 0]
        above = [i for i, value in enumerate(values) if value > 0]
        kept = [i for i, value in enumerate(values) if value >= 0]
        new: list[tuple[Vector, int]] = []
        for i in below:
            for j in above:
                common = self.tight[i] & self.tight[j]
                if self._adjacent(common, i, j):
                    edge = tuple(
                        values[j] * a - values[i] * b
                        for a, b in zip(self.rays[i], self.rays[j], strict=True)
                    )
                    new.append((_reduced(edge), common | bit))
                    if len(kept) + len(new) > budget:
                        return False
        tight = [self.tight[i] | (bit if values[i] == 0 else 0) for i in kept]
        self.rays = [self.rays[i] for i in kept] + [ray for ray, _ in new]
        self.tight = tight + [mask for _, mask in new]
        return True

    def _adjacent(self, common: int, i: int, j: int) -> bool:
        """Whether rays i and j span an edge: no third ray is tight for all of `common`."""
        size = len(self.rays[i]) - len(self.lines)
        if common.bit_count() < size - 2:
            return False
        return not any(
            common & mask == common for k, mask in enumerate(self.tight) if k not in (i, j)
        )


def _reduced(vector: Vector) -> Vector:
    """The vector divided by the greatest common divisor of its entries."""
    divisor = gcd(*vector) or 1
    return tuple(a // divisor for a in vector)


def _dot(a: Vector, b: Vector) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))
