"""Parts of PDDL text: actions, conditions, effects and numbers, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import lcm
from typing import Protocol, runtime_checkable

from worldplan.milp.errors import ConfigError
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.facets import HalfSpaces
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Lifted,
    Linear,
    NumericAction,
    Region,
)
from worldplan.world_models.numeric.normal_forms import canonical
from worldplan.world_models.numeric.products import Product, Term


@runtime_checkable
class ConvexShape(Protocol):
    """A shape with half-spaces; if they exceed the budget, those of a smaller set inside it."""

    def half_spaces(self, budget: int) -> HalfSpaces:
        """At most `budget` half-spaces."""
        ...


def typed_parameters(parameters: Iterable[tuple[object, str]]) -> list[str]:
    """Each parameter as `?name - type`; a number stands for the name `?x0`."""
    return [
        f"?{name if isinstance(name, str) else f'x{name}'} - {kind}" for name, kind in parameters
    ]


def action_text(action: NumericAction, budget: int) -> tuple[str, bool]:
    """An action in PDDL, and whether all of its regions are written exactly.

    Args:
        action: the action.
        budget: largest number of comparisons for one region.

    Raises:
        ConfigError: a region has neither half-spaces nor points.
    """
    names = tuple(f"?{name}" for name, _ in action.parameters)
    conditions = [_lifted_text(atom, names) for atom in _sorted(action.positive)]
    conditions += [f"(not {_lifted_text(atom, names)})" for atom in _sorted(action.negative)]
    conditions += [
        f"(not (= {_term(a, names)} {_term(b, names)}))" for a, b in _sorted(action.distinct)
    ]
    conditions += [comparison_text(comparison, names) for comparison in action.comparisons]
    all_exact = True
    for region in action.regions:
        texts, is_exact = _region_texts(region, names, budget, action.name)
        conditions += [text for text in texts if text not in conditions]
        all_exact &= is_exact
    effects = [f"(not {_lifted_text(atom, names)})" for atom in _sorted(action.deletes)]
    effects += [_lifted_text(atom, names) for atom in _sorted(action.adds)]
    effects += [_effect_text(fluent, after, names) for fluent, after in action.effects]
    lines = [
        f"(:action {action.name}",
        f"  :parameters ({' '.join(typed_parameters(action.parameters))})",
    ]
    lines += ["  ; a region was replaced by a smaller one inside it, within the facet budget"] * (
        not all_exact
    )
    lines += [f"  :precondition (and\n    {_indented(conditions)})"] * bool(conditions)
    lines += [f"  :effect (and\n    {_indented(effects)})"] * bool(effects)
    return "\n".join([*lines, ")"]), all_exact


def _region_texts(
    region: Region, names: Sequence[str], budget: int, action: str
) -> tuple[list[str], bool]:
    """A region as conditions that must all hold, and whether they describe it exactly.

    Raises:
        ConfigError: the region has neither half-spaces nor points.
    """
    shape = region.shape
    if isinstance(shape, ConvexShape):
        half_spaces = shape.half_spaces(budget)
        comparisons = [_hyperplane(region.fluents, a, b, "=") for a, b in half_spaces.equalities]
        comparisons += [
            _hyperplane(region.fluents, a, b, ">=") for a, b in half_spaces.inequalities
        ]
        return [comparison_text(comparison, names) for comparison in comparisons], half_spaces.exact
    if isinstance(shape, SeenPoints):
        written_points = sorted(shape.points)[: max(1, budget // max(1, len(region.fluents)))]
        return [_one_of(region.fluents, written_points, names)], len(written_points) == len(
            shape.points
        )
    raise ConfigError(
        f"action '{action}': its region of shape {type(shape).__name__} has neither half-spaces "
        "nor points to write in PDDL"
    )


def _hyperplane(
    fluents: Sequence[Lifted], a: Sequence[Rational], b: Rational, relation: str
) -> Comparison:
    """a . fluents <= b, written as b - a . fluents >= 0 (or with "=")."""
    return Comparison(
        Linear(tuple((fluent, -c) for fluent, c in zip(fluents, a, strict=True)), b), relation
    )


def _one_of(fluents: Sequence[Lifted], points: Sequence[Point], names: Sequence[str]) -> str:
    """The condition that the fluents have the values of one of the points."""
    equations = [
        [
            comparison_text(Comparison(Linear(((fluent, 1),), -x), "="), names)
            for fluent, x in zip(fluents, point, strict=True)
        ]
        for point in points
    ]
    alternatives = [
        f"(and {' '.join(equalities)})" if len(equalities) != 1 else equalities[0]
        for equalities in equations
    ]
    return alternatives[0] if len(alternatives) == 1 else f"(or {' '.join(alternatives)})"


def comparison_text(comparison: Comparison, names: Sequence[str]) -> str:
    """A comparison in integers, the fluents on the left and the constant on the right.

    The signs are reversed if most coefficients are negative.

    Args:
        comparison: the comparison.
        names: the PDDL name of each parameter; empty in a goal.
    """
    comparison = canonical(comparison)
    terms, constant, relation = (
        comparison.expression.terms,
        comparison.expression.constant,
        comparison.relation,
    )
    if relation != "=" and sum(c < 0 for _, c in terms) > len(terms) / 2:
        terms, constant, relation = (
            tuple((fluent, -c) for fluent, c in terms),
            -constant,
            "<=" if relation == ">=" else "<",
        )
    right, *others = _pieces(-int(constant))
    return f"({relation} {_integer_sum(terms, [-piece for piece in others], names)} {right})"


def _effect_text(fluent: Lifted, after: Linear, names: Sequence[str]) -> str:
    """An effect as increase or decrease where possible, as assign elsewhere."""
    target = _lifted_text(fluent, names)
    own = sum(c for other, c in after.terms if other == fluent)
    if own != 1:
        return f"(assign {target} {sum_text(after.terms, after.constant, names)})"
    rest = tuple((other, c) for other, c in after.terms if other != fluent)
    down = next((c for c in (*(c for _, c in rest), after.constant) if c), 0) < 0
    sign = -1 if down else 1
    amount = sum_text(tuple((other, sign * c) for other, c in rest), sign * after.constant, names)
    return f"({'decrease' if down else 'increase'} {target} {amount})"


def sum_text(
    terms: Sequence[tuple[Term, Rational]], constant: Rational, names: Sequence[str]
) -> str:
    """An affine sum over one common divisor.

    It contains integers only, so a planner that computes in floats rounds once at most.
    """
    divisor = lcm(*(number.denominator for number in (*(c for _, c in terms), constant)))
    text = _integer_sum(
        [(fluent, c * divisor) for fluent, c in terms], _pieces(int(constant * divisor)), names
    )
    return text if divisor == 1 else f"(/ {text} {divisor})"


def _integer_sum(
    terms: Iterable[tuple[Term, Rational]], constants: Sequence[int], names: Sequence[str]
) -> str:
    """A sum with integer coefficients, as nested sums of two: not every planner accepts longer
    ones. What is negative is subtracted: LPG searches in vain where it is multiplied by -1.
    """
    added = [str(constant) for constant in constants if constant > 0]
    subtracted = [str(-constant) for constant in constants if constant < 0]
    for fluent, coefficient in terms:
        text = _term_text(fluent, names)
        (added if coefficient > 0 else subtracted).extend(
            text if piece == 1 else f"(* {piece} {text})"
            for piece in _pieces(abs(int(coefficient)))
        )
    if not subtracted:
        return _nested_sum(added)
    return f"(- {_nested_sum(added)} {_nested_sum(subtracted)})"


def _nested_sum(parts: Sequence[str]) -> str:
    """The sum of some texts, in pairs; "0" of none."""
    text = parts[-1] if parts else "0"
    for part in reversed(parts[:-1]):
        text = f"(+ {part} {text})"
    return text


def _term_text(term: Term, names: Sequence[str]) -> str:
    """A fluent, or a product as nested products and quotients of two."""
    if not isinstance(term, Product):
        return _lifted_text(term, names)
    *others, text = [_lifted_text(factor, names) for factor in term.factors] or ["1"]
    for factor in reversed(others):
        text = f"(* {factor} {text})"
    for terms, constant in term.divisors:
        text = f"(/ {text} {sum_text(terms, constant, names)})"
    return text


def _pieces(number: int) -> list[int]:
    """Integers with this sum and at most 24 binary digits each.

    ENHSP reads a number as a 32-bit float, but adds in 64 bits.
    """
    pieces = []
    while abs(number) >= 1 << 24:
        low = abs(number).bit_length() - 24
        pieces.append((abs(number) >> low << low) * (1 if number > 0 else -1))
        number -= pieces[-1]
    return pieces + [number] * (number != 0 or not pieces)


def number_text(value: Rational) -> str:
    """An integer, a decimal where it is exact, else a quotient.

    Used for initial values: planners expect a single number there.
    """
    numerator, denominator = value.numerator, value.denominator
    places = next((k for k in range(denominator.bit_length()) if 10**k % denominator == 0), None)
    if denominator == 1 or places is None:
        return str(numerator) if denominator == 1 else f"(/ {numerator} {denominator})"
    digits = f"{abs(numerator) * 10**places // denominator:0{places + 1}d}"
    return f"{'-' if numerator < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _lifted_text(lifted: Lifted, names: Sequence[str]) -> str:
    return f"({' '.join([str(lifted[0]), *(_term(term, names) for term in lifted[1:])])})"


def _term(term: int | str, names: Sequence[str]) -> str:
    return names[term] if isinstance(term, int) else term


def _sorted(lifted: Iterable[tuple[int | str, ...]]) -> list[tuple[int | str, ...]]:
    return sorted(lifted, key=lambda parts: [str(part) for part in parts])


def _indented(conditions: Sequence[str]) -> str:
    return "\n    ".join(conditions)
