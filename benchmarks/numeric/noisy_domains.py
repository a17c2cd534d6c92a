"""Three domains with measured numbers, for `benchmarks.numeric.noise`: true models, what is
declared about them, and random problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)


@dataclass(frozen=True)
class NoisyDomain:
    """A domain of the benchmark.

    Args:
        model: the true model.
        declarations: what the learner is told about each action.
        exact: functions whose numbers are exact.
        problem: draws a problem.
    """

    model: NumericModel
    declarations: Mapping[str, Declaration]
    exact: tuple[str, ...]
    problem: Callable[[np.random.Generator], NumericProblem]


def at_least(terms: Mapping[tuple, Rational], constant: Rational = 0) -> Comparison:
    """The condition sum of coefficient * fluent + constant >= 0."""
    return Comparison(Linear(tuple(terms.items()), constant), ">=")


def changed(fluent: tuple, terms: Mapping[tuple, Rational], constant: Rational = 0) -> tuple:
    """The effect that a fluent grows by a sum."""
    total = {fluent: 1, **terms}
    return fluent, Linear(tuple(total.items()), constant)


def watering() -> NoisyDomain:
    """A robot carries water in litres and pours it on beds, whose moisture is measured."""
    robot, bed, place = (("r", "robot"),), ("b", "bed"), ("p", "place")
    words = Vocabulary(
        "watering",
        {"place": "object", "robot": "object", "bed": "place", "tap": "place"},
        {},
        {"at": ("robot", "place")},
        {"water": ("robot",), "tank": ("robot",), "moisture": ("bed",)},
        {
            "go": (*robot, ("a", "place"), place),
            "fill": (*robot, ("t", "tap")),
            "pour": (*robot, bed),
        },
    )
    actions = [
        NumericAction(
            "go",
            words.actions["go"],
            positive=frozenset([("at", 0, 1)]),
            distinct=frozenset([(1, 2)]),
            adds=frozenset([("at", 0, 2)]),
            deletes=frozenset([("at", 0, 1)]),
        ),
        NumericAction(
            "fill",
            words.actions["fill"],
            positive=frozenset([("at", 0, 1)]),
            effects=((("water", 0), Linear(((("tank", 0), 1),))),),
        ),
        NumericAction(
            "pour",
            words.actions["pour"],
            positive=frozenset([("at", 0, 1)]),
            comparisons=(at_least({("water", 0): 1}, -2),),
            effects=(
                changed(("water", 0), {}, -2),
                changed(("moisture", 1), {}, 3),
            ),
        ),
    ]
    declared = {
        "go": Declaration(precondition_fluents=(), effect_fluents={}),
        "fill": Declaration(
            precondition_fluents=(), effect_fluents={"water ?r": ("water ?r", "tank ?r")}
        ),
        "pour": Declaration(
            preconditions="monotone",
            directions={"water ?r": 1},
            precondition_fluents=("water ?r",),
            effects="increment",
            effect_fluents={"water ?r": (), "moisture ?b": ()},
        ),
    }

    def problem(rng: np.random.Generator) -> NumericProblem:
        objects = {"r": "robot", "tap": "tap", "b0": "bed", "b1": "bed"}
        values: dict[tuple, Rational] = {
            ("tank", "r"): int(rng.integers(4, 10)),
            ("water", "r"): Fraction(int(rng.integers(0, 60)), 10),
        }
        for name in ("b0", "b1"):
            values["moisture", name] = Fraction(int(rng.integers(0, 60)), 10)
        wanted = [at_least({("moisture", name): 1}, -7) for name in ("b0", "b1")]
        start = State(frozenset([("at", "r", "tap")]), values)
        return NumericProblem("evening", objects, start, Goal(comparisons=tuple(wanted)))

    model = NumericModel(words, {action.name: action for action in actions})
    return NoisyDomain(model, declared, ("tank",), problem)


def vans() -> NoisyDomain:
    """A van drives as far as its measured battery carries; distances are known."""
    words = Vocabulary(
        "vans",
        {"place": "object", "van": "object"},
        {},
        {"at": ("van", "place"), "charger": ("place",)},
        {"battery": ("van",), "full": ("van",), "distance": ("place", "place")},
        {
            "drive": (("v", "van"), ("a", "place"), ("b", "place")),
            "charge": (("v", "van"), ("p", "place")),
        },
    )
    battery, distance = ("battery", 0), ("distance", 1, 2)
    actions = [
        NumericAction(
            "drive",
            words.actions["drive"],
            positive=frozenset([("at", 0, 1)]),
            distinct=frozenset([(1, 2)]),
            comparisons=(at_least({battery: 1, distance: -1}),),
            adds=frozenset([("at", 0, 2)]),
            deletes=frozenset([("at", 0, 1)]),
            effects=(changed(battery, {distance: -1}),),
        ),
        NumericAction(
            "charge",
            words.actions["charge"],
            positive=frozenset([("at", 0, 1), ("charger", 1)]),
            effects=((battery, Linear(((("full", 0), 1),))),),
        ),
    ]
    declared = {
        "drive": Declaration(
            preconditions="monotone",
            directions={"battery ?v": 1, "distance ?a ?b": -1},
            precondition_fluents=("battery ?v", "distance ?a ?b"),
            effect_fluents={"battery ?v": ("distance ?a ?b",)},
        ),
        "charge": Declaration(
            precondition_fluents=(), effect_fluents={"battery ?v": ("battery ?v", "full ?v")}
        ),
    }

    def problem(rng: np.random.Generator) -> NumericProblem:
        places = [f"p{i}" for i in range(5)]
        values: dict[tuple, Rational] = {
            ("full", "v"): int(rng.integers(20, 31)),
            ("battery", "v"): Fraction(int(rng.integers(40, 200)), 10),
        }
        where = rng.integers(0, 12, (5, 2))
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                values["distance", a, b] = int(np.abs(where[i] - where[j]).sum())
        atoms = frozenset([("at", "v", "p0"), ("charger", "p1")])
        goal = Goal(
            frozenset([("at", "v", "p4")]),
            comparisons=(at_least({("battery", "v"): 1}, -8),),
        )
        objects = {"v": "van", **dict.fromkeys(places, "place")}
        return NumericProblem("tour", objects, State(atoms, values), goal)

    model = NumericModel(words, {action.name: action for action in actions})
    return NoisyDomain(model, declared, ("full", "distance"), problem)


def sailing() -> NoisyDomain:
    """A boat, whose position is measured, may save a person from a region of the sea only."""
    words = Vocabulary(
        "sailing",
        {"boat": "object", "person": "object"},
        {},
        {"saved": ("person",)},
        {"x": ("boat",), "y": ("boat",), "reach": ("person",)},
        {
            **dict.fromkeys(("north", "south", "east", "west"), (("b", "boat"),)),
            "save": (("b", "boat"), ("p", "person")),
        },
    )
    x, y, reach = ("x", 0), ("y", 0), ("reach", 1)
    moves = {"north": (y, 2), "south": (y, -2), "east": (x, 3), "west": (x, -3)}
    actions = [
        NumericAction(name, words.actions[name], effects=(changed(fluent, {}, step),))
        for name, (fluent, step) in moves.items()
    ]
    actions.append(
        NumericAction(
            "save",
            words.actions["save"],
            comparisons=(
                at_least({x: 1, y: 1, reach: -1}),
                at_least({y: 1, x: -1, reach: 1}),
                at_least({x: -1}, 20),
            ),
            adds=frozenset([("saved", 1)]),
        )
    )
    declared = {
        name: Declaration(
            precondition_fluents=(),
            effects="increment",
            effect_fluents={f"{fluent[0]} ?b": ()},
        )
        for name, (fluent, _) in moves.items()
    }
    declared["save"] = Declaration(effect_fluents={})

    def problem(rng: np.random.Generator) -> NumericProblem:
        values: dict[tuple, Rational] = {
            ("x", "b"): Fraction(int(rng.integers(0, 160)), 10),
            ("y", "b"): Fraction(int(rng.integers(0, 160)), 10),
            ("reach", "p"): int(rng.integers(6, 13)),
        }
        goal = Goal(frozenset([("saved", "p")]))
        objects = {"b": "boat", "p": "person"}
        return NumericProblem("rescue", objects, State(frozenset(), values), goal)

    model = NumericModel(words, {action.name: action for action in actions})
    return NoisyDomain(model, declared, ("reach",), problem)


DOMAINS = {"watering": watering, "vans": vans, "sailing": sailing}
