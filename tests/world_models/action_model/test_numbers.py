"""Numeric preconditions and effects are learned safely and exactly."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.action_model.builders import accepts, observe, result
from worldplan.world_models.exact.numbers import Rational

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.fractions(-2, 2, max_denominator=7),
    st.sampled_from([Fraction(1, 20000), -(10**9), 10**9]),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple:
    """A true action (half-spaces, affine effect), states where it applies, and further states."""
    d = draw(st.integers(1, 8))
    effect = [(draw(st.tuples(*[NUMBERS] * d)), draw(NUMBERS)) for _ in range(d)]
    limits = [
        (draw(st.tuples(*[st.integers(-2, 2)] * d)), draw(st.integers(-2, 6)))
        for _ in range(draw(st.integers(0, 3)))
    ]
    scale = draw(st.sampled_from([1, 1, Fraction(1, 20000), 10**6]))
    rank = draw(st.integers(0, d))
    flat = [draw(st.tuples(*[st.integers(-2, 2)] * d)) for _ in range(rank)]
    base = draw(st.tuples(*[st.integers(-3, 3)] * d))

    def point() -> tuple:
        steps = [draw(st.integers(-3, 3)) for _ in flat]
        return tuple(
            (base[i] + sum(s * v[i] for s, v in zip(steps, flat, strict=True))) * scale
            for i in range(d)
        )

    observed = [point() for _ in range(draw(st.integers(1, 10)))]
    limits = [(a, max([b * scale, *(dot(a, x) for x in observed[:3])])) for a, b in limits]
    observed = [x for x in observed if allowed(limits, x)]
    mean = tuple(
        sum(map(Fraction, column)) / len(observed) for column in zip(*observed, strict=True)
    )
    queries = [mean, *(point() for _ in range(4)), draw(st.tuples(*[NUMBERS] * d))]
    queries += [tuple(x + Fraction(1, 10**7) for x in mean), tuple(x * 2 for x in mean)]
    return effect, limits, observed, queries


def dot(a: tuple, b: tuple) -> Rational:
    return sum(x * y for x, y in zip(a, b, strict=True))


def allowed(limits: list, x: tuple) -> bool:
    return all(dot(a, x) <= b for a, b in limits)


def moved(effect: list, x: tuple) -> tuple:
    return tuple(dot(row, x) + shift for row, shift in effect)


@settings(max_examples=70, deadline=None)
@given(worlds())
def test_nothing_inapplicable_is_accepted_and_every_prediction_is_exact(world: tuple) -> None:
    effect, limits, observed, queries = world
    learner = observe([(x, moved(effect, x)) for x in observed])
    assert not learner.model().detail["report"].excluded
    for x in [*observed, *queries]:
        if accepts(learner, *x):
            assert allowed(limits, x)
            assert result(learner, *x) == moved(effect, x)
    assert all(accepts(learner, *x) for x in [*observed, queries[0]])


@settings(max_examples=50, deadline=None)
@given(
    worlds(),
    st.sampled_from(["juntas", "groups", "monotone", "finite"]),
    st.sampled_from(["affine", "sparse"]),
    st.data(),
)
def test_a_declared_class_that_is_true_is_safe(
    world: tuple, kind: str, effects: str, data: st.DataObject
) -> None:
    effect, limits, observed, queries = world
    d = len(effect)
    if kind == "juntas":  # each limit looks at two fluents at most
        limits = [
            (tuple(v if i in (k, (k + 1) % d) else 0 for i, v in enumerate(a)), b)
            for k, (a, b) in enumerate(limits)
        ]
    elif kind == "groups":
        limits = [
            (tuple(v if (i < d // 2) == bool(k % 2) else 0 for i, v in enumerate(a)), b)
            for k, (a, b) in enumerate(limits)
        ]
    elif kind == "monotone":
        limits = [(tuple(-abs(v) for v in a), b) for a, b in limits]
    if effects == "sparse":
        effect = [
            (
                tuple(
                    v if k == data.draw(st.integers(0, d - 1)) else int(k == i)
                    for k, v in enumerate(row)
                ),
                shift,
            )
            for i, (row, shift) in enumerate(effect)
        ]
        effect = [
            (tuple(int(k == i) + (row[k] if k == i // 2 else 0) for k in range(d)), shift)
            for i, (row, shift) in enumerate(effect)
        ]
    limits = [(a, max(b, *(dot(a, x) for x in observed))) for a, b in limits]
    groups = (tuple(f"x{i}" for i in range(d // 2)),)
    learner = observe(
        [(x, moved(effect, x)) for x in observed],
        preconditions=kind,
        effects=effects,
        size=2,
        groups=groups,
    )
    assert not learner.model().detail["report"].refuted
    for x in [*observed, *queries]:
        if accepts(learner, *x):
            assert allowed(limits, x)
            assert result(learner, *x) == moved(effect, x)
    assert all(accepts(learner, *x) for x in observed)


def test_halving_is_learned_as_halving() -> None:
    learner = observe([((8,), (4,)), ((2,), (1,)), ((5,), (Fraction(5, 2),))])
    assert result(learner, 6) == (3,)
    assert result(observe([((1,), (-2,)), ((3,), (-6,))]), 2) == (-4,)


def test_tiny_coefficients_are_kept() -> None:
    step = Fraction("0.00005")
    learner = observe([((0, 0), (0, 0)), ((1, 4), (1 + 4 * step, 4)), ((7, 2), (7 + 2 * step, 2))])
    assert result(learner, 2, 2) == (2 + 2 * step, 2)
    third = observe(
        [((0, 0), (0, 0)), ((1, 4), (1 + Fraction(4, 3), 4)), ((7, 2), (7 + Fraction(2, 3), 2))]
    )
    assert result(third, 2, 1) == (Fraction(7, 3), 1)


def test_the_steep_facet_is_not_rounded_away() -> None:
    points = [(0, 15), (10**6, 5), (0, 0), (10**6, 0)]
    learner = observe([(x, x) for x in points])
    assert not accepts(learner, 10**6, 15) and accepts(learner, 10**6, 5)
    low = observe([((x, y), (x, y)) for x, y in product((0, 10**6), (0, Fraction(1, 10**5)))])
    assert accepts(low, 5, Fraction(1, 10**5)) and not accepts(low, 5, Fraction(2, 10**5))
