"""The relaxation behind lower bounds: facts, and by how much an action can raise each numeric one.

A fact is an atom, a negated atom, or a numeric condition `form >= 0` (or `> 0`). One application of
an action makes an atom true. A numeric condition that is false becomes true by actions that raise
its form; the most that one application raises it, in any reachable state where the action is
applicable, is the action's step. Steps are bounded over the box of all reachable states, so what
depends on the state is never underestimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm

from worldplan.planners.numeric.task.intervals import (
    Bound,
    Interval,
    contract,
    form_interval,
    reachable_box,
)
from worldplan.planners.numeric.task.rules import Form, Value, form_value, holds
from worldplan.planners.numeric.task.task import (
    Condition,
    GroundAction,
    GroundTask,
    Node,
    bit_numbers,
)
from worldplan.world_models.exact.numbers import Rational

NumericFact = tuple[Form, bool]  # the form; whether it must be above zero, not just at zero


@dataclass(frozen=True, slots=True)
class Achiever:
    """An action that can make a fact true.

    Args:
        fact: number of the fact.
        action: number of the action.
        step: the most by which one application raises the fact's form; None where one application
            may suffice, however far the form is from zero.
    """

    fact: int
    action: int
    step: Rational | None = None


@dataclass
class Relaxation:
    """Facts and achievers of a task.

    Facts are numbered in this order: required atoms, forbidden atoms, numeric facts.

    Attributes:
        box: an interval of each fluent that holds in every reachable state.
        positive: fact number of each required atom bit.
        negative: fact number of each forbidden atom bit.
        numeric: fact number of each numeric fact.
        needs: fact numbers of each action's precondition; None if it is never applicable.
        goal: fact numbers; None if the goal never holds.
        achievers: all achievers.
        inside: the part of the box where each action may be applicable; None if nowhere.
    """

    box: list[Interval]
    positive: dict[int, int] = field(default_factory=dict)
    negative: dict[int, int] = field(default_factory=dict)
    numeric: dict[NumericFact, int] = field(default_factory=dict)
    needs: list[list[int] | None] = field(default_factory=list)
    goal: list[int] | None = None
    achievers: list[Achiever] = field(default_factory=list)
    inside: list[list[Interval] | None] = field(default_factory=list)

    @classmethod
    def of(cls, task: GroundTask, check: Callable[[], None] = lambda: None) -> Relaxation:
        """The relaxation of a task.

        Args:
            task: the task.
            check: called often; it ends the compilation by raising.
        """
        return _Compiler(task, check).run()

    @property
    def count(self) -> int:
        """Number of facts."""
        return len(self.positive) + len(self.negative) + len(self.numeric)

    def gaps(self, node: Node) -> list[Rational | None]:
        """How far each fact is from being true in a state: 0 if it is true, for a numeric fact the
        amount by which its form has to rise, None where one application must do: for an atom, an
        undefined fluent, and a form at zero that must be above it.
        """
        bits, values = node
        gaps: list[Rational | None] = [0 if bits >> bit & 1 else None for bit in self.positive]
        gaps += [None if bits >> bit & 1 else 0 for bit in self.negative]
        for form, strict in self.numeric:
            value = _value(form, values)
            if value is None:
                gaps.append(None)
            elif holds(value, ">" if strict else ">="):
                gaps.append(0)
            else:
                gaps.append(-value or None)
        return gaps


def _value(form: Form, values: tuple[Value, ...]) -> Rational | None:
    """The value of a form; None if a fluent is undefined."""
    point: dict[int, Rational] = {}
    for place, _ in form[0]:
        value = values[place]
        if value is None:
            return None
        point[place] = value
    return form_value(form, point)


class _Compiler:
    """Builds the `Relaxation` of a task."""

    def __init__(self, task: GroundTask, check: Callable[[], None]) -> None:
        self.task, self.check = task, check
        self.made = Relaxation(reachable_box(task))
        self.undefined = {place for place, value in enumerate(task.initial[1]) if value is None}
        self.is_integral = not self.undefined and task.is_integral

    def run(self) -> Relaxation:
        """Facts, preconditions and goal first, then the achievers of all facts."""
        task, made = self.task, self.made
        required, forbidden = task.goal_positive, task.goal_negative
        for action in task.actions:
            required |= action.positive
            forbidden |= action.negative
        made.positive = {bit: number for number, bit in enumerate(bit_numbers(required))}
        made.negative = {
            bit: number for number, bit in enumerate(bit_numbers(forbidden), len(made.positive))
        }
        for action in task.actions:
            self.check()
            conditions = action.conditions + action.boxes
            made.inside.append(contract(conditions, made.box))
            needs = self._facts(action.positive, action.negative, conditions)
            made.needs.append(None if made.inside[-1] is None else needs)
        made.goal = (
            None
            if task.unreachable
            else self._facts(task.goal_positive, task.goal_negative, task.goal_conditions)
        )
        for number, action in enumerate(task.actions):
            self.check()
            if made.needs[number] is not None:
                self._achieve(number, action)
        return made

    def _achieve(self, number: int, action: GroundAction) -> None:
        """Add what an action achieves."""
        made = self.made
        for bits, facts in ((action.adds, made.positive), (action.deletes, made.negative)):
            made.achievers += [
                Achiever(facts[bit], number) for bit in bit_numbers(bits) if bit in facts
            ]
        inside = made.inside[number]
        changed = {place for place, _ in action.effects}
        if inside is None or not changed:
            return
        for (form, _), fact in made.numeric.items():
            places = {place for place, _ in form[0]}
            if not places & changed:
                continue
            if places & self.undefined:
                made.achievers.append(Achiever(fact, number))
                continue
            most: Bound = form_interval(_rise(form, action), inside)[1]
            if most > 0:
                step = None if isinstance(most, float) else most
                made.achievers.append(Achiever(fact, number, step))

    def _facts(
        self, positive: int, negative: int, conditions: Iterable[Condition]
    ) -> list[int] | None:
        """Fact numbers of a conjunction; None if it never holds."""
        facts = [self.made.positive[bit] for bit in bit_numbers(positive)]
        facts += [self.made.negative[bit] for bit in bit_numbers(negative)]
        for form, relation in conditions:
            halves = [(form, relation == ">")]
            if relation == "=":
                halves.append(((tuple((p, -c) for p, c in form[0]), -form[1]), False))
            for half in halves:
                number = self._numeric(half)
                if number is None:
                    return None
                if number >= 0:
                    facts.append(number)
        return list(dict.fromkeys(facts))

    def _numeric(self, fact: NumericFact) -> int | None:
        """The number of a fact; -1 if it always holds, None if it never holds."""
        form, strict = self._normal(fact)
        low, high = form_interval(form, self.made.box)
        is_defined = not self.undefined.intersection(place for place, _ in form[0])
        if is_defined and (low > 0 or (low == 0 and not strict)):
            return -1
        if high < 0 or (high == 0 and strict):
            return None
        return self.made.numeric.setdefault((form, strict), self.made.count)

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
        kept = tuple((place, _plain(c * scale)) for place, c in terms if c)
        return (kept, _plain(offset)), strict


def _rise(form: Form, action: GroundAction) -> Form:
    """The value of a form after an action minus its value before, as a form of the state before."""
    next_forms = dict(action.effects)
    rise: dict[int, Rational] = {}
    constant: Rational = 0
    for place, coefficient in form[0]:
        if place in next_forms:
            terms, added = next_forms[place]
            constant += coefficient * added
            rise[place] = rise.get(place, 0) - coefficient
            for other, weight in terms:
                rise[other] = rise.get(other, 0) + coefficient * weight
    return tuple((place, c) for place, c in sorted(rise.items()) if c), constant


def _plain(number: Fraction) -> Rational:
    """An int if the number is an integer."""
    return number.numerator if number.denominator == 1 else number
