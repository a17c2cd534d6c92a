"""Action models as files: a saved model reads back the same, and errors name the field
of the file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.files import load_model, save_model
from worldplan.world_models.action_model.hypothesis_classes import Declaration, SeenPoints
from worldplan.world_models.action_model.learner import LearningReport, learn
from worldplan.world_models.exact.numbers import exact
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Comparison,
    Linear,
    NumericAction,
    NumericModel,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.trajectories import Trajectory

VOCABULARY = Vocabulary(
    "town",
    {"place": "object", "item": "object", "van": "item"},
    {"depot": "place"},
    {"at": ("item", "place"), "open": (), "near": ("place", "place")},
    {"fuel": ("van",), "distance": ("place", "place"), "clock": ()},
    {
        "drive": (("v", "van"), ("from", "place"), ("to", "place")),
        "wait": (),
        "look": (("x", "object"),),
    },
)
ATOMS = [("at", 0, 1), ("at", 0, "depot"), ("open",), ("near", 1, 2), ("near", "depot", 2)]
FLUENTS = [
    ("fuel", 0),
    ("distance", 1, 2),
    ("distance", 2, 1),
    ("distance", 1, "depot"),
    ("clock",),
]
NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.fractions(max_denominator=10**20)).map(exact)


@st.composite
def linears(draw: st.DrawFn) -> Linear:
    terms = draw(st.lists(st.tuples(st.sampled_from(FLUENTS), NUMBERS), max_size=3))
    return Linear(tuple(terms), draw(NUMBERS))


@st.composite
def regions(draw: st.DrawFn) -> Region:
    fluents = tuple(draw(st.lists(st.sampled_from(FLUENTS), min_size=1, max_size=3, unique=True)))
    points = draw(st.lists(st.tuples(*[NUMBERS] * len(fluents)), min_size=1, max_size=6))
    if draw(st.booleans()):
        return Region(fluents, SeenPoints(frozenset(points)))
    return Region(
        fluents, Polyhedron(points, draw(st.tuples(*[st.sampled_from((-1, 0, 1))] * len(fluents))))
    )


@st.composite
def models(draw: st.DrawFn) -> NumericModel:
    atoms = st.frozensets(st.sampled_from(ATOMS), max_size=4)
    effects = draw(st.dictionaries(st.sampled_from(FLUENTS), linears(), max_size=3))
    drive = NumericAction(
        "drive",
        VOCABULARY.actions["drive"],
        draw(atoms),
        draw(atoms),
        draw(st.frozensets(st.sampled_from([(1, 2), (1, "depot"), (2, "depot")]))),
        tuple(
            draw(
                st.lists(
                    st.builds(Comparison, linears(), st.sampled_from((">=", ">", "="))), max_size=3
                )
            )
        ),
        tuple(draw(st.lists(regions(), max_size=3))),
        draw(atoms),
        draw(atoms),
        tuple(effects.items()),
    )
    actions = {"drive": drive} | ({"wait": NumericAction("wait")} if draw(st.booleans()) else {})
    if draw(st.booleans()):
        return NumericModel(VOCABULARY, actions)
    counts = st.dictionaries(st.sampled_from(list(VOCABULARY.actions)), st.integers(0, 10**6))
    reasons = st.dictionaries(st.sampled_from(list(VOCABULARY.actions)), st.text(max_size=20))
    return NumericModel(
        VOCABULARY,
        actions,
        {"report": LearningReport(draw(reasons), draw(reasons), draw(counts), draw(counts))},
    )


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(models())
def test_what_is_saved_comes_back_the_same(tmp_path: Path, model: NumericModel) -> None:
    save_model(model, tmp_path / "a.json")
    back = load_model(tmp_path / "a.json")
    assert back == model
    # equal and of the same type: 1/2 must not become 0.5, and True is not 1
    for action in model.actions.values():
        for region, again in zip(action.regions, back.actions[action.name].regions, strict=True):
            numbers = [x for point in again.shape.points for x in point]  # type: ignore[attr-defined]
            assert all(type(x) in (int, Fraction) for x in numbers)
            assert region.shape.bounds() == again.shape.bounds()
    save_model(back, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def filling(start: int, end: int) -> Trajectory:
    def state(level: Fraction | int) -> State:
        return State(
            frozenset({("at", "red", "depot")}),
            {("fuel", "red"): level, ("clock",): Fraction(1, 3)},
        )

    states = [state(Fraction(level, 7)) for level in range(start, end)]
    return Trajectory(
        {"red": "van", "depot": "place"},
        tuple(states),
        (("fill", "red"),) * (len(states) - 1),
        (None,) * (len(states) - 1),
    )


def test_a_learned_model_comes_back_the_same(tmp_path: Path) -> None:
    vocabulary = Vocabulary(
        "town",
        VOCABULARY.types,
        {},
        {"at": ("item", "place")},
        {"fuel": ("van",), "clock": ()},
        {"fill": (("v", "van"),), "go": ()},
    )
    for declaration in (
        Declaration(),
        Declaration("monotone", directions={"clock": 0}),
        Declaration("finite"),
        Declaration("juntas", size=1),
    ):
        model = learn(vocabulary, [filling(0, 5)], default=None, declarations={"fill": declaration})
        save_model(model, tmp_path / "model.json")
        back = load_model(tmp_path / "model.json")
        assert back == model and back.detail["report"].excluded == {"go": "never observed"}
        for level in (Fraction(-1, 7), 0, Fraction(1, 14), Fraction(3, 7), Fraction(4, 7), 9):
            state = State(frozenset(), {("fuel", "red"): level, ("clock",): Fraction(1, 3)})
            same = [one.actions["fill"].applicable(("red",), state) for one in (model, back)]
            assert same[0] == same[1]
            assert model.actions["fill"].successor(("red",), state) == back.actions[
                "fill"
            ].successor(("red",), state)


def test_a_shape_of_ones_own_is_refused(tmp_path: Path) -> None:
    class Anything:
        def contains(self, point: object) -> bool:
            return True

        def bounds(self) -> list:
            return [(None, None)]

    action = NumericAction("wait", regions=(Region((("clock",),), Anything()),))
    with pytest.raises(
        ConfigError, match="action 'wait': a region of shape Anything cannot be saved"
    ):
        save_model(NumericModel(VOCABULARY, {"wait": action}), tmp_path / "m.json")
    assert not list(tmp_path.iterdir())


# --- damaged files --------------------------------------------------------------------------------

EXAMPLE = NumericModel(
    VOCABULARY,
    {
        "drive": NumericAction(
            "drive",
            VOCABULARY.actions["drive"],
            positive=frozenset({("at", 0, 1)}),
            distinct=frozenset({(1, 2)}),
            comparisons=(Comparison(Linear(((("fuel", 0), 2),), Fraction(-1, 2)), ">="),),
            regions=(
                Region(
                    (("fuel", 0), ("clock",)), Polyhedron([(1, 2), (3, Fraction(4, 3))], (1, 0))
                ),
                Region((("clock",),), SeenPoints(frozenset({(1,)}))),
            ),
            effects=((("fuel", 0), Linear(((("fuel", 0), 1),), -1)),),
        )
    },
    {"report": LearningReport({"look": "never observed"}, {}, {"drive": 3}, {})},
)


def damage(*path: Any, to: Any) -> Callable[[dict], None]:
    """Puts something at a place of the document; `...` as the last step deletes it."""

    def apply(document: dict) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        if to is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = to

    return apply


DRIVE = ("actions", "drive")
DAMAGES = [
    (damage("format", to="something"), "not a model file"),
    (damage("version", to=2), "version: 2, and this worldplan reads version 1"),
    (damage("report", to=...), "the file: 'report' is missing"),
    (damage("extra", to=1), "the file: 'extra' is unknown"),
    (
        damage("domain", "types", "van", to="car"),
        "domain.types.van: its parent 'car' is not declared",
    ),
    (
        damage("domain", "types", "item", to="van"),
        "domain.types.item: lies below itself|domain.types.van: lies below itself",
    ),
    (
        damage("domain", "constants", "depot", to="house"),
        "domain.constants.depot: type 'house' is not declared",
    ),
    (
        damage("domain", "predicates", "at", to=["van", 3]),
        "domain.predicates.at: type 3 is not declared",
    ),
    (damage("domain", "functions", to=[]), r"domain.functions: must be a mapping, is \[\]"),
    (
        damage("domain", "actions", "wait", to=[["x"]]),
        r"domain.actions.wait: must be a pair, is \['x'\]",
    ),
    (damage("actions", "fly", to={}), "actions.fly: domain.actions does not declare it"),
    (damage(*DRIVE, "positive", to=...), "actions.drive: 'positive' is missing"),
    (
        damage(*DRIVE, "parameters", to=[]),
        "actions.drive.parameters: not those of domain.actions.drive",
    ),
    (
        damage(*DRIVE, "positive", to=[["on", 0]]),
        r"actions.drive.positive: \['on', 0\] names nothing",
    ),
    (damage(*DRIVE, "positive", to=[["at", 0]]), "actions.drive.positive: .* 'at' takes 2 terms"),
    (
        damage(*DRIVE, "positive", to=[["at", 1, 2]]),
        "actions.drive.positive: .* 1 is of type 'place', not 'item'",
    ),
    (
        damage(*DRIVE, "positive", to=[["at", 0, 3]]),
        "actions.drive.positive: 3 is neither the position of a parameter nor a constant",
    ),
    (damage(*DRIVE, "positive", to=[["at", True, 1]]), "True is neither the position"),
    (damage(*DRIVE, "positive", to=[["at", 0, "home"]]), "'home' is neither the position"),
    (damage(*DRIVE, "positive", to="at"), "actions.drive.positive: must be a list, is 'at'"),
    (damage(*DRIVE, "distinct", to=[[1, 2, 0]]), "actions.drive.distinct: must be a pair"),
    (
        damage(*DRIVE, "comparisons", 0, "relation", to="<"),
        "actions.drive.comparisons.relation: '<' is none of",
    ),
    (
        damage(*DRIVE, "comparisons", 0, "constant", to=0.5),
        "actions.drive.comparisons.constant: 0.5 is not an exact number",
    ),
    (damage(*DRIVE, "comparisons", 0, "constant", to="1/0"), "'1/0' is not an exact number"),
    (damage(*DRIVE, "comparisons", 0, "constant", to=True), "True is not an exact number"),
    (
        damage(*DRIVE, "comparisons", 0, "terms", 0, 0, to=["at", 0, 1]),
        "actions.drive.comparisons.terms: .* names nothing",
    ),
    (
        damage(*DRIVE, "regions", 0, "shape", to="ball"),
        "actions.drive.regions.shape: 'ball' is neither",
    ),
    (
        damage(*DRIVE, "regions", 0, "points", to=[]),
        "actions.drive.regions.points: must be a non-empty list",
    ),
    (
        damage(*DRIVE, "regions", 0, "points", 0, to=[1]),
        "actions.drive.regions.points: a point has not one number for each of the 2 fluents",
    ),
    (
        damage(*DRIVE, "regions", 0, "directions", to=[1, 2]),
        "actions.drive.regions.directions: needs -1, 0 or 1 for each of the 2 fluents",
    ),
    (damage(*DRIVE, "regions", 0, "directions", to=[1]), "actions.drive.regions.directions"),
    (
        damage(*DRIVE, "regions", 1, "points", 0, 0, to="x"),
        "actions.drive.regions.points: 'x' is not an exact number",
    ),
    (
        damage(*DRIVE, "effects", 0, "fluent", to=["fuel", 2]),
        "actions.drive.effects.fluent: .* 2 is of type 'place', not 'van'",
    ),
    (
        damage("report", "observations", "drive", to="3"),
        "report.observations.drive: not an action of the domain with a count",
    ),
    (
        damage("report", "excluded", "fly", to="x"),
        "report.excluded.fly: not an action of the domain with a reason",
    ),
]


@pytest.mark.parametrize(("apply", "message"), DAMAGES, ids=range(len(DAMAGES)))
def test_damage_is_named(tmp_path: Path, apply: Callable[[dict], None], message: str) -> None:
    path = tmp_path / "m.json"
    save_model(EXAMPLE, path)
    assert load_model(path) == EXAMPLE
    document = json.loads(path.read_text())
    apply(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=f"m.json: .*({message})"):
        load_model(path)


def test_a_changed_fluent_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    save_model(EXAMPLE, path)
    document = json.loads(path.read_text())
    effects = document["actions"]["drive"]["effects"]
    effects.append(copy.deepcopy(effects[0]))
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="actions.drive.effects: a fluent comes twice"):
        load_model(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "not a model file"), ("null", "not a model file")],
)
def test_no_model_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(DatasetError, match=f"m.json: .*{message}"):
        load_model(tmp_path / "m.json")
    with pytest.raises(DatasetError, match="no.json: no such file"):
        load_model(tmp_path / "no.json")
