"""The relaxation the heuristic works in: facts, and what makes each of them true.

A fact is an atom, a negated atom, or a numeric condition `form >= 0` (or `> 0`). An action needs
all facts of its precondition. It achieves an atom in one go. It achieves a numeric condition by
raising its form:

* by a constant step: so often until the gap is closed;
* by setting it: once, where its form with the next values put in holds (that is a fact of its own);
* by a step that depends on the state: at several step lengths, each a fact of its own ("the step is
  at least 4") to be had first,
  and at any length above zero.

Nothing is ever made false. A condition that becomes true along a real plan was raised by the action
before, which had its precondition and a positive step there; so every condition that some plan
reaches is reached here (facts that bounds valid in all reachable states rule out are left out).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm

from worldplan.planners.numeric.search.goal_point import are_coupled
from worldplan.planners.numeric.task.intervals import Bound, Interval, form_interval, reachable_box
from worldplan.planners.numeric.task.rules import Form
from worldplan.planners.numeric.task.task import Condition, GroundAction, GroundTask, bit_numbers
from worldplan.world_models.exact.numbers import Rational

NumericFact = tuple[Form, bool]  # the form; True: must be above zero, not zero
LEVELS = 4  # step lengths tried, each half the one before
DEEPEST = 4  # a fact needed for a step of a step of ... is assumed to hold at this depth
MOST_FACTS = 20_000


@dataclass(frozen=True, slots=True)
class Achiever:
    """A way to make one fact true.

    Args:
        fact, action: what it makes true, and by which action.
        extra: fact needed besides the action's precondition, or -1.
        step: how much one application raises the form at least; None: one application does.
        growth: the form whose value in the state is the step if it is larger than `step`; None: the
            step is constant.
    """

    fact: int
    action: int
    extra: int = -1
    step: Rational | None = None
    growth: Form | None = None


@dataclass
class FactTable:
    """Facts and achievers of a task. Facts are numbered in this order: atoms, negated atoms, moves,
    numeric facts.

    Attributes:
        positive, negative: fact number of each needed atom bit.
        moves: fact number of each (place, +1 or -1): that a goal's fluent has risen, or fallen, as
            far as the goals, taken together, ask for. There are none where no goals share fluents.
            Moves are no part of `goal`.
        numeric: fact number of each numeric fact.
        preconditions: fact numbers of each action; None where an action can never be taken.
        goal: fact numbers; None where the goal can never hold.
        achievers: all of them.
        box: bounds that hold in every reachable state.
        is_integral: every value in every reachable state is an int.
    """

    positive: dict[int, int] = field(default_factory=dict)
    negative: dict[int, int] = field(default_factory=dict)
    moves: dict[tuple[int, int], int] = field(default_factory=dict)
    numeric: dict[NumericFact, int] = field(default_factory=dict)
    preconditions: list[list[int] | None] = field(default_factory=list)
    goal: list[int] | None = None
    achievers: list[Achiever] = field(default_factory=list)
    box: list[Interval] = field(default_factory=list)
    is_integral: bool = False

    @property
    def first_number(self) -> int:
        """The number of the first move or numeric fact."""
        return len(self.positive) + len(self.negative)

    @property
    def count(self) -> int:
        """How many facts there are."""
        return self.first_number + len(self.moves) + len(self.numeric)


def fact_table(task: GroundTask, check: Callable[[], None] = lambda: None) -> FactTable:
    """Compile the relaxation of a task; `check` is called often meanwhile and may raise to stop."""
    return _Compiler(task, check).run()


class _Compiler:
    def __init__(self, task: GroundTask, check: Callable[[], None]) -> None:
        self.task, self.table, self.check = task, FactTable(), check
        self.box = self.table.box = reachable_box(task)
        self.undefined = {place for place, value in enumerate(task.initial[1]) if value is None}
        self.is_integral = self.table.is_integral = not self.undefined and task.is_integral
        self.depth: dict[int, int] = {}
        self.changing: dict[int, list[int]] = {}  # place -> the actions that change it
        for number, action in enumerate(task.actions):
            for place, _ in action.effects:
                self.changing.setdefault(place, []).append(number)

    def run(self) -> FactTable:
        task, table = self.task, self.table
        needed_positive = task.goal_positive
        needed_negative = task.goal_negative
        for action in task.actions:
            needed_positive |= action.positive
            needed_negative |= action.negative
        for bit in bit_numbers(needed_positive):
            table.positive[bit] = len(table.positive)
        for bit in bit_numbers(needed_negative):
            table.negative[bit] = len(table.positive) + len(table.negative)
        if are_coupled(task.goal_conditions):
            places = sorted({place for (terms, _), _ in task.goal_conditions for place, _ in terms})
            for number, move in enumerate(
                ((place, sign) for place in places for sign in (1, -1)),
                len(table.positive) + len(table.negative),
            ):
                table.moves[move] = number
        for action in task.actions:
            self.check()
            table.preconditions.append(
                self._facts(action.positive, action.negative, action.conditions + action.boxes)
            )
        table.goal = self._facts(
            task.goal_positive, task.goal_negative, tuple(task.goal_conditions)
        )
        for number, action in enumerate(task.actions):
            if table.preconditions[number] is not None:
                table.achievers += [
                    Achiever(table.positive[bit], number)
                    for bit in bit_numbers(action.adds & needed_positive)
                ]
                table.achievers += [
                    Achiever(table.negative[bit], number)
                    for bit in bit_numbers(action.deletes & needed_negative)
                ]
        for (place, sign), number in table.moves.items():
            self.depth[number] = 0
            table.achievers += self._raising(((((place, sign),), 0), False), number, is_move=True)
        waiting = list(table.numeric)
        for fact in waiting:  # grows while new facts come up
            self.check()
            before = len(table.numeric)
            table.achievers += self._raising(fact, table.numeric[fact])
            waiting += list(table.numeric)[before:]
        return table

    def _facts(
        self, positive: int, negative: int, conditions: tuple[Condition, ...]
    ) -> list[int] | None:
        facts = [self.table.positive[bit] for bit in bit_numbers(positive)] + [
            self.table.negative[bit] for bit in bit_numbers(negative)
        ]
        for form, relation in conditions:
            halves = (
                [(form, False), (_negated(form), False)]
                if relation == "="
                else [(form, relation == ">")]
            )
            for half in halves:
                number = self._numeric(half, 0)
                if number is None:
                    return None
                if number >= 0:
                    facts.append(number)
        return list(dict.fromkeys(facts))

    def _numeric(self, fact: NumericFact, depth: int) -> int | None:
        """Its number; -1 if it always holds (or is assumed to), None if it never does."""
        form, strict = self._normal(fact)
        low, high = form_interval(form, self.box)
        if not self.undefined.intersection(place for place, _ in form[0]) and (
            low > 0 or (low == 0 and not strict)
        ):
            return -1
        if high < 0 or (high == 0 and strict):
            return None
        known = self.table.numeric.get((form, strict))
        if known is not None:
            return known
        if depth > DEEPEST or len(self.table.numeric) > MOST_FACTS:
            return -1
        number = self.table.count
        self.depth[number] = depth
        self.table.numeric[form, strict] = number
        return number

    def _normal(self, fact: NumericFact) -> NumericFact:
        """One form for all multiples; in a task of whole numbers, whole coefficients without common
        divisor, and `>= 1` for `> 0`.
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
        return (
            tuple(
                (place, _plain(coefficient * scale)) for place, coefficient in terms if coefficient
            ),
            _plain(offset),
        ), strict

    def _raising(self, fact: NumericFact, number: int, is_move: bool = False) -> Iterator[Achiever]:
        """Achievers of a numeric fact, or of a move, whose form is to rise, to where depends on the
        state.
        """
        form, strict = fact
        depth = self.depth[number] + 1
        unsure = bool(self.undefined.intersection(place for place, _ in form[0]))
        for action in sorted(
            {action for place, _ in form[0] for action in self.changing.get(place, ())}
        ):
            if self.table.preconditions[action] is None:
                continue
            if unsure:  # the fluent may only get its first value: steps mean nothing
                yield Achiever(number, action)
                continue
            after, is_set = _after(form, self.task.actions[action])
            step = _difference(after, form)
            if not step[0]:
                if step[1] > 0:
                    yield Achiever(number, action, step=step[1])
            elif is_set and is_move:
                yield Achiever(number, action)
            elif is_set:
                extra = self._numeric((after, strict), depth)
                if extra is not None:
                    yield Achiever(number, action, extra)
            else:
                yield from self._growing(number, action, step, depth)

    def _growing(self, number: int, action: int, step: Form, depth: int) -> Iterator[Achiever]:
        most = form_interval(step, self.box)[1]
        for least in self._levels(most):
            wanted: NumericFact = (
                (step, True) if least is None else ((step[0], step[1] - least), False)
            )
            extra = self._numeric(wanted, depth)
            if extra is not None:
                yield Achiever(
                    number,
                    action,
                    extra,
                    least or (1 if self.is_integral else Fraction(1, 16)),
                    step,
                )

    def _levels(self, most: Bound) -> list[Rational | None]:
        """Step lengths to consider, the first being any above zero."""
        if most <= 0:
            return []
        top = Fraction(64) if isinstance(most, float) else Fraction(most)
        levels: list[Rational | None] = [None]
        for halvings in range(LEVELS):
            level = top / 2**halvings
            level = Fraction(math.ceil(level)) if self.is_integral else level
            if _plain(level) not in levels:
                levels.append(_plain(level))
        return levels


