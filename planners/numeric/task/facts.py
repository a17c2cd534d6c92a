"""Numeric conditions as facts `form >= 0` or `form > 0` in a normal form, and how actions change
their forms: what the relaxations of a task have in common.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import gcd, lcm

from worldplan.planners.numeric.task.intervals import Interval, form_interval
from worldplan.planners.numeric.task.rules import Form
from worldplan.planners.numeric.task.task import Condition, GroundAction, GroundTask, bit_numbers
from worldplan.world_models.exact.numbers import Rational, exact

NumericFact = tuple[Form, bool]  # the form; whether it must be above zero, not just at zero


def atom_facts(task: GroundTask) -> tuple[dict[int, int], dict[int, int]]:
    """Numbers of the atom bits that the goal or an action requires, then of the forbidden ones."""
    required, forbidden = task.goal_positive, task.goal_negative
    for action in task.actions:
        required |= action.positive
        forbidden |= action.negative
    positive = {bit: number for number, bit in enumerate(bit_numbers(required))}
    negative = {bit: number for number, bit in enumerate(bit_numbers(forbidden), len(positive))}
    return positive, negative


def halves(conditions: Iterable[Condition]) -> Iterator[NumericFact]:
    """The facts that hold together where the conditions hold; an equation is two of them."""
    for form, relation in conditions:
        yield form, relation == ">"
        if relation == "=":
            yield (tuple((place, -coefficient) for place, coefficient in form[0]), -form[1]), False


class NormalForms:
    """Normal forms of the numeric facts of a task.

    Args:
        task: the task.
        box: bounds that hold in every reachable state.

    Attributes:
        undefined: places of the fluents without an initial value.
        is_integral: every value in every reachable state is an int.
    """

    def __init__(self, task: GroundTask, box: Sequence[Interval]) -> None:
        self.box = box
        self.undefined = {place for place, value in enumerate(task.initial[1]) if value is None}
        self.is_integral = not self.undefined and task.is_integral

    def may_be_undefined(self, form: Form) -> bool:
        """Whether a form has a fluent without an initial value."""
        return any(place in self.undefined for place, _ in form[0])

    def __call__(self, fact: NumericFact) -> NumericFact | bool:
        """The normal form of a fact; True if it always holds, False if it never holds."""
        form, strict = normal = self._normal(fact)
        low, high = form_interval(form, self.box)
        if not self.may_be_undefined(form) and (low > 0 or (low == 0 and not strict)):
            return True
        if high < 0 or (high == 0 and strict):
            return False
        return normal

    def _normal(self, fact: NumericFact) -> NumericFact:
        """The normal form of a fact, the same for all positive multiples.

        In a task of integers its coefficients are coprime integers, its constant is rounded down,
        which excludes no integer point, and `>= 1` stands for `> 0`.
        """
        (terms, constant), strict = fact
        numbers = [Fraction(coefficient) for _, coefficient in terms if coefficient]
        if not numbers:
            return ((), constant), strict
        scale = 1 / abs(numbers[0])
        if self.is_integral:
            scale = Fraction(lcm(*(number.denominator for number in numbers)))
            scale /= gcd(*(int(number * scale) for number in numbers))
        offset = constant * scale
        if self.is_integral:
            offset = Fraction(math.ceil(offset) - 1 if strict else math.floor(offset))
            strict = False
        kept = tuple((place, exact(c * scale)) for place, c in terms if c)
        return (kept, exact(offset)), strict


def form_after(form: Form, action: GroundAction) -> Form:
    """The value of a form after an action, as a form of the state before."""
    next_forms = dict(action.effects)
    terms: dict[int, Rational] = {}
    constant = form[1]
    for place, coefficient in form[0]:
        inner = next_forms.get(place, (((place, 1),), 0))
        constant += coefficient * inner[1]
        for other, weight in inner[0]:
            terms[other] = terms.get(other, 0) + coefficient * weight
    return _without_zeros(terms), constant


def difference(first: Form, second: Form) -> Form:
    """first - second."""
    terms = dict(first[0])
    for place, coefficient in second[0]:
        terms[place] = terms.get(place, 0) - coefficient
    return _without_zeros(terms), first[1] - second[1]


def _without_zeros(terms: dict[int, Rational]) -> tuple[tuple[int, Rational], ...]:
    return tuple(
        sorted((place, coefficient) for place, coefficient in terms.items() if coefficient)
    )
