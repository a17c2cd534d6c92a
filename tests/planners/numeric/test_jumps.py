"""Repeated actions in the greedy search: jumps, two estimates of goals that share fluents, and the
queues of waiting states.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.numeric.builders import Box
from worldplan.planners.numeric.search.jumps import Jumps
from worldplan.planners.numeric.search.open_lists import BOOST, Novelty, OpenLists
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid

X, Y = ("x",), ("y",)


def changed(fluent: tuple[str], by: int) -> tuple[tuple[str], Linear]:
    return fluent, Linear(((fluent, 1),), by)


def at_least(least: int, **weights: int) -> Comparison:
    terms = tuple(((name,), weight) for name, weight in sorted(weights.items()))
    return Comparison(Linear(terms, -least), ">=")


def model_of(*actions: NumericAction) -> NumericModel:
    names = {action.name: () for action in actions}
    words = Vocabulary("farm", {}, {}, {}, {"x": (), "y": ()}, names)
    return NumericModel(words, {action.name: action for action in actions})


def task(x: int, y: int, *goals: Comparison) -> NumericProblem:
    return NumericProblem("task", {}, State(frozenset(), {X: x, Y: y}), Goal(comparisons=goals))


# moving fast loses half of what is moved, so the sum is only reached slowly
FARM = model_of(
    NumericAction("fast", comparisons=(at_least(4, x=1),), effects=(changed(X, -4), changed(Y, 2))),
    NumericAction("slow", comparisons=(at_least(1, x=1),), effects=(changed(X, -1), changed(Y, 1))),
    NumericAction("back", comparisons=(at_least(1, y=1),), effects=(changed(X, 1), changed(Y, -1))),
)
GOALS = (at_least(1, x=1), at_least(1, y=1), at_least(4200, x=10, y=17))


def test_a_repeated_action_is_one_expansion() -> None:
    problem = task(300, 1, *GOALS)
    result = search_plan(FARM, problem, method="greedy", time_limit=30)
    assert result.plan == (("slow",),) * 169
    assert result.expanded <= 3


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 60), st.integers(0, 60), st.integers(0, 12))
def test_plans_with_jumps_are_valid_and_short(x: int, y: int, more: int) -> None:
    goal = at_least(10 * x + 17 * y + 7 * more, x=10, y=17)
    problem = task(x, y, goal)
    shortest = search_plan(FARM, problem, method="breadth_first", time_limit=30)
    result = search_plan(FARM, problem, method="greedy", time_limit=30)
    assert (result.plan is None) == (shortest.plan is None)
    if result.plan is not None and shortest.plan is not None:
        assert is_valid(FARM, problem, result.plan)
        assert len(result.plan) >= len(shortest.plan)


def test_a_jump_ends_where_its_action_ends() -> None:
    """The relaxed plan repeats `dig` twenty times, and only ten are possible before `rest`."""
    dig = NumericAction(
        "dig", comparisons=(at_least(1, y=1),), effects=(changed(X, 1), changed(Y, -1))
    )
    rest = NumericAction(
        "rest", comparisons=(Comparison(Linear(((Y, -1),), 0), "="),), effects=(changed(Y, 10),)
    )
    model, problem = model_of(dig, rest), task(0, 10, at_least(20, x=1))
    result = search_plan(model, problem, method="greedy", time_limit=30)
    assert result.plan == (("dig",),) * 10 + (("rest",),) + (("dig",),) * 10
    assert result.expanded <= 6


def test_a_jump_does_not_skip_what_a_region_without_bounds_excludes() -> None:
    """`one` must not be applied at 2, which no bound of its region shows."""
    region = Region((X,), Box(((None, None),), (2,)))
    one = NumericAction("one", regions=(region,), effects=(changed(X, 1),))
    two = NumericAction("two", comparisons=(at_least(1, x=1),), effects=(changed(X, 2),))
    model, problem = model_of(one, two), task(0, 0, at_least(40, x=1))
    result = search_plan(model, problem, method="greedy", time_limit=30)
    assert result.plan is not None and is_valid(model, problem, result.plan)


def test_growing_values_end_a_jump() -> None:
    double = NumericAction("double", effects=((X, Linear(((X, 2),), 0)),))
    problem = task(1, 0, at_least(10**200, x=1))
    result = search_plan(model_of(double), problem, method="greedy", time_limit=30)
    assert result.plan is not None and len(result.plan) == math.ceil(200 / math.log10(2))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-6, 6),
    st.integers(-6, 6),
    st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-12, 12)),
    st.sampled_from([">=", ">", "="]),
    st.integers(1, 9),
    st.integers(0, 2),
)
def test_a_jump_is_the_same_as_single_steps(
    by_x: int, by_y: int, weights: tuple[int, int, int], relation: str, most: int, halves: int
) -> None:
    """Against the application of the action one by one, also with fractions."""
    terms = tuple((name, weight) for name, weight in ((X, weights[0]), (Y, weights[1])) if weight)
    condition = Comparison(Linear(terms, weights[2]), relation)
    step_x = Fraction(by_x, 2) if halves else by_x
    action = NumericAction(
        "act",
        comparisons=(condition,) if terms else (),
        effects=((X, Linear(((X, 1),), step_x)), changed(Y, by_y)),
    )
    model, problem = model_of(action), task(3, 2, at_least(1000, x=1, y=1))
    ground = GroundTask(model, problem)
    if not ground.actions:
        return
    node, times = ground.initial, 0
    while times < most:
        after = ground.apply(0, node)
        if after is None or after == node:
            break
        node, times = after, times + 1
    assert Jumps(ground, lambda: None)(0, most, ground.initial) == (times, node)


NODES = [(0, (number,)) for number in range(6)]


def step(number: int) -> tuple[object, int, int, object]:
    return NODES[0], number, 1, NODES[number]


def test_queues_alternate_and_the_least_estimate_is_first() -> None:
    lists = OpenLists(1, NODES[0])
    assert lists.pop() == (NODES[0], -1, 0, NODES[0])
    lists.push(0, 5.0, step(1), False)  # type: ignore[arg-type]
    lists.push(0, 3.0, step(2), False)  # type: ignore[arg-type]
    lists.push(0, 4.0, step(3), True)  # type: ignore[arg-type]
    lists.push_novel(9.0, step(4))  # type: ignore[arg-type]
    taken = [lists.pop() for _ in range(5)]
    assert [popped[1] for popped in taken if popped] == [3, 4, 2, 3, 1]
    assert lists.pop() is None


def test_a_new_least_estimate_favours_the_preferred() -> None:
    lists = OpenLists(1, NODES[0])
    lists.pop()
    assert lists.record([7.0]) and not lists.record([7.0]) and lists.record([6.5])
    assert lists.best == [6.5]
    for number in range(1, 6):
        lists.push(0, float(number), step(number), number > 2)  # type: ignore[arg-type]
    taken = [popped[1] for popped in (lists.pop() for _ in range(3)) if popped]
    assert taken == [3, 4, 5], f"{BOOST} turns of the preferred come first"


@pytest.mark.parametrize(
    ("node", "estimate", "is_new"),
    [
        ((0b01, (1, 2)), 5.0, False),
        ((0b01, (2, 1)), 5.0, True),
        ((0b11, (1, 2)), 5.0, True),
        ((0b01, (1, 2)), 4.0, True),
        ((0b00, (1, 2)), 5.0, False),
    ],
)
def test_novelty(node: tuple[int, tuple[int, ...]], estimate: float, is_new: bool) -> None:
    novelty = Novelty()
    assert novelty.is_new((0b01, (1, 2)), 5.0)
    assert novelty.is_new(node, estimate) == is_new
    assert not novelty.is_new(node, estimate)
