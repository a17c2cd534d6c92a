"""Exact convex sets: membership against an exact linear program and floating-point hulls,
half-spaces against Qhull.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

import worldplan.world_models.exact.polyhedron as module
from worldplan.world_models.exact.affine import AffineMap
from worldplan.world_models.exact.facets import half_spaces
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.exact.simplex import nonnegative_combination

NUMBERS = st.one_of(
    st.integers(-4, 4),
    st.integers(-(10**9), 10**9),
    st.fractions(-3, 3, max_denominator=12),
    st.sampled_from([Fraction(1, 20000), 10**12]),
)


@st.composite
def hulls(draw: st.DrawFn, small: bool = False) -> tuple[list[tuple], list[int], list[tuple]]:
    """Points of a random flat of random dimension (single points and segments too), directions, and
    questions in and around.
    """
    d = draw(st.integers(1, 4 if small else 8))
    rank = draw(st.integers(0, d))
    basis = [draw(st.tuples(*[st.integers(-2, 2)] * d)) for _ in range(rank)]
    base = draw(st.tuples(*[NUMBERS] * d))
    scale = draw(st.tuples(*[st.sampled_from([1, 1, 1, Fraction(1, 20000), 10**7])] * d))

    def point() -> tuple:
        steps = [draw(st.integers(-3, 3)) for _ in range(rank)]
        return tuple(
            (base[i] + sum(s * b[i] for s, b in zip(steps, basis, strict=True))) * scale[i]
            for i in range(d)
        )

    points = [point() for _ in range(draw(st.integers(1, 9)))]
    directions = (
        [draw(st.sampled_from([0, 0, 0, 1, -1])) for _ in range(d)]
        if draw(st.booleans())
        else [0] * d
    )
    weights = draw(
        st.lists(st.integers(0, 3), min_size=len(points), max_size=len(points)).filter(any)
    )
    inside = tuple(
        sum(Fraction(w) * p[i] for w, p in zip(weights, points, strict=True)) / sum(weights)
        for i in range(d)
    )
    nudged = tuple(x + Fraction(draw(st.integers(-1, 1)), 10**9) for x in inside)
    return points, directions, [inside, nudged, point(), draw(st.tuples(*[NUMBERS] * d))]


def truth(points: list[tuple], directions: list[int], x: tuple) -> bool:
    columns = [(1, *p) for p in points]
    columns += [
        tuple(sign * int(i + 1 == j) for j in range(len(x) + 1))
        for i, sign in enumerate(directions)
        if sign
    ]
    return isinstance(nonnegative_combination(columns, (1, *x)), dict)


@settings(max_examples=150, deadline=None)
@given(hulls())
def test_membership_is_exact_by_certificates(case: tuple) -> None:
    points, directions, questions = case
    polyhedron = Polyhedron(points, directions)
    polyhedron.__dict__["_few_half_spaces"] = None  # no facets: weights and planes must do
    for x in questions:
        assert polyhedron.contains(x) == truth(points, directions, x)
    assert polyhedron.contains(questions[0])


@settings(max_examples=100, deadline=None)
@given(hulls(small=True))
def test_half_spaces_are_the_same_set(case: tuple) -> None:
    points, directions, questions = case
    polyhedron = Polyhedron(points, directions)
    sides = polyhedron.half_spaces(10_000)
    assert sides.exact
    for x in [*questions, *points]:
        assert sides.contains(x) == truth(points, directions, x) == polyhedron.contains(x)


@settings(max_examples=60, deadline=None)
@given(hulls(small=True), st.integers(1, 8))
def test_a_facet_budget_gives_a_smaller_set(case: tuple, budget: int) -> None:
    points, directions, questions = case
    polyhedron = Polyhedron(points, directions)
    sides = polyhedron.half_spaces(budget)
    assert not any(sides.contains(x) and not truth(points, directions, x) for x in questions)
    assert sides.exact == all(sides.contains(x) for x in points)
    assert len(sides.inequalities) <= budget


@pytest.mark.parametrize(
    ("dimension", "count", "top"), [(2, 40, 9), (3, 40, 9), (4, 30, 5), (5, 25, 3)]
)
def test_facets_against_qhull(dimension: int, count: int, top: int) -> None:
    rng = np.random.default_rng(dimension)
    points = np.unique(rng.integers(0, top, (count, dimension)), axis=0)
    sides = half_spaces([(1, *map(int, p)) for p in points], 100_000)
    qhull = np.unique(np.round(ConvexHull(points).equations, 7), axis=0)
    assert sides.exact and not sides.equalities and len(sides.inequalities) == len(qhull)
    ours = np.array([[*a, -b] for a, b in sides.inequalities], dtype=float)
    ours /= np.linalg.norm(ours[:, :-1], axis=1, keepdims=True)
    assert np.allclose(np.unique(np.round(ours, 7), axis=0), qhull)


def test_membership_against_a_linear_program_in_nine_dimensions() -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(0, 30, (300, 9))
    polyhedron = Polyhedron([tuple(map(int, p)) for p in points])
    answers = []
    for _ in range(60):
        x = tuple(
            int(v)
            for v in (points[rng.integers(0, 300, 12)].mean(axis=0) + rng.integers(-9, 10, 9))
        )
        fitted = linprog(
            np.zeros(300), A_eq=np.vstack([points.T, np.ones(300)]), b_eq=[*x, 1], method="highs"
        )
        assert polyhedron.contains(x) == (fitted.status == 0)
        answers.append(fitted.status == 0)
    assert 5 < sum(answers) < 55


def test_weights_add_up_to_the_point() -> None:
    columns = [(1, 0, 0), (1, 6, 0), (1, 0, 6), (1, 6, 6)]
    weights = nonnegative_combination(columns, (1, 1, 5))
    assert isinstance(weights, dict) and sum(weights.values()) == 1 and min(weights.values()) > 0
    assert tuple(sum(w * columns[i][k] for i, w in weights.items()) for k in range(3)) == (1, 1, 5)


def test_the_steep_facet_keeps_its_slope() -> None:
    """y + x / 100,000 <= 15: rounding the slope to zero would let (1,000,000, 15) in."""
    for small in (True, False):
        polyhedron = Polyhedron([(0, 15), (10**6, 5), (0, 0), (10**6, 0)])
        if not small:
            polyhedron.__dict__["_few_half_spaces"] = None
        assert not polyhedron.contains((10**6, 15))
        assert polyhedron.contains((10**6, 5)) and not polyhedron.contains(
            (10**6, Fraction(50001, 10000))
        )


def test_the_exact_method_decides_where_floats_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "nnls", lambda matrix, target: (np.zeros(matrix.shape[1]), 0.0))
    corners = [corner for corner in product((0, 2), repeat=3) if sum(corner) < 6]
    polyhedron = Polyhedron(corners)
    polyhedron.__dict__["_few_half_spaces"] = None
    assert polyhedron.contains((Fraction(1, 3), 2, Fraction(1, 7)))
    assert not polyhedron.contains((2, Fraction(3, 2), 1))
    assert polyhedron._cuts and not polyhedron.contains((2, 2, 1))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_affine_map_finds_the_true_map_on_the_hull_and_nothing_else(data: st.DataObject) -> None:
    d, m = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3))
    matrix = [data.draw(st.tuples(*[NUMBERS] * d)) for _ in range(m)]
    shift = data.draw(st.tuples(*[NUMBERS] * m))
    points = data.draw(st.lists(st.tuples(*[NUMBERS] * d), min_size=1, max_size=10))

    def image(x: tuple) -> tuple:
        return tuple(
            sum(a * v for a, v in zip(row, x, strict=True)) + b
            for row, b in zip(matrix, shift, strict=True)
        )

    fitted = AffineMap(d, m)
    assert all(not fitted.add(x, image(x)) for x in points)
    mean = tuple(sum(map(Fraction, column)) / len(points) for column in zip(*points, strict=True))
    outside = data.draw(st.tuples(*[NUMBERS] * d))
    for x in [*points, mean, outside]:
        if fitted.contains(x):
            for i, value in enumerate(image(x)):
                coefficients, constant = fitted.explanation(i)
                assert sum(a * v for a, v in zip(coefficients, x, strict=True)) + constant == value
    assert fitted.contains(mean)
    assert fitted.add(mean, tuple(v + (i == 0) for i, v in enumerate(image(mean)))) == [0]
