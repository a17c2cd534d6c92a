"""The relaxation of the heuristic: facts, and the actions that make each of them true.

A fact is an atom, a negated atom, or a numeric condition `form >= 0` (or `> 0`). An action needs
all facts of its precondition. One application of it achieves an atom. It achieves a numeric
condition by raising the condition's form:

* by a constant step, applied as often as it takes to close the gap;
* by an assignment, applied once, if the form with the next values substituted holds (a fact of its
  own);
* by a step that depends on the state, at several step lengths. Each length is a fact of its own
  ("the step is at least 4") that has to be achieved first; any length above zero is considered,
  too.

No fact is ever made false. A condition that becomes true along a real plan was raised by the action
before, whose precondition held and whose step was positive there. Every condition that some plan
reaches is therefore reached here. Facts that contradict the bounds of all reachable states are left
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from worldplan.planners.numeric.search.goal_point import are_coupled
from worldplan.planners.numeric.task.facts import (
    NormalForms,
    NumericFact,
    atom_facts,
    difference,
    form_after,
    halves,
)
from worldplan.planners.numeric.task.intervals import Bound, Interval, form_interval, reachable_box
from worldplan.planners.numeric.task.rules import Form
from worldplan.planners.numeric.task.task import Condition, GroundTask, bit_numbers
from worldplan.world_models.exact.numbers import Rational, exact

LEVELS = 4  # step lengths tried; each is half of the previous one
MAX_DEPTH = 4  # beyond this depth, a fact needed for a step of a step of ... is assumed to hold
MAX_FACTS = 20_000


@dataclass(frozen=True, slots=True)
class Achiever:
    """A way to make one fact true.

    Args:
        fact: number of the fact.
        action: number of the action.
        extra: number of a fact that is needed besides the action's precondition, or -1.
        step: least amount by which one application raises the form; None if one application
            suffices.
        growth: form whose value in the state is the step where it exceeds `step`; None if the step
            is constant.
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
        positive: fact number of each required atom bit.
        negative: fact number of each forbidden atom bit.
        moves: fact number of each (place, +1 or -1): the fluent has risen, or fallen, by the
            distance to the nearest joint solution of the goal's comparisons. Empty if no goals
            share fluents. Moves do not belong to `goal`.
        numeric: fact number of each numeric fact.
        preconditions: fact numbers of each action; None if the action is never applicable.
        goal: fact numbers; None if the goal never holds.
        achievers: all achievers.
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
        """Number of facts."""
        return self.first_number + len(self.moves) + len(self.numeric)


def fact_table(task: GroundTask, check: Callable[[], None] = lambda: None) -> FactTable:
    """The relaxation of a task.

    Args:
        task: the task.
        check: called often; it ends the compilation by raising.
    """
    return _Compiler(task, check).run()


