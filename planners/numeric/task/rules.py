"""Numeric conditions and effects of ground actions, remembered: what an action does depends on the
values of few fluents only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.numeric.domain import Lifted, Linear, NumericAction

Value = Rational | None  # None: not defined
Form = tuple[
    tuple[tuple[int, Rational], ...], Rational
]  # (place, coefficient) terms and a constant


def place_form(expression: Linear, places: dict[Lifted, int]) -> Form:
    """A linear expression with places for fluents."""
    return tuple(
        (places[fluent], coefficient) for fluent, coefficient in expression.terms
    ), expression.constant


def form_value(form: Form, values: Sequence[Rational] | Mapping[int, Rational]) -> Rational:
    """Its exact value, an int if whole."""
    terms, total = form
    for place, coefficient in terms:
        total += coefficient * values[place]
    return total.numerator if isinstance(total, Fraction) and total.denominator == 1 else total


def holds(value: Rational, relation: str) -> bool:
    """Whether `value relation 0`."""
    return value == 0 if relation == "=" else value > 0 if relation == ">" else value >= 0


class ActionNumerics:
    """The numeric side of a lifted action: conditions and next values as functions of the values of
    `fluents`.
    """

    def __init__(self, action: NumericAction) -> None:
        seen: dict[Lifted, None] = {}
        for comparison in action.comparisons:
            seen.update(dict.fromkeys(fluent for fluent, _ in comparison.expression.terms))
        for region in action.regions:
            seen.update(dict.fromkeys(region.fluents))
        for _, after in action.effects:
            seen.update(dict.fromkeys(fluent for fluent, _ in after.terms))
        self.fluents: tuple[Lifted, ...] = tuple(seen)
        places = {fluent: place for place, fluent in enumerate(self.fluents)}
        self.comparisons = [
            (place_form(c.expression, places), c.relation) for c in action.comparisons
        ]
        self.regions = [
            (tuple(places[fluent] for fluent in region.fluents), region.shape)
            for region in action.regions
        ]
        self.effects = [(target, place_form(after, places)) for target, after in action.effects]
        self._inside: list[dict[Point, bool]] = [{} for _ in self.regions]

    def reads(self, kept: Sequence[int]) -> tuple[int, ...]:
        """Places of the fluents that the conditions and the kept effects read."""
        forms = [form for form, _ in self.comparisons] + [
            self.effects[number][1] for number in kept
        ]
        return tuple(
            sorted(
                {place for terms, _ in forms for place, _ in terms}.union(
                    *(places for places, _ in self.regions)
                )
            )
        )

    def applicable(self, values: Sequence[Rational]) -> bool:
        """Whether all comparisons and regions hold; region answers are kept, as membership may take
        a linear programme.
        """
        for form, relation in self.comparisons:
            if not holds(form_value(form, values), relation):
                return False
        for (places, shape), inside in zip(self.regions, self._inside, strict=True):
            key = tuple(values[place] for place in places)
            answer = inside.get(key)
            if answer is None:
                answer = inside[key] = shape.contains(key)
            if not answer:
                return False
        return True


class NextValueCache(dict[tuple[Value, ...], tuple[Rational, ...] | None]):
    """Next values of the kept effects' targets by the values of the changing fluents; None where
    the action cannot be taken.

    Shared by all ground instances of a lifted action whose other fluents have the same, never
    changing values.

    Args:
        numbers: the lifted action.
        values: one value per fluent of it; those at `changing` are filled in from the key.
        changing: places of the fluents that make up a key.
        kept: which effects' next values are wanted.
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
        self.forms = [numbers.effects[number][1] for number in kept]

    def __missing__(self, key: tuple[Value, ...]) -> tuple[Rational, ...] | None:
        answer: tuple[Rational, ...] | None = None
        for place, value in zip(self.changing, key, strict=True):
            if value is None:  # an undefined fluent
                break
            self.point[place] = value
        else:
            if self.numbers.applicable(self.point):
                answer = tuple(form_value(form, self.point) for form in self.forms)
        self[key] = answer
        return answer
