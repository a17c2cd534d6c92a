"""Numeric models made in Python: exact whatever number is given, and mistakes are one line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError, WorldplanError
from worldplan.world_models.action_model import learn
from worldplan.world_models.numeric import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Trajectory,
    Vocabulary,
    is_valid,
    run_plan,
)

make: Any = None
X, Y = ("x", "a"), ("y",)
START = State(frozenset({("p", "a")}), {X: 1, Y: 2})
OBJECTS = {"a": "object"}
WORDS = Vocabulary("d", {}, {}, {"p": ("object",)}, {"x": ("object",), "y": ()}, {"go": ()})

NO_NUMBERS = [
    np.nan, np.inf, -np.inf, "3", None, True, 1j, [1], Decimal("NaN"), np.float32("inf"), type,
]  # fmt: skip


@pytest.mark.parametrize("number", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(number: Any) -> None:
    for build in (
        lambda: Linear(((X, number),)),
        lambda: Linear((), number),
        lambda: State(frozenset(), {X: number}),
    ):
        with pytest.raises(DatasetError, match="give a finite number") as caught:
            build()
        assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    tenths=st.lists(st.integers(-50, 50), min_size=1, max_size=6),
    kind=st.sampled_from([float, np.float64, np.float32, Decimal, Fraction]),
)
def test_a_sum_of_decimals_is_exact(tenths: list[int], kind: Callable[[Any], Any]) -> None:
    texts = [str(Fraction(number, 10).limit_denominator()) for number in tenths]
    given_numbers = [
        kind(number / 10) if kind is not Decimal else Decimal(number) / 10 for number in tenths
    ]
    if kind is Fraction:
        given_numbers = [Fraction(text) for text in texts]
    fluents = [("f", str(index)) for index in range(len(tenths))]
    state = State(frozenset(), dict(zip(fluents, given_numbers, strict=True)))
    total = Linear(tuple((fluent, 1) for fluent in fluents), Fraction(-sum(tenths), 10))
    assert Comparison(total, "=").holds((), state.values)
    scaled = Linear(tuple((("g",), number) for number in given_numbers))
    assert scaled.value((), {("g",): 10}) == sum(tenths)
    assert all(type(value) in (int, Fraction) for value in state.values.values())


def test_a_state_keeps_its_own_values() -> None:
    numbers: dict[Any, Any] = {X: 1}
    before = State(frozenset(), numbers)
    numbers[X] = 3
    assert before.values[X] == 1 and before != State(frozenset(), numbers)
    assert hash(before) == hash(State(frozenset(), {X: 1.0}))  # type: ignore[dict-item]


def action(**parts: Any) -> NumericAction:
    return NumericAction("go", (("t", "object"),), **parts)


WRONG: list[Callable[[], Any]] = [
    lambda: Comparison(Linear((), 1), "<="),
    lambda: Comparison(Linear((), 1), "=>"),
    lambda: Comparison(3, "="),  # type: ignore[arg-type]
    lambda: Linear((X, 1)),  # type: ignore[arg-type]
    lambda: Linear(((X, 1, 2),)),  # type: ignore[arg-type]
    lambda: Linear((("", 1),)),  # type: ignore[arg-type]
    lambda: Linear("x"),  # type: ignore[arg-type]
    lambda: Linear((((), 1),)),
    lambda: State(frozenset(), [(X, 1)]),  # type: ignore[arg-type]
    lambda: State("p a", {}),  # type: ignore[arg-type]
    lambda: State({"p": 1}, {}),  # type: ignore[arg-type]
    lambda: Goal({("p", 0)}),  # type: ignore[arg-type]
    lambda: Goal("p a"),  # type: ignore[arg-type]
    lambda: Goal(comparisons=(Linear((), 1),)),  # type: ignore[arg-type]
    lambda: Goal(comparisons=(Comparison(Linear(((("x", 0), 1),)), ">="),)),
    lambda: action(positive={("p", 1)}),
    lambda: action(positive={("p", -1)}),
    lambda: action(adds={("p", True)}),
    lambda: action(deletes="p"),
    lambda: action(comparisons=(Comparison(Linear(((("x", 4), 1),)), ">="),)),
    lambda: action(effects=((("x", 2), Linear(())),)),
    lambda: action(effects=((("x", 0), 3),)),
    lambda: action(effects=(Linear(()),)),
    lambda: action(effects=((("x", 0), Linear(())), (("x", 0), Linear((), 1)))),
    lambda: action(regions=(3,)),
    lambda: NumericAction("go", (("t",),)),  # type: ignore[arg-type]
    lambda: NumericAction("go", ("t",)),  # type: ignore[arg-type]
    lambda: NumericAction(3),  # type: ignore[arg-type]
    lambda: NumericModel({}, {}),  # type: ignore[arg-type]
    lambda: NumericModel(WORDS, {"go": lambda: None}),  # type: ignore[dict-item]
    lambda: NumericModel(WORDS, [action()]),  # type: ignore[arg-type]
    lambda: NumericProblem("p", ["a"], START, Goal()),  # type: ignore[arg-type]
    lambda: NumericProblem("p", {"a": 3}, START, Goal()),  # type: ignore[dict-item]
    lambda: NumericProblem("p", OBJECTS, {}, Goal()),  # type: ignore[arg-type]
    lambda: NumericProblem("p", OBJECTS, START, None),  # type: ignore[arg-type]
    lambda: Vocabulary("d", {"a": "b", "b": "a"}, {}, {}, {}, {}),
    lambda: Vocabulary("d", {"a": "a"}, {}, {}, {}, {}),
    lambda: Vocabulary("d", {"a": "b"}, {}, {}, {}, {}),
    lambda: Vocabulary("d", {}, {"c": "cell"}, {}, {}, {}),
    lambda: Vocabulary("d", {}, {}, {"p": ("cell",)}, {}, {}),
    lambda: Vocabulary("d", {}, {}, {"p": "cell"}, {}, {}),  # type: ignore[dict-item]
    lambda: Vocabulary("d", {}, {}, ["p"], {}, {}),  # type: ignore[arg-type]
    lambda: Vocabulary("d", {}, {}, {}, {}, {"go": ("object",)}),  # type: ignore[dict-item]
    lambda: Trajectory(OBJECTS, (START,), (("go",),), (None,)),
    lambda: Trajectory(OBJECTS, (START, START), (), ()),
    lambda: Trajectory(OBJECTS, (START, START), (("go",),), ()),
    lambda: Trajectory(OBJECTS, (START, START), (("go",),), ("yes",)),  # type: ignore[arg-type]
    lambda: Trajectory(OBJECTS, (START, START), ("go",), (None,)),  # type: ignore[arg-type]
    lambda: Trajectory(OBJECTS, (START, START), (("go", "b"),), (None,)),
    lambda: Trajectory({}, (START, START), (("go",),), (None,)),
    lambda: Trajectory(OBJECTS, (), (), ()),
    lambda: Trajectory(OBJECTS, ({}, {}), (("go",),), (None,)),  # type: ignore[arg-type]
    lambda: Trajectory(None, (START,), (), ()),  # type: ignore[arg-type]
    *(
        lambda initial=initial: NumericProblem("p", OBJECTS, initial, Goal())
        for initial in (
            State(frozenset({"at"}), {}),  # type: ignore[arg-type]
            State(frozenset({()}), {}),
            State(frozenset({("at", 1)}), {}),  # type: ignore[arg-type]
            State(frozenset(), {"w": 1}),  # type: ignore[dict-item]
            State(frozenset(), {1: 1}),  # type: ignore[dict-item]
        )
    ),
    lambda: Comparison(Linear((), 0), np.zeros(2)),  # type: ignore[arg-type]
    lambda: Region("x", None),  # type: ignore[arg-type]
    lambda: learn(WORDS, [START]),  # type: ignore[list-item]
    lambda: learn({}, []),  # type: ignore[arg-type]
    lambda: run_plan(NumericModel(WORDS, {}), START, []),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("build", WRONG)
def test_a_wrong_part_is_refused(build: Callable[[], Any]) -> None:
    with pytest.raises(WorldplanError) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("plan", ["go", ["go"], [()], [("go", 1)], [None], 3, [("fly",)]])
def test_a_wrong_plan_is_refused(plan: Any) -> None:
    model = NumericModel(WORDS, {"go": NumericAction("go")})
    problem = NumericProblem("p", OBJECTS, START, Goal())
    with pytest.raises(DatasetError):
        run_plan(model, problem, plan)
    assert is_valid(model, problem, [("go",), ["go"]])  # type: ignore[list-item]
