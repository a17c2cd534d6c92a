"""Evaluation of the numeric conditions and effects of ground actions, with cached results.

What a ground action does to the numbers depends on the values of a few fluents only, and the
instances of a lifted action share these results. How such conditions and effects are learned is in
`worldplan.world_models.action_model.numeric_effects`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import cast

from worldplan.world_models.exact.numbers import Point, Rational, exact
from worldplan.world_models.numeric.domain import Ground, Lifted, Linear, NumericAction, ground
from worldplan.world_models.numeric.products import DivisionByZero, Product, Term

Value = Rational | None  # None: not defined
Form = tuple[tuple[tuple[int, Rational], ...], Rational]  # (place, coefficient) terms, constant
GroundForm = tuple[dict[Ground, Rational], Rational]  # coefficient of each fluent, constant


def place_form(
    expression: Linear,
    places: Mapping[Lifted, int],
    values: Sequence[Value],
    changing: frozenset[int],
) -> Form:
    """A linear expression with fluents replaced by their places, and unchanging fluents by their
    values.

    Args:
        expression: the expression.
        places: the place of each fluent.
        values: the value of the fluent at each place that is not changing.
        changing: places of the fluents that stay in the form.

    Raises:
        DivisionByZero: a divisor is 0.
    """
    terms: dict[int, Rational] = {}
    constant = expression.constant
    for term, coefficient in expression.terms:
        factor, place = _constant_factor(term, places, values, changing)
        if place is None:
            constant += coefficient * factor
        else:
            terms[place] = terms.get(place, 0) + coefficient * factor
    return tuple((place, exact(c)) for place, c in terms.items()), exact(constant)


def _constant_factor(
    term: Term, places: Mapping[Lifted, int], values: Sequence[Value], changing: frozenset[int]
) -> tuple[Rational, int | None]:
    """The unchanging part of a term, and the place of the changing fluent in it, if any.

    Raises:
        DivisionByZero: a divisor is 0.
    """
    factor: Rational = 1
    changed: int | None = None
    for fluent in term.factors if isinstance(term, Product) else (term,):
        if (place := places[fluent]) in changing:
            changed = place
        else:
            factor *= values[place] or 0
    for parts, number in term.divisors if isinstance(term, Product) else ():
        divisor = place_form(Linear(parts, number), places, values, frozenset())[1]
        if not divisor:
            raise DivisionByZero("division by zero")
        factor = Fraction(factor) / divisor
    return factor, changed


def ground_form(
    expression: Linear,
    binding: Ground,
    values: Mapping[Ground, Rational],
    moving: Collection[Ground],
) -> GroundForm:
    """A lifted expression over the ground fluents that move, with the values of the others as
    numbers.

    Args:
        expression: the expression.
        binding: the objects for its parameters.
        values: the value of each fluent that does not move.
        moving: the ground fluents that stay in the form.

    Raises:
        DivisionByZero: a divisor is 0.
    """
    fluents = {lifted: ground(lifted, binding) for lifted in expression.fluents}
    places = {lifted: place for place, lifted in enumerate(fluents)}
    names = list(fluents.values())
    changing = frozenset(place for place, name in enumerate(names) if name in moving)
    form, constant = place_form(expression, places, [values.get(name) for name in names], changing)
    terms: dict[Ground, Rational] = {}
    for place, coefficient in form:
        terms[names[place]] = terms.get(names[place], 0) + coefficient
    return terms, constant


def form_value(form: Form, values: Sequence[Rational]) -> Rational:
    """The exact value of a form, as an int if it is an integer."""
    terms, total = form
    for place, coefficient in terms:
        total += coefficient * values[place]
    return total.numerator if isinstance(total, Fraction) and total.denominator == 1 else total


def defined_value(form: Form, values: Sequence[Value]) -> Rational | None:
    """The exact value of a form, as an int if it is an integer; None if a fluent of it is not
    defined.
    """
    if any(values[place] is None for place, _ in form[0]):
        return None
    return form_value(form, cast("Sequence[Rational]", values))


def holds(value: Rational, relation: str) -> bool:
    """Whether `value relation 0`."""
    return value == 0 if relation == "=" else value > 0 if relation == ">" else value >= 0


class ActionNumerics:
    """The numeric part of a lifted action: conditions and next values as functions of the values of
    `fluents`.

    Args:
        action: the lifted action.
    """

    def __init__(self, action: NumericAction) -> None:
        fluents: dict[Lifted, None] = {}
        for comparison in action.comparisons:
            fluents.update(dict.fromkeys(comparison.expression.fluents))
        for region in action.regions:
            fluents.update(dict.fromkeys(region.fluents))
        for _, after in action.effects:
            fluents.update(dict.fromkeys(after.fluents))
        self.fluents: tuple[Lifted, ...] = tuple(fluents)
        self.places = {fluent: place for place, fluent in enumerate(self.fluents)}
        self.comparisons = [(c.expression, c.relation) for c in action.comparisons]
        self.regions = [
            (tuple(self.places[fluent] for fluent in region.fluents), region.shape)
            for region in action.regions
        ]
        self.effects = [after for _, after in action.effects]
        self._inside: list[dict[Point, bool]] = [{} for _ in self.regions]

    def reads(self, kept: Sequence[int]) -> tuple[int, ...]:
        """Places of the fluents that the conditions and some effects read.

        Args:
            kept: numbers of these effects.
        """
        expressions = [expression for expression, _ in self.comparisons]
        expressions += [self.effects[number] for number in kept]
        return tuple(
            sorted(
                {
                    self.places[fluent]
                    for expression in expressions
                    for fluent in expression.fluents
                }.union(*(places for places, _ in self.regions))
            )
        )

    def inside(self, values: Sequence[Rational]) -> bool:
        """Whether all regions hold.

        Membership in a region is cached: it may need a linear program.

        Args:
            values: the values of `fluents`.
        """
        for (places, shape), memberships in zip(self.regions, self._inside, strict=True):
            key = tuple(values[place] for place in places)
            is_inside = memberships.get(key)
            if is_inside is None:
                is_inside = memberships[key] = shape.contains(key)
            if not is_inside:
                return False
        return True


class NextValueCache(dict[tuple[Value, ...], tuple[Rational, ...] | None]):
    """Next values of the changed fluents by the values of the fluents read; None if not applicable.

    It is shared by all instances of a lifted action whose unchanging fluents have the same values.

    Args:
        numbers: the lifted action.
        values: the value of each of its fluents; those at `changing` come from the key.
        changing: places of the fluents that form a key.
        kept: numbers of the effects whose next values are computed.
    """

    def __init__(
        self,
        numbers: ActionNumerics,
        values: Sequence[Rational],
        changing: Sequence[int],
        kept: Sequence[int],
    ) -> None:
        super().__init__()
        self.numbers, self.point, self.changing = numbers, list(values), tuple(changing)
        places = numbers.places, values, frozenset(changing)
        self.conditions = [
            (place_form(expression, *places), relation)
            for expression, relation in numbers.comparisons
        ]
        self.forms = [place_form(numbers.effects[number], *places) for number in kept]

    def __missing__(self, key: tuple[Value, ...]) -> tuple[Rational, ...] | None:
        """Compute and store the next values for a key; None stands for an undefined
        fluent in it.
        """
        next_values: tuple[Rational, ...] | None = None
        for place, value in zip(self.changing, key, strict=True):
            if value is None:  # an undefined fluent
                break
            self.point[place] = value
        else:
            if all(
                holds(form_value(form, self.point), relation) for form, relation in self.conditions
            ) and self.numbers.inside(self.point):
                next_values = tuple(form_value(form, self.point) for form in self.forms)
        self[key] = next_values
        return next_values
