"""PDDL files and unified-planning problems out: what is written reads back exactly."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.pddl.builders import at_least
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Goal,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.pddl.expressions import canonical, linear
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.reading import (
    from_unified_planning,
    read_model,
    read_problem,
)
from worldplan.world_models.pddl.writing import (
    domain_text,
    to_unified_planning,
    write_domain,
    write_problem,
)

WORDS = Vocabulary(
    "made",
    {"place": "object", "tank": "place"},
    {"main": "tank"},
    {"open": ("tank",), "near": ("place", "place"), "done": ()},
    {"level": ("tank",), "flow": ("tank", "tank"), "total": ()},
    dict.fromkeys(("act", "do", "go-on"), (("a", "tank"), ("b", "tank"))),
)


ONE = replace(WORDS, actions={"act": WORDS.actions["act"]})


FLUENTS = [("level", 0), ("level", 1), ("level", "main"), ("flow", 0, 1), ("total",)]


ATOMS = [("open", 0), ("open", 1), ("near", 0, "main"), ("near", 1, 0), ("done",)]


ODD = [
    Fraction(1, 20000),
    Fraction(1, 3),
    Fraction(-5, 6),
    10**12,
    10**12 + 1,
    -(2**24) - 1,
    Fraction(1, 2),
    -2,
    Fraction(10**9 + 7, 10**6),
]


numbers = st.sampled_from(ODD) | st.integers(-9, 9) | st.fractions(-3, 3, max_denominator=12)


sums = st.dictionaries(st.sampled_from(FLUENTS), numbers, max_size=4)


comparisons = st.builds(
    lambda terms, constant, relation: at_least(terms.items(), constant, relation),
    sums,
    numbers,
    st.sampled_from([">=", ">", "="]),
)


atom_sets = st.frozensets(st.sampled_from(ATOMS), max_size=3)


APART = frozenset({(0, 1), (0, "main"), (1, "main")})


@st.composite
def actions(draw, name):
    effects = draw(
        st.dictionaries(st.sampled_from(FLUENTS), st.builds(linear, sums, numbers), max_size=4)
    )
    return NumericAction(
        name,
        WORDS.actions[name],
        positive=draw(atom_sets),
        negative=draw(atom_sets),
        distinct=APART,
        comparisons=tuple(draw(st.lists(comparisons, max_size=3))),
        adds=draw(atom_sets),
        deletes=draw(atom_sets),
        effects=tuple(sorted(effects.items(), key=lambda item: [str(part) for part in item[0]])),
    )


@st.composite
def models(draw):
    return NumericModel(WORDS, {name: draw(actions(name)) for name in WORDS.actions})


@st.composite
def problems(draw):
    atoms = [("open", "main"), ("open", "t1"), ("near", "main", "t2"), ("done",)]
    fluents = [("level", "main"), ("level", "t1"), ("flow", "t1", "t2"), ("total",)]
    goal = at_least(
        draw(st.dictionaries(st.sampled_from(fluents), numbers, min_size=1, max_size=3)).items(),
        draw(numbers),
        ">",
    )
    chosen = st.frozensets(st.sampled_from(atoms))
    return NumericProblem(
        "task-1",
        {"main": "tank", "t1": "tank", "t2": "tank"},
        State(draw(chosen), draw(st.dictionaries(st.sampled_from(fluents), numbers))),
        Goal(
            draw(chosen),
            draw(chosen),
            tuple(comparison for comparison in [canonical(goal)] if comparison.expression.terms),
        ),
    )


def normal(action):
    """The form in which an action reads back: each comparison in integers, once, and only if it is
    not always true.
    """
    kept = dict.fromkeys(canonical(comparison) for comparison in action.comparisons)
    return replace(
        action,
        comparisons=tuple(
            comparison
            for comparison in kept
            if comparison.expression.terms or not comparison.holds((), {})
        ),
    )


@settings(max_examples=10, deadline=None)
@given(
    model=models(),
    problem=problems(),
    values=st.lists(numbers, min_size=len(FLUENTS) + 3, max_size=len(FLUENTS) + 3),
)
def test_what_is_written_reads_back_exactly(tmp_path_factory, model, problem, values):
    folder = tmp_path_factory.mktemp("pddl")
    assert write_domain(model, folder / "d.pddl") == frozenset()
    write_problem(problem, WORDS, folder / "p.pddl")
    back = read_model(folder / "d.pddl")
    assert back.vocabulary == WORDS and back.actions == {
        name: normal(action) for name, action in model.actions.items()
    }
    assert read_problem(folder / "p.pddl", back.vocabulary) == problem
    there = from_unified_planning(to_unified_planning(model, problem))
    assert there[0].actions == back.actions and there[1] == problem
    binding = ("t1", "t2")  # not by normal forms: the same truth and the same numbers in a state
    fluents = [
        ("level", "t1"),
        ("level", "t2"),
        ("level", "main"),
        ("flow", "t1", "t2"),
        ("total",),
    ]
    state = State(frozenset(), dict(zip(fluents, values, strict=False)))
    for name, written in model.actions.items():
        read = back.actions[name]
        holds_as_written, holds_in_model = (
            all(comparison.holds(binding, state.values) for comparison in action.comparisons)
            for action in (read, written)
        )
        assert holds_as_written == holds_in_model and written.successor(
            binding, state
        ) == read.successor(binding, state)


@pytest.mark.parametrize(
    "factor", [Fraction(1, 2), -2, Fraction(1, 3), Fraction(1, 20000), 10**12, 0, 1]
)
def test_a_multiple_is_never_scaled_down_or_rounded(tmp_path, factor):
    x = ("total",)
    action = NumericAction(
        "act", WORDS.actions["act"], distinct=APART, effects=((x, linear({x: factor})),)
    )
    model = NumericModel(ONE, {"act": action})
    text = domain_text(model).text
    assert "scale" not in text and not re.search(r"\d\.\d", text)
    write_domain(model, tmp_path / "d.pddl")
    assert read_model(tmp_path / "d.pddl").actions["act"] == action


def test_no_written_number_needs_more_than_a_32_bit_float():
    big = at_least([(("total",), 10**12 + 1), (("level", 0), -(2**24) - 1)], 3**40 * 7)
    text = domain_text(
        NumericModel(ONE, {"act": NumericAction("act", WORDS.actions["act"], comparisons=(big,))})
    ).text
    numbers = [abs(int(digits)) for digits in re.findall(r"(?<![\w?])-?\d+\b", text)]
    assert len(numbers) > 4 and all(
        number == 0 or number >> ((number & -number).bit_length() - 1) < 2**24 for number in numbers
    )


class TwoSides:
    """A convex shape for tests: a slanted strip, or a smaller set if the budget is small."""

    def contains(self, point):
        return point[0] + 2 * point[1] <= 4 and 3 * point[0] == 1

    def bounds(self):
        return [(None, None)] * 2

    def half_spaces(self, budget):
        from worldplan.world_models.exact.facets import HalfSpaces

        return HalfSpaces(
            (((3, 0), 1),), (((1, 2), 4),) if budget > 1 else (((1, 2), 3),), budget > 1
        )


def with_region(shape):
    action = NumericAction(
        "act",
        WORDS.actions["act"],
        distinct=APART,
        regions=(Region((("level", 1), ("total",)), shape),),
    )
    return NumericModel(ONE, {"act": action})


def test_a_convex_region_is_written_as_half_spaces(tmp_path):
    assert write_domain(with_region(TwoSides()), tmp_path / "d.pddl") == frozenset()
    level, total = ("level", 1), ("total",)
    assert read_model(tmp_path / "d.pddl").actions["act"].comparisons == (
        at_least([(level, 3)], -1, "="),
        at_least([(level, -1), (total, -2)], 4),
    )
    assert write_domain(with_region(TwoSides()), tmp_path / "d.pddl", facet_budget=1) == {"act"}
    assert "smaller" in (tmp_path / "d.pddl").read_text(encoding="utf-8")


@pytest.mark.parametrize("directions", [(0, 0), (1, 0), (-1, 1)])
def test_a_polyhedron_reads_back_with_the_same_points(tmp_path, directions):
    shape = Polyhedron([(0, 0), (4, 1), (1, 5), (2, 2)], directions)
    write_domain(with_region(shape), tmp_path / "d.pddl")
    read = read_model(tmp_path / "d.pddl").actions["act"]
    for x in range(-2, 8):
        for y in range(-2, 8):
            state = State(frozenset(), {("level", "t2"): x, ("total",): y})
            assert read.applicable(("t1", "t2"), state) == shape.contains((x, y))


def test_a_set_of_points_is_written_as_a_disjunction(tmp_path):
    points = frozenset({(0, Fraction(1, 3)), (2, 5), (-1, 7)})
    model = with_region(SeenPoints(points))
    model = replace(
        model, actions={"act": replace(model.actions["act"], adds=frozenset({("done",)}))}
    )
    assert write_domain(model, tmp_path / "d.pddl") == frozenset()
    for point in [*points, (2, 7), (0, 1)]:
        start = State(frozenset(), {("level", "t2"): point[0], ("total",): point[1]})
        problem = NumericProblem(
            "p", {"main": "tank", "t1": "tank", "t2": "tank"}, start, Goal(frozenset({("done",)}))
        )
        write_problem(problem, WORDS, tmp_path / "p.pddl")
        plan = [("act", "t1", "t2")]
        assert (
            validate_with_unified_planning(tmp_path / "d.pddl", tmp_path / "p.pddl", plan).valid
            == (point in points)
            == is_valid(model, problem, plan)
        )
    assert domain_text(model, facet_budget=4).narrowed == {"act"}
    assert domain_text(model, facet_budget=4).text.count("(level ?b)") == 2
    with pytest.raises(DatasetError, match="'act'.*a disjunction"):
        read_model(tmp_path / "d.pddl")


def test_an_unknown_shape_is_refused():
    class Complement:
        points = frozenset({(0, 0)})

        def contains(self, point):
            return point not in self.points

    with pytest.raises(ConfigError, match="'act'.*Complement"):
        domain_text(with_region(Complement()))


@pytest.mark.parametrize("name", ["Truck", "two words", "9lives", "and", "x.y", ""])
def test_names_that_pddl_cannot_say_are_refused(name):
    with pytest.raises(ConfigError, match="no PDDL name"):
        domain_text(NumericModel(replace(WORDS, predicates={name: ()}), {}))
    with pytest.raises(ConfigError, match="no PDDL name"):
        domain_text(NumericModel(replace(WORDS, name=name), {}))


def test_one_name_for_a_predicate_and_a_function_is_refused():
    with pytest.raises(ConfigError, match="both a predicate and a function"):
        domain_text(NumericModel(replace(WORDS, predicates={"level": ()}), {}))


def test_bounded_unified_planning_numbers_are_refused():
    from unified_planning.model import Fluent, Problem
    from unified_planning.shortcuts import IntType

    problem = Problem("p")
    problem.add_fluent(Fluent("count", IntType(0, 5)), default_initial_value=0)
    with pytest.raises(DatasetError, match="'count'.*without bounds"):
        from_unified_planning(problem)


def test_defaults_of_unified_planning_become_initial_values():
    from unified_planning.model import Fluent, InstantaneousAction, Problem
    from unified_planning.shortcuts import BoolType, RealType, UserType

    kind = UserType("box")
    problem = Problem("p")
    heavy, weight = Fluent("heavy", BoolType(), b=kind), Fluent("weight", RealType(), b=kind)
    problem.add_fluent(heavy, default_initial_value=True)
    problem.add_fluent(weight, default_initial_value=Fraction(1, 7))
    first, second = problem.add_object("first", kind), problem.add_object("second", kind)
    problem.set_initial_value(heavy(first), False)
    problem.set_initial_value(weight(second), 3)
    lift = InstantaneousAction("lift", b=kind)
    lift.add_precondition(heavy(first))
    lift.add_increase_effect(weight(lift.parameter("b")), 2)
    problem.add_action(lift)
    problem.add_goal(heavy(second))
    model, read = from_unified_planning(problem)
    assert read.initial == State(
        frozenset({("heavy", "second")}),
        {("weight", "first"): Fraction(1, 7), ("weight", "second"): 3},
    )
    assert model.vocabulary.constants == {"first": "box"} and model.actions["lift"].positive == {
        ("heavy", "first")
    }
