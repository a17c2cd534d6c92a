"""Outer bounds of the states after exactly t steps: intervals of the fluents and possible truth
values of the atoms.

Conditions are considered one by one and fluents separately. A layer therefore contains every
reachable state, and what it excludes is certainly impossible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worldplan.planners.numeric.task.intervals import Bound, Interval, contract, form_interval
from worldplan.planners.numeric.task.task import Condition, GroundAction, GroundTask


@dataclass(frozen=True)
class Layer:
    """The bounds after some number of steps.

    Args:
        true: bits of the atoms that may be true.
        false: bits of the atoms that may be false.
        box: an interval for each fluent.
        actions: numbers of the actions that may be applicable.
    """

    true: int
    false: int
    box: tuple[Interval, ...]
    actions: tuple[int, ...]


def first_layer(task: GroundTask) -> Layer:
    """The layer of the initial state, where every kept fluent must be defined."""
    bits, values = task.initial
    every = (1 << len(task.atoms)) - 1
    box = tuple((value, value) for value in values if value is not None)
    return _with_actions(task, bits, every & ~bits, box)


def next_layer(task: GroundTask, layer: Layer) -> Layer:
    """The layer after one more step."""
    true = false = 0
    low: list[list[Bound]] = [[] for _ in layer.box]
    high: list[list[Bound]] = [[] for _ in layer.box]
    for number in layer.actions:
        action = task.actions[number]
        true |= action.adds | (layer.true & ~action.deletes & ~action.negative)
        false |= action.deletes | (layer.false & ~action.adds & ~action.positive)
        inside = contract(conditions(action), layer.box)
        assert inside is not None  # otherwise the layer would not have the action
        box = list(inside)
        for target, form in action.effects:
            box[target] = form_interval(form, inside)
        for place, (least, most) in enumerate(box):
            low[place].append(least)
            high[place].append(most)
    return _with_actions(
        task, true, false, tuple((min(a), max(b)) for a, b in zip(low, high, strict=True) if a)
    )


def may_be_goal(task: GroundTask, layer: Layer) -> bool:
    """Whether a layer may contain a goal state."""
    return (
        _may_hold(layer, task.goal_positive, task.goal_negative, task.goal_conditions)
        and not task.unreachable
    )


def conditions(action: GroundAction) -> tuple[Condition, ...]:
    """All numeric conditions of an action, those of its regions' bounds included."""
    return action.conditions + action.boxes


def _with_actions(task: GroundTask, true: int, false: int, box: tuple[Interval, ...]) -> Layer:
    """The layer with these bounds."""
    bare = Layer(true, false, box, ())
    applicable = (
        number
        for number, action in enumerate(task.actions)
        if _may_hold(bare, action.positive, action.negative, conditions(action))
    )
    return Layer(true, false, box, tuple(applicable))


def _may_hold(layer: Layer, positive: int, negative: int, numeric: Iterable[Condition]) -> bool:
    """Whether conditions may hold together in a layer."""
    return (
        not positive & ~layer.true
        and not negative & ~layer.false
        and contract(tuple(numeric), layer.box) is not None
    )
