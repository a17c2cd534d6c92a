"""Points and rays to half-spaces, in whole numbers: the double description method (Motzkin et al.
1953; Fukuda and Prodon 1996).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd

from worldplan.world_models.exact.affine import Equation

Vector = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HalfSpaces:
    """The set of all x with a . x = b for the equalities and a . x <= b for the inequalities.

    `exact` is False for an inner approximation: the hull of some of the generators only.
    """

    equalities: tuple[Equation, ...]
    inequalities: tuple[Equation, ...]
    exact: bool

    def contains(self, point: tuple) -> bool:
        """Exact membership."""
        return all(_dot(a, point) == b for a, b in self.equalities) and all(
            _dot(a, point) <= b for a, b in self.inequalities
        )


def half_spaces(
    generators: Iterable[Vector], budget: int, *, skip: bool = True
) -> HalfSpaces | None:
    """Half-spaces of the convex hull of generators in homogeneous whole numbers: (w, w x) with w >
    0 a point, (0, r) a ray.

    A generator that would bring the number of half-spaces above `budget` is left out, which makes
    the set smaller, never larger; with `skip` off the answer is None instead.
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


class _DualCone:
    """All h with h . g >= 0 for the generators g so far, as lines (h and -h) and extreme rays."""

    def __init__(self) -> None:
        self.lines: list[Vector] = []
        self.rays: list[Vector] = []
        self.tight: list[int] = []  # for each ray, the generators with h . g = 0, as bits
        self.count = 0

    def cut(self, generator: Vector, budget: int) -> bool:
        """Take in a generator; False, and no change, if that leads to more rays than `budget`."""
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
        """One line leaves the generator's plane and becomes a ray; everything else is moved along
        it into that plane.
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
        self.tight.append(bit - 1)  # a line is tight for every generator before

    def _cut_rays(self, generator: Vector, bit: int, budget: int) -> bool:
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
        """Two rays span an edge if no third one is tight wherever both are."""
        size = len(self.rays[i]) - len(self.lines)
        if common.bit_count() < size - 2:
            return False
        return not any(
            common & mask == common for k, mask in enumerate(self.tight) if k not in (i, j)
        )


def _reduced(vector: Vector) -> Vector:
    divisor = gcd(*vector) or 1
    return tuple(a // divisor for a in vector)


def _dot(a: Iterable, b: Iterable) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))
