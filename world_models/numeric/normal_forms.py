"""Normal forms of affine sums and of linear conditions, in exact numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from worldplan.world_models.exact.affine import coprime_integers
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Comparison, Linear
from worldplan.world_models.numeric.products import Term, divided, sort_key, with_factor

IMPOSSIBLE = Comparison(Linear((), -1), ">=")  # -1 >= 0


def linear(terms: Mapping[Term, Rational], constant: Rational = 0) -> Linear:
    """The normal form of an affine sum: no zero coefficient, terms in the order of their names.

    Args:
        terms: the coefficient of each fluent or product.
        constant: the constant.
    """
    kept = sorted(
        ((fluent, exact(c)) for fluent, c in terms.items() if c),
        key=lambda term: sort_key(term[0]),
    )
    return Linear(tuple(kept), exact(constant))


def canonical(comparison: Comparison) -> Comparison:
    """The normal form of a condition: coprime integers, and a positive first coefficient in an
    equation.
    """
    total: dict[Term, Rational] = {}
    for fluent, coefficient in comparison.expression.terms:
        total[fluent] = total.get(fluent, 0) + coefficient
    ordered = linear(total, comparison.expression.constant)
    *coefficients, constant = coprime_integers([*(c for _, c in ordered.terms), ordered.constant])
    sign = (
        -1
        if comparison.relation == "=" and next((c for c in (*coefficients, constant) if c), 1) < 0
        else 1
    )
    terms = tuple(
        (fluent, sign * c) for (fluent, _), c in zip(ordered.terms, coefficients, strict=True)
    )
    return Comparison(Linear(terms, sign * constant), comparison.relation)


def plus(a: Linear, b: Linear, factor: Rational = 1) -> Linear:
    """a + factor * b."""
    terms, constant = affine_sum(
        [(dict(a.terms), a.constant), (dict(b.terms), b.constant)], [1, factor]
    )
    return linear(terms, constant)


def minus(a: Linear, b: Linear) -> Linear:
    """a - b."""
    return plus(a, b, -1)


def affine_sum(
    parts: Sequence[tuple[Mapping[Term, Rational], Rational]], factors: Sequence[Rational]
) -> tuple[dict[Term, Fraction], Fraction]:
    """The sum of factor * part; each part is (coefficients by fluent, constant)."""
    terms: dict[Term, Fraction] = {}
    constant = Fraction(0)
    for (added, offset), factor in zip(parts, factors, strict=True):
        for fluent, coefficient in added.items():
            terms[fluent] = terms.get(fluent, Fraction(0)) + factor * coefficient
        constant += factor * offset
    return terms, constant


Affine = tuple[Mapping[Term, Rational], Rational]  # (coefficient of each term, constant)


def product_sum(a: Affine, b: Affine) -> tuple[dict[Term, Fraction], Fraction]:
    """The product of two sums, multiplied out."""
    terms: dict[Term, Fraction] = {}
    for left, first in _with_constant(a):
        for right, second in _with_constant(b):
            term = left if right is None else with_factor(left, right)
            if term is not None:
                terms[term] = terms.get(term, Fraction(0)) + Fraction(first) * second
    return terms, Fraction(a[1]) * b[1]


def quotient_sum(a: Affine, b: Affine) -> tuple[dict[Term, Fraction], Fraction]:
    """A sum divided by another that has fluents, term by term."""
    divisor = linear(b[0], b[1])
    terms = {
        divided(term, (divisor.terms, divisor.constant)): Fraction(coefficient)
        for term, coefficient in _with_constant(a)
    }
    return terms, Fraction(0)


def combined(operator: str, parts: Sequence[Affine]) -> tuple[dict[Term, Fraction], Fraction]:
    """Sums joined by an operator, multiplied out.

    Args:
        operator: "+", "-" (of one sum: its negative), "*", or "/", which takes two sums.
        parts: the sums.

    Raises:
        ZeroDivisionError: the divisor is the number 0.
    """
    if operator == "+":
        return affine_sum(parts, [1] * len(parts))
    if operator == "-":
        return affine_sum(parts, [1 if len(parts) > 1 else -1, *[-1] * (len(parts) - 1)])
    if operator == "*":
        total: tuple[dict[Term, Fraction], Fraction] = ({}, Fraction(1))
        for part in parts:
            total = product_sum(total, part)
        return total
    dividend, divisor = parts
    if any(divisor[0].values()):
        return quotient_sum(dividend, divisor)
    return affine_sum([dividend], [1 / Fraction(divisor[1])])


def _with_constant(part: Affine) -> list[tuple[Term | None, Rational]]:
    """The terms of a sum, with its constant as the coefficient of None where it is not 0."""
    return [
        *((term, c) for term, c in part[0].items() if c),
        *([(None, part[1])] if part[1] else []),
    ]
