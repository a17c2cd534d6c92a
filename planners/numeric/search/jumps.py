"""Jumps: the state after an action has been applied many times in a row.

Where every application changes each fluent by the same amount, the number of possible applications
follows from the linear conditions, and the state is computed at once; other actions are applied one
by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from worldplan.planners.numeric.task.rules import Value, defined_value
from worldplan.planners.numeric.task.task import GroundAction, GroundTask, Node
from worldplan.world_models.exact.numbers import Rational, exact

CHECKED_REPETITIONS = 64  # between two looks at the limits
HUGE_VALUE = 10**18  # one-by-one repetition ends where a value exceeds it

Steps = dict[int, Rational]  # place -> change by one application


class Jumps:
    """Repeats actions of a task.

    Args:
        task: the ground task.
        check: called often; it ends the search by raising.
    """

    def __init__(self, task: GroundTask, check: Callable[[], None]) -> None:
        self.task, self.check = task, check
        # bounds of a region do not decide membership, and a region may have none
        self._steps = [
            None if task.numerics[action.name[0]].regions else _constant_steps(action)
            for action in task.actions
        ]

    def __call__(self, number: int, most: int, node: Node) -> tuple[int, Node]:
        """How often an action can be applied in a row, at most `most` times, and the last state.

        It ends early where the state no longer changes.

        Args:
            number: number of the action.
            most: largest number of applications.
            node: the state before.
        """
        steps = self._steps[number]
        if steps is None or None in node[1]:
            return self._one_by_one(number, most, node)
        first = self.task.apply(number, node)
        if first is None or first == node:
            return 0, node
        # what an application does to its own atoms shows in the second one
        if most < 2 or self.task.apply(number, first) in (None, first):
            return 1, first
        times = min(most, _possible_times(self.task.actions[number], steps, node))
        values: list[Value] = list(node[1])
        for place, step in steps.items():
            value = values[place]
            if value is not None:
                values[place] = exact(value + times * step)
        return times, (first[0], tuple(values))

    def _one_by_one(self, number: int, most: int, node: Node) -> tuple[int, Node]:
        """The same for an action whose changes depend on the state; it also ends at a goal."""
        for times in range(most):
            if not times % CHECKED_REPETITIONS:
                self.check()
            after = self.task.apply(number, node)
            if after is None or after == node:
                return times, node
            node = after
            if times and (self.task.is_goal(node) or _is_huge(node)):
                return times + 1, node
        return most, node


def _constant_steps(action: GroundAction) -> Steps | None:
    """The change of each fluent by one application; None if it depends on the state."""
    steps: Steps = {}
    for place, (terms, constant) in action.effects:
        if terms != ((place, 1),):
            return None
        steps[place] = constant
    return steps


def _possible_times(action: GroundAction, steps: Steps, node: Node) -> int:
    """How often an applicable action with constant steps stays applicable, judged by its
    conditions.
    """
    times = 10**9
    for form, relation in action.conditions:
        slope = sum(coefficient * steps.get(place, 0) for place, coefficient in form[0])
        if not slope or (slope > 0 and relation != "="):
            continue
        if relation == "=":
            return 1
        value = defined_value(form, node[1])
        assert value is not None, "the action is applicable"
        # the condition holds before application j + 1 if value + j * slope is above zero, or zero
        reach = Fraction(value) / -Fraction(slope)
        times = min(times, math.ceil(reach) if relation == ">" else math.floor(reach) + 1)
    return times


def _is_huge(node: Node) -> bool:
    """Whether a value is beyond what a repeated step is for."""
    return any(value is not None and not -HUGE_VALUE <= value <= HUGE_VALUE for value in node[1])