class _Compiler:
    """Builds the `FactTable` of a task."""

    def __init__(self, task: GroundTask, check: Callable[[], None]) -> None:
        self.task, self.table, self.check = task, FactTable(), check
        self.box = self.table.box = reachable_box(task)
        self.forms = NormalForms(task, self.box)
        self.table.is_integral = self.forms.is_integral
        self.depth: dict[int, int] = {}
        self.changing: dict[int, list[int]] = {}  # place -> the actions that change it
        for number, action in enumerate(task.actions):
            for place, _ in action.effects:
                self.changing.setdefault(place, []).append(number)

    def run(self) -> FactTable:
        """The table: atoms, moves, preconditions, goal, and achievers of all facts."""
        task, table = self.task, self.table
        table.positive, table.negative = atom_facts(task)
        if are_coupled(task.goal_conditions):
            places = sorted({place for (terms, _), _ in task.goal_conditions for place, _ in terms})
            moves = ((place, sign) for place in places for sign in (1, -1))
            for number, move in enumerate(moves, table.first_number):
                table.moves[move] = number
        for action in task.actions:
            self.check()
            table.preconditions.append(
                self._facts(action.positive, action.negative, action.conditions + action.boxes)
            )
        table.goal = self._facts(
            task.goal_positive, task.goal_negative, tuple(task.goal_conditions)
        )
        self._achieve_atoms()
        for (place, sign), number in table.moves.items():
            self.depth[number] = 0
            table.achievers += self._raising(((((place, sign),), 0), False), number, is_move=True)
        facts_to_achieve = list(table.numeric)
        for fact in facts_to_achieve:  # grows when new facts are needed
            self.check()
            count_before = len(table.numeric)
            table.achievers += self._raising(fact, table.numeric[fact])
            facts_to_achieve += list(table.numeric)[count_before:]
        return table

    def _achieve_atoms(self) -> None:
        """Add the achievers of atoms and negated atoms."""
        table = self.table
        for number, action in enumerate(self.task.actions):
            if table.preconditions[number] is None:
                continue
            added = [bit for bit in bit_numbers(action.adds) if bit in table.positive]
            deleted = [bit for bit in bit_numbers(action.deletes) if bit in table.negative]
            table.achievers += [Achiever(table.positive[bit], number) for bit in added]
            table.achievers += [Achiever(table.negative[bit], number) for bit in deleted]

    def _facts(
        self, positive: int, negative: int, conditions: tuple[Condition, ...]
    ) -> list[int] | None:
        """Fact numbers of a conjunction; None if it never holds."""
        facts = [self.table.positive[bit] for bit in bit_numbers(positive)] + [
            self.table.negative[bit] for bit in bit_numbers(negative)
        ]
        for half in halves(conditions):
            number = self._numeric(half, 0)
            if number is None:
                return None
            if number >= 0:
                facts.append(number)
        return list(dict.fromkeys(facts))

    def _numeric(self, fact: NumericFact, depth: int) -> int | None:
        """The number of a fact; -1 if it always holds or is assumed to, None if it never holds."""
        normal = self.forms(fact)
        if isinstance(normal, bool):
            return -1 if normal else None
        known = self.table.numeric.get(normal)
        if known is not None:
            return known
        if depth > MAX_DEPTH or len(self.table.numeric) > MAX_FACTS:
            return -1
        number = self.table.count
        self.depth[number] = depth
        self.table.numeric[normal] = number
        return number

    def _raising(self, fact: NumericFact, number: int, is_move: bool = False) -> Iterator[Achiever]:
        """Achievers that raise the form of a numeric fact or of a move.

        Args:
            fact: the fact.
            number: its number.
            is_move: the form has to rise by an amount that depends on the state.
        """
        form, strict = fact
        depth = self.depth[number] + 1
        places = {place for place, _ in form[0]}
        may_be_undefined = self.forms.may_be_undefined(form)
        for action in sorted({a for place in places for a in self.changing.get(place, ())}):
            if self.table.preconditions[action] is None:
                continue
            if may_be_undefined:  # the action may define the fluent: a step has no meaning
                yield Achiever(number, action)
                continue
            after = form_after(form, self.task.actions[action])
            step = difference(after, form)
            # an assignment: no changed fluent of the form is left
            changed = places.intersection(place for place, _ in self.task.actions[action].effects)
            is_set = not changed.intersection(place for place, _ in after[0])
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
        """Achievers by a step that depends on the state, one for each step length."""
        largest_step = form_interval(step, self.box)[1]
        for length in self._levels(largest_step):
            step_fact: NumericFact = (
                (step, True) if length is None else ((step[0], step[1] - length), False)
            )
            extra = self._numeric(step_fact, depth)
            if extra is not None:
                yield Achiever(
                    number,
                    action,
                    extra,
                    length or (1 if self.forms.is_integral else Fraction(1, 16)),
                    step,
                )

    def _levels(self, largest_step: Bound) -> list[Rational | None]:
        """Step lengths to consider; the first, None, stands for any length above zero."""
        if largest_step <= 0:
            return []
        top = Fraction(64) if isinstance(largest_step, float) else Fraction(largest_step)
        levels: list[Rational | None] = [None]
        for halvings in range(LEVELS):
            level = top / 2**halvings
            level = Fraction(math.ceil(level)) if self.forms.is_integral else level
            if exact(level) not in levels:
                levels.append(exact(level))
        return levels
