"""What may be true after exactly t steps: intervals of the fluents and possible truth values of the
atoms, step by step.

An outer bound of the states that plans of t steps lead to (conditions are looked at one by one,
fluents apart), so what a layer rules out is ruled out for certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldplan.planners.numeric.task.intervals import Bound, Interval, contract, form_interval
from worldplan.planners.numeric.task.task import Condition, GroundAction, GroundTask


@dataclass(frozen=True)
class Layer:
    """Bits of the atoms that may be true, and of those that may be false; an interval for each
    fluent; the actions that may be taken.
    """

    true: int
    false: int
    box: tuple[Interval, ...]
    actions: tuple[int, ...]


def first_layer(task: GroundTask) -> Layer:
    """The initial state. Every kept fluent must have a value there."""
    bits, values = task.initial
    every = (1 << len(task.atoms)) - 1
    box = tuple((value, value) for value in values if value is not None)
    return _with_actions(task, bits, every & ~bits, box)


def next_layer(task: GroundTask, layer: Layer) -> Layer:
    """One step on."""
    true = false = 0
    low: list[list[Bound]] = [[] for _ in layer.box]
    high: list[list[Bound]] = [[] for _ in layer.box]
    for number in layer.actions:
        action = task.actions[number]
        true |= action.adds | (layer.true & ~action.deletes & ~action.negative)
        false |= action.deletes | (layer.false & ~action.adds & ~action.positive)
        inside = contract(conditions(action), layer.box)
        assert inside is not None  # it is among the layer's actions
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
    """Whether the layer leaves room for a goal state."""
    return (
        _may_hold(layer, task.goal_positive, task.goal_negative, task.goal_conditions)
        and not task.unreachable
    )


def conditions(action: GroundAction) -> tuple[Condition, ...]:
    """All that a box can be narrowed by."""
    return action.conditions + action.boxes


def _with_actions(task: GroundTask, true: int, false: int, box: tuple[Interval, ...]) -> Layer:
    bare = Layer(true, false, box, ())
    found = (
        n
        for n, one in enumerate(task.actions)
        if _may_hold(bare, one.positive, one.negative, conditions(one))
    )
    return Layer(true, false, box, tuple(found))


def _may_hold(layer: Layer, positive: int, negative: int, numeric: Iterable[Condition]) -> bool:
    """Whether conditions may hold together as far as the layer tells."""
    wanted: Sequence[Condition] = tuple(numeric)
    return (
        not positive & ~layer.true
        and not negative & ~layer.false
        and contract(wanted, layer.box) is not None
    )
