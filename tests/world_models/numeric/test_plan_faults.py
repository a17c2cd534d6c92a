"""What is wrong with a plan, in words: the step, the condition, the part of the goal."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.plan_errors import plan_fault, unmet_conditions, unmet_goals

VOCABULARY = Vocabulary(
    "vans",
    {"place": "object", "van": "object"},
    {"home": "place"},
    {"at": ("van", "place"), "shut": ("place",)},
    {"fuel": ("van",), "way": ("place", "place")},
    {"drive": (("v", "van"), ("a", "place"), ("b", "place"))},
)
FUEL, WAY = ("fuel", 0), ("way", 1, 2)
DRIVE = NumericAction(
    "drive",
    VOCABULARY.actions["drive"],
    positive=frozenset({("at", 0, 1)}),
    negative=frozenset({("shut", 2)}),
    distinct=frozenset({(1, 2)}),
    comparisons=(Comparison(Linear(((FUEL, 1), (WAY, -2)), Fraction(-1, 2)), ">="),),
    adds=frozenset({("at", 0, 2)}),
    deletes=frozenset({("at", 0, 1)}),
    effects=((FUEL, Linear(((FUEL, 1), (WAY, -1)))),),
)
MODEL = NumericModel(VOCABULARY, {"drive": DRIVE})
STATE = State(
    frozenset({("at", "red", "home"), ("shut", "lake")}),
    {
        ("fuel", "red"): 10,
        **{("way", a, b): 3 for a in ("home", "mill", "lake") for b in ("home", "mill", "lake")},
    },
)
OBJECTS = {"red": "van", "home": "place", "mill": "place", "lake": "place"}
GOAL = Goal(
    frozenset({("at", "red", "mill")}),
    frozenset({("shut", "mill")}),
    (Comparison(Linear(((("fuel", "red"), 1),), -5), ">"),),
)
PROBLEM = NumericProblem("p", OBJECTS, STATE, GOAL)
GO: Ground = ("drive", "red", "home", "mill")


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        ((GO,), None),
        ((), "the goal is not reached: (at red mill) is false"),
        ((("drive", "red", "home", "lake"),), "step 1, (drive red home lake): (shut lake) is true"),
        ((GO, GO), "step 2, (drive red home mill): (at red home) is false"),
        (
            (("drive", "red", "home", "home"),),
            "step 1, (drive red home home): two of its objects are both 'home'",
        ),
        (
            (GO, ("drive", "red", "mill", "home"), GO),
            (
                "step 3, (drive red home mill): (fuel red) - 2 * (way home mill) - 1/2 >= 0 does "
                "not hold: (fuel red) is 4, (way home mill) is 3"
            ),
        ),
        ((("fly", "red"),), "step 1, (fly red): the model has no action 'fly'"),
        ((("drive", "red"),), "step 1, (drive red): the action takes 3 objects"),
        (
            (("drive", "home", "red", "mill"),),
            "step 1, (drive home red mill): 'home' is a place, not a van",
        ),
        (
            (("drive", "blue", "home", "mill"),),
            "step 1, (drive blue home mill): 'blue' is not an object of the problem",
        ),
    ],
)
def test_faults(plan: tuple[Ground, ...], fault: str | None) -> None:
    assert plan_fault(MODEL, PROBLEM, plan) == fault


def test_everything_unmet_is_named() -> None:
    state = State(frozenset({("shut", "mill")}), {("fuel", "red"): 5})
    assert unmet_goals(GOAL, state) == [
        "(at red mill) is false",
        "(shut mill) is true",
        "(fuel red) - 5 > 0 does not hold: (fuel red) is 5",
    ]
    assert unmet_conditions(DRIVE, ("red", "home", "mill"), state) == [
        "(at red home) is false",
        "(shut mill) is true",
        (
            "(fuel red) - 2 * (way home mill) - 1/2 >= 0 does not hold: (fuel red) is 5, (way home "
            "mill) is not defined"
        ),
    ]
    assert unmet_conditions(DRIVE, ("red", "home", "mill"), STATE) == []
    never = replace(DRIVE, comparisons=(Comparison(Linear((), -1), ">="),))
    assert unmet_conditions(never, ("red", "home", "mill"), STATE) == [
        "- 1 >= 0 does not hold: it never can"
    ]


def test_learned_regions() -> None:
    triangle = Polyhedron([(0, 0), (10, 0), (10, 10)])
    region = Region((FUEL, WAY), triangle)
    inside = replace(DRIVE, comparisons=(), regions=(region,))
    state = replace(STATE, values={("fuel", "red"): 2, ("way", "home", "mill"): 3})
    where = ("red", "home", "mill")
    assert unmet_conditions(inside, where, STATE) == []
    assert unmet_conditions(inside, where, state) == [
        "outside the learned region: (fuel red) is 2, (way home mill) is 3"
    ]
    state = replace(STATE, values={("fuel", "red"): 11, ("way", "home", "mill"): -1})
    assert unmet_conditions(inside, where, state) == [
        "(fuel red) is 11, learned is 0 to 10; (way home mill) is -1, learned is 0 to 10"
    ]
    half = replace(
        inside,
        regions=(
            Region((FUEL,), Polyhedron([(20,)], (1,))),
            Region((WAY,), Polyhedron([(1,)], (-1,))),
        ),
    )
    assert unmet_conditions(half, where, STATE) == [
        "(fuel red) is 10, learned is at least 20",
        "(way home mill) is 3, learned is at most 1",
    ]
    points = replace(inside, regions=(Region((FUEL,), SeenPoints(frozenset({(7,)}))),))
    assert unmet_conditions(points, where, STATE) == ["(fuel red) is 10, learned is 7"]
    assert unmet_conditions(points, where, State(STATE.atoms, {})) == [
        "outside the learned region: (fuel red) is not defined"
    ]