def _after(form: Form, action: GroundAction) -> tuple[Form, bool]:
    """The form with next values put in, and whether none of the changed fluents' present values is
    left in it.
    """
    next_forms = dict(action.effects)
    terms: dict[int, Rational] = {}
    constant = form[1]
    for place, coefficient in form[0]:
        inner = next_forms.get(place, (((place, 1),), 0))
        constant += coefficient * inner[1]
        for other, weight in inner[0]:
            terms[other] = terms.get(other, 0) + coefficient * weight
    kept = tuple(
        sorted((place, coefficient) for place, coefficient in terms.items() if coefficient)
    )
    touched = {place for place, _ in form[0]} & next_forms.keys()
    return (kept, constant), not touched.intersection(place for place, _ in kept)


def _difference(first: Form, second: Form) -> Form:
    terms = dict(first[0])
    for place, coefficient in second[0]:
        terms[place] = terms.get(place, 0) - coefficient
    return tuple(
        sorted((place, coefficient) for place, coefficient in terms.items() if coefficient)
    ), first[1] - second[1]


def _negated(form: Form) -> Form:
    return tuple((place, -coefficient) for place, coefficient in form[0]), -form[1]


def _plain(number: Fraction) -> Rational:
    return number.numerator if number.denominator == 1 else number
