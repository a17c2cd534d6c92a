"""The relaxation behind lower bounds: facts, and by how much an action can raise each numeric one.

A fact is an atom, a negated atom, or a numeric condition `form >= 0` (or `> 0`). One application of
an action makes an atom true. A numeric condition that is false becomes true by actions that raise
its form; the most that one application raises it, in any reachable state where the action is
applicable, is the action's step. Steps are bounded over the box of all reachable states, so what
depends on the state is never underestimated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from worldplan.planners.numeric.task.facts import (
    NormalForms,
    NumericFact,
    atom_facts,
    difference,
    form_after,
    halves,
)
from worldplan.planners.numeric.task.intervals import (
    Bound,
    Interval,
    contract,
    form_interval,
    reachable_box,
)
from worldplan.planners.numeric.task.rules import defined_value, holds
from worldplan.planners.numeric.task.task import (
    Condition,
    GroundAction,
    GroundTask,
    Node,
    bit_numbers,
)
from worldplan.world_models.exact.numbers import Rational


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
            value = defined_value(form, values)
            if value is None:
                gaps.append(None)
            elif holds(value, ">" if strict else ">="):
                gaps.append(0)
            else:
                gaps.append(-value or None)
        return gaps


class _Compiler:
    """Builds the `Relaxation` of a task."""

    def __init__(self, task: GroundTask, check: Callable[[], None]) -> None:
        self.task, self.check = task, check
        self.made = Relaxation(reachable_box(task))
        self.forms = NormalForms(task, self.made.box)

    def run(self) -> Relaxation:
        """Facts, preconditions and goal first, then the achievers of all facts."""
        task, made = self.task, self.made
        made.positive, made.negative = atom_facts(task)
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
            if changed.isdisjoint(place for place, _ in form[0]):
                continue
            if self.forms.may_be_undefined(form):
                made.achievers.append(Achiever(fact, number))
                continue
            most: Bound = form_interval(difference(form_after(form, action), form), inside)[1]
            if most > 0:
                step = None if isinstance(most, float) else most
                made.achievers.append(Achiever(fact, number, step))

    def _facts(
        self, positive: int, negative: int, conditions: Iterable[Condition]
    ) -> list[int] | None:
        """Fact numbers of a conjunction; None if it never holds."""
        facts = [self.made.positive[bit] for bit in bit_numbers(positive)]
        facts += [self.made.negative[bit] for bit in bit_numbers(negative)]
        for half in halves(conditions):
            fact = self.forms(half)
            if fact is False:
                return None
            if fact is not True:
                facts.append(self.made.numeric.setdefault(fact, self.made.count))
        return list(dict.fromkeys(facts))
