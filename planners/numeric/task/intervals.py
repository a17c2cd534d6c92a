"""Bounds of every fluent that hold in all reachable states, by interval arithmetic over all ground
actions.

The intervals grow until no effect adds a value: the conditions of an action first narrow them, then
its effects widen them. After some rounds a bound that still moves is set to infinity (widening). A
few rounds of recomputation then tighten the bounds again (narrowing). The result of every round
contains all reachable states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from worldplan.planners.numeric.task.rules import Form
from worldplan.planners.numeric.task.task import Condition, GroundAction, GroundTask
from worldplan.world_models.exact.numbers import Rational

Bound = Rational | float  # a float is always an infinity
Interval = tuple[Bound, Bound]
Box = Sequence[Interval]
EVERYTHING: Interval = (-math.inf, math.inf)
WIDEN_AFTER, NARROW_ROUNDS = 5, 3


def form_interval(form: Form, box: Box) -> Interval:
    """Least and greatest value of a linear form over a box.

    Args:
        form: the form.
        box: an interval for each fluent.
    """
    terms, constant = form
    low: Bound = constant
    high: Bound = constant
    for place, coefficient in terms:
        if coefficient:
            first, second = _times(coefficient, box[place][0]), _times(coefficient, box[place][1])
            low, high = (
                (_plus(low, first), _plus(high, second))
                if coefficient > 0
                else (_plus(low, second), _plus(high, first))
            )
    return low, high


def reachable_box(task: GroundTask) -> list[Interval]:
    """An interval for each fluent of a task that contains its value in every reachable state.

    A fluent that may be undefined has the interval of all numbers.

    Args:
        task: the task.
    """
    start: list[Interval] = [
        EVERYTHING if value is None else (value, value) for value in task.initial[1]
    ]
    by_numerics = {
        (action.conditions, action.boxes, action.effects): action
        for action in task.actions
        if action.effects
    }
    actions = list(by_numerics.values())
    box, rounds = start, 0
    while (grown := _grow(actions, box, box)) != box:
        rounds += 1
        if rounds > WIDEN_AFTER:
            grown = [
                (
                    old[0] if new[0] == old[0] else -math.inf,
                    old[1] if new[1] == old[1] else math.inf,
                )
                for old, new in zip(box, grown, strict=True)
            ]
        box = grown
    for _ in range(NARROW_ROUNDS):
        box = _grow(actions, box, start)
    return box


def _grow(actions: Sequence[GroundAction], box: Box, start: Box) -> list[Interval]:
    """`start` united with the values that the effects of actions can produce in `box`."""
    united = list(start)
    for action in actions:
        conditions = action.conditions + action.boxes
        inside = contract(conditions, box)
        if inside is None:
            continue
        for target, form in action.effects:
            low, high = form_interval(form, inside)
            for bound_low, bound_high in (_bounds_by(condition, form) for condition in conditions):
                low, high = max(low, bound_low), min(high, bound_high)
            # an action that can only raise a fluent does not lower its least value, and vice versa
            least, most = form_interval(_change(target, form), inside)
            united[target] = (
                min(united[target][0], low) if least < 0 else united[target][0],
                max(united[target][1], high) if most > 0 else united[target][1],
            )
    return united


def _change(target: int, form: Form) -> Form:
    """The next value of a fluent minus its present one."""
    terms = dict(form[0])
    terms[target] = terms.get(target, 0) - 1
    return tuple((place, coefficient) for place, coefficient in terms.items() if coefficient), form[
        1
    ]


def contract(conditions: Sequence[Condition], box: Box) -> list[Interval] | None:
    """The box without values that no point with these conditions has; None if no point is left.

    Args:
        conditions: necessary conditions on the point.
        box: an interval for each fluent.
    """
    inside = list(box)
    for (terms, constant), relation in conditions:
        for sign in (1, -1) if relation == "=" else (1,):
            signed: Form = (
                tuple((place, sign * coefficient) for place, coefficient in terms),
                sign * constant,
            )
            if form_interval(signed, inside)[1] < 0:
                return None
            for number, (place, coefficient) in enumerate(signed[0]):
                others = signed[0][:number] + signed[0][number + 1 :]
                rest = form_interval((others, signed[1]), inside)[1]  # coefficient * value >= -rest
                if coefficient and rest < math.inf:
                    limit, (low, high) = _divide(-rest, coefficient), inside[place]
                    inside[place] = (
                        (max(low, limit), high) if coefficient > 0 else (low, min(high, limit))
                    )
    return None if any(low > high for low, high in inside) else inside


def _bounds_by(condition: Condition, form: Form) -> Interval:
    """The bounds of a form that follow from a condition whose terms are a multiple of
    the form's.
    """
    (terms, constant), relation = condition
    form_terms, offset = form
    if len(terms) != len(form_terms) or not terms or not terms[0][1] or not form_terms[0][1]:
        return EVERYTHING
    factor = _divide(form_terms[0][1], terms[0][1])
    if any(
        place != other or factor * coefficient != weight
        for (place, coefficient), (other, weight) in zip(terms, form_terms, strict=True)
    ):
        return EVERYTHING
    limit = offset - factor * constant  # terms + constant >= 0, and form = factor * terms + offset
    if relation == "=":
        return limit, limit
    return (limit, math.inf) if factor > 0 else (-math.inf, limit)


def _plus(bound: Bound, more: Bound) -> Bound:
    """Their sum; two infinities have the same sign. Finite numbers stay exact, however large."""
    return more if isinstance(more, float) else bound if isinstance(bound, float) else bound + more


def _times(factor: Rational, bound: Bound) -> Bound:
    """Their product; the factor is not 0."""
    return (bound if factor > 0 else -bound) if isinstance(bound, float) else factor * bound


def _divide(numerator: Bound, denominator: Rational) -> Bound:
    return _times(1 / Fraction(denominator), numerator)
