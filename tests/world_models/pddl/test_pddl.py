"""The PDDL border: what is read is exact, what is written reads back as it was, and what cannot be
read is named.
"""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.places import TRAJECTORIES
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.polyhedron import Polyhedron
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
    is_valid,
)
from worldplan.world_models.pddl.expressions import canonical, linear
from worldplan.world_models.pddl.plans import read_plan, validate_with_unified_planning, write_plan
from worldplan.world_models.pddl.reading import (
    from_unified_planning,
    read_model,
    read_problem,
    read_vocabulary,
)
from worldplan.world_models.pddl.writing import (
    domain_text,
    to_unified_planning,
    write_domain,
    write_problem,
)

DOMAIN = """(define (domain Tank) ; names are in any case
(:requirements :strips :typing :fluents)
(:types tank Truck - place place)
(:constants Main - tank)
(:predicates (open ?x - tank) (near ?x ?y - place))
(:functions (level ?x - tank) (cap ?x - tank) - number (total-cost) - number)
(:action POUR :parameters (?a ?b - tank)
 :precondition (and (open ?a) (not (open ?b)) (not (= ?a ?b)) (not (= ?a main)) (>= (level ?a) 0.1)
 (> (cap ?b) (+ (level ?b) (* 2 (level ?a)))) (not (< (level ?b) 1e-3)) (= (* 3 (cap ?a)) (cap ?b)))
 :effect (and (not (open ?a)) (open ?b) (decrease (level ?a) (/ 1 3)) (scale-up (level ?b) 2)
   (increase (total-cost) 1)))
(:action twist :parameters (?a ?b - tank)
 :effect (and (increase (level ?a) 1) (decrease (level ?b) (- (cap ?b) 2))))
(:action half :parameters (?a - tank) :effect (scale-down (level ?a)
   (* 2 1)))
(:action wait :parameters () :precondition () :effect ())
)
"""
PROBLEM = """(define (problem p1) (:domain tank) (:objects t1 t2 - tank x - truck)
(:init (open t1) (near t1 x) (= (level t1) 0.5)
 (= (level t2) -3) (= (cap t1) (/ 1 3)) (not (open t2)))
(:goal (and (forall (?x - tank) (open ?x)) (not (near x t1)) (= (level t1) 2)))
(:metric minimize (total-cost)))
"""


def at_least(terms, constant, relation=">="):
    return Comparison(Linear(tuple(terms), constant), relation)


@pytest.fixture
def files(tmp_path):
    """Writes texts to files and gives their paths."""

    def write(domain=DOMAIN, problem=PROBLEM):
        (tmp_path / "domain.pddl").write_text(domain, encoding="utf-8")
        (tmp_path / "problem.pddl").write_text(problem, encoding="utf-8")
        return tmp_path / "domain.pddl", tmp_path / "problem.pddl"

    return write


@pytest.fixture(scope="module")
def tank(tmp_path_factory):
    """The vocabulary of the domain above."""
    path = tmp_path_factory.mktemp("tank") / "domain.pddl"
    path.write_text(DOMAIN, encoding="utf-8")
    return read_vocabulary(path)


def test_model_is_read_exactly(files):
    model = read_model(files()[0])
    words = model.vocabulary
    assert words.name == "tank" and words.types == {
        "place": "object",
        "tank": "place",
        "truck": "place",
    }
    assert words.constants == {"main": "tank"} and words.predicates == {
        "open": ("tank",),
        "near": ("place", "place"),
    }
    assert words.functions == {"level": ("tank",), "cap": ("tank",), "total-cost": ()}
    assert model.actions["pour"] == NumericAction(
        "pour",
        (("a", "tank"), ("b", "tank")),
        positive=frozenset({("open", 0)}),
        negative=frozenset({("open", 1)}),
        distinct=frozenset({(0, 1), (0, "main")}),
        comparisons=(
            at_least([(("level", 0), 10)], -1),
            at_least([(("cap", 1), 1), (("level", 0), -2), (("level", 1), -1)], 0, ">"),
            at_least([(("level", 1), 1000)], -1),
            at_least([(("cap", 0), 3), (("cap", 1), -1)], 0, "="),
        ),
        adds=frozenset({("open", 1)}),
        deletes=frozenset({("open", 0)}),
        effects=(
            (("level", 0), Linear(((("level", 0), 1),), Fraction(-1, 3))),
            (("level", 1), Linear(((("level", 1), 2),))),
            (("total-cost",), Linear(((("total-cost",), 1),), 1)),
        ),
    )
    assert model.actions["half"].effects == (
        (("level", 0), Linear(((("level", 0), Fraction(1, 2)),))),
    )
    assert model.actions["wait"] == NumericAction("wait")


def test_effects_that_could_meet_are_kept_apart(files):
    assert read_model(files()[0]).actions["twist"].distinct == {(0, 1)}
    with_types = DOMAIN.replace("(cap ?x - tank) - number", "(cap ?x - place) - number").replace(
        "(decrease (level ?b) (- (cap ?b) 2))", "(increase (cap ?a) 1) (increase (cap main) 2)"
    )
    assert read_model(files(with_types)[0]).actions["twist"].distinct == {(0, "main")}


def test_problem_is_read_exactly(files):
    domain, problem = files()
    read = read_problem(problem, read_vocabulary(domain))
    assert read == read_problem(problem, domain)
    assert read.objects == {"main": "tank", "t1": "tank", "t2": "tank", "x": "truck"}
    values = {("level", "t1"): Fraction(1, 2), ("level", "t2"): -3, ("cap", "t1"): Fraction(1, 3)}
    assert read.initial == State(frozenset({("open", "t1"), ("near", "t1", "x")}), values)
    assert read.goal == Goal(
        frozenset({("open", "t1"), ("open", "t2"), ("open", "main")}),
        frozenset({("near", "x", "t1")}),
        (at_least([(("level", "t1"), 1)], -2, "="),),
    )


def test_vocabulary_of_a_partial_domain(files):
    partial = (
        "(define (domain d) (:predicates (p)) (:functions (f ?x)) "
        "(:action Go :parameters (?x ?y)) (:action stay :parameters ()))"
    )
    words = read_vocabulary(files(partial)[0])
    assert words.actions == {"go": (("x", "object"), ("y", "object")), "stay": ()}
    assert words.functions == {"f": ("object",)} and words.types == {}
    problem = "(define (problem q) (:domain d) (:objects a b) (:init (= (f a) 1)) (:goal (p)))"
    assert read_problem(files(partial, problem)[1], words).objects == {"a": "object", "b": "object"}


def test_type_predicate_and_action_may_share_a_name(files):
    text = DOMAIN.replace("(open ?x - tank)", "(open ?x - tank) (truck ?x - truck) (half)")
    words = read_vocabulary(files(text)[0])
    assert "truck" in words.types and "truck" in words.predicates and "half" in words.actions


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("(open t1)", "(open t9)", "t9"),
        ("(open t1)", "(opened t1)", "opened"),
        ("(open t1)", "(opened)", "opened"),
        ("(open t1)", "(open t1 t2)", "open has arity 1"),
        ("(open t1)", "(open)", "open has arity 1"),
        ("(open t1)", "(open x)", r"open\(x\)"),
        ("(open t1)", "(level t1)", "'level' is a function"),
        ("(open t1)", "()", "empty or incomplete"),
        ("(open t1)", "(at 5 (open t1))", "timed"),
        ("(= (level t1) 0.5)", "(= (level x) 0.5)", r"level\(x\)"),
        ("(= (level t1) 0.5)", "(= (level t1 t2) 0.5)", "level has arity 1"),
        ("(= (level t1) 0.5)", "(= (lev t1) 0.5)", r"line: 2.*lev t1"),
        ("(= (level t1) 0.5)", "(= (level t1) half)", "half"),
        ("(= (level t1) 0.5)", "(= (level t1) inf)", "inf"),
        ("(= (level t1) 0.5)", "(= (level t1) (cap t1))", "no number"),
        ("(= (level t1) 0.5)", "(= (open t1) 0.5)", "'open' is a predicate"),
        ("(= (level t1) 0.5)", "(= (level t1) 0.5 3)", "line 2: '=' takes 2"),
        ("x - truck", "x - trk", "trk"),
        ("x - truck", "x x - truck", "x already defined"),
        ("(not (near x t1))", "(not (near y t1))", "line: 4.*near y t1"),
        ("(not (near x t1))", "(or (open t1) (open t2))", "a disjunction"),
        ("(= (level t1) 2)", "(= (* (level t1) (cap t1)) 2)", "a product of fluents"),
        ("(total-cost)))", "(total-cost))", "Expected"),
        ("(problem p1)", "(domain p1)", "Expected 'problem'"),
        ("(:goal (and", "(:goal (and (and", "never closed|Expected"),
    ],
)
def test_faulty_problems_are_named(files, tank, old, new, named):
    assert old in PROBLEM
    problem = files(DOMAIN, PROBLEM.replace(old, new, 1))[1]
    with pytest.raises(DatasetError, match=named) as error:
        read_problem(problem, tank)
    assert "problem.pddl" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("(open ?a)", "(opn ?a)", r"line: 8.*opn \?a"),
        ("(open ?a)", "(open ?z)", "z"),
        ("?a ?b - tank)\n", "?a ?b - tnk)\n", "tnk"),
        ("(open ?a)", "(open ?a ?b)", "open has arity 1"),
        (">= (level ?a) 0.1", ">= (open ?a) 0.1", "not well-formed"),
        ("(scale-up (level ?b) 2)", "(increase (open ?b) 2)", "incompatible"),
        ("(scale-up (level ?b) 2)", "(scale-up (level ?b))", "line 10: 'scale-up' takes 2"),
        ("(scale-up (level ?b) 2)", "(increase (level ?b) 2 3)", "line 10: 'increase' takes 2"),
        ("(scale-up (level ?b) 2)", "(assign (level ?b) 2) (increase (level ?b) 3)", "conflict"),
        ("(/ 1 3)", "(/ 1 0)", "division by zero"),
        (":typing", ":typing :wishes", "line:2"),
        ("(:action twist", "(:action pour", "pour already defined"),
        ("(define", "", "Expected"),
        ("(open ?a)", "(or (open ?a) (open ?a))", "'pour'.*a disjunction|add_effect"),
        (
            ":precondition (and (open ?a)",
            ":precondition (and (or (open ?a) (open ?b))",
            "'pour'.*a disjunction.*ENHSP",
        ),
        (
            ":precondition (and (open ?a)",
            ":precondition (and (imply (open ?b) (open ?a))",
            "'pour'.*a disjunction",
        ),
        (
            ":precondition (and (open ?a)",
            ":precondition (and (forall (?t - tank) (open ?t))",
            "'pour'.*a quantifier",
        ),
        ("(not (= ?a ?b))", "(= ?a ?b)", "'pour'.*same object"),
        (">= (level ?a) 0.1", "not (= (level ?a) 0.1)", "'pour'.*must differ.*level"),
        (
            ">= (level ?a) 0.1",
            ">= (* (level ?a) (cap ?a)) 0.1",
            "'pour'.*a product of fluents.*level.*cap",
        ),
        (">= (level ?a) 0.1", ">= (/ 1 (cap ?a)) 0.1", "'pour'.*division by a fluent.*cap"),
        (
            "(scale-up (level ?b) 2)",
            "(scale-up (level ?b) (cap ?b))",
            "'pour'.*a product of fluents",
        ),
        ("(scale-up (level ?b) 2)", "(forall (?t - tank) (open ?t))", "'pour'.*universal"),
        ("(scale-up (level ?b) 2)", "(when (open ?b) (near ?a ?b))", "'pour'.*conditional.*ENHSP"),
    ],
)
def test_faulty_and_too_rich_domains_are_named(files, old, new, named):
    assert old in DOMAIN
    with pytest.raises(DatasetError, match=named) as error:
        read_model(files(DOMAIN.replace(old, new, 1))[0])
    assert "domain.pddl" in str(error.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nothing.pddl: cannot be read"):
        read_model(tmp_path / "nothing.pddl")


# ---- writing

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
            tuple(one for one in [canonical(goal)] if one.expression.terms),
        ),
    )


def normal(action):
    """The form in which an action reads back: each comparison in whole numbers, once, and only if
    it can be false.
    """
    kept = dict.fromkeys(canonical(one) for one in action.comparisons)
    return replace(
        action,
        comparisons=tuple(one for one in kept if one.expression.terms or not one.holds((), {})),
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
        told, meant = (
            all(one.holds(binding, state.values) for one in action.comparisons)
            for action in (read, written)
        )
        assert told == meant and written.successor(binding, state) == read.successor(binding, state)


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
    found = [abs(int(one)) for one in re.findall(r"(?<![\w?])-?\d+\b", text)]
    assert len(found) > 4 and all(
        number == 0 or number >> ((number & -number).bit_length() - 1) < 2**24 for number in found
    )


class TwoSides:
    """A stand-in for a convex shape: a slanted strip, or a smaller set when the budget is short."""

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


# ---- plans


def test_plan_files(tmp_path):
    path = tmp_path / "plan"
    path.write_text(
        "; made by hand\n(MOVE A b)\n\n0.000: (stay) [1.0]\n 3 : ( lift  crate-1 )  ; last\n",
        encoding="utf-8",
    )
    plan = (("move", "a", "b"), ("stay",), ("lift", "crate-1"))
    assert read_plan(path) == plan
    write_plan(plan, path)
    assert read_plan(path) == plan and path.read_text(encoding="utf-8").startswith(
        "(move a b)\n(stay)\n"
    )
    path.write_text("(move a)\nmove b\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2: 'move b'"):
        read_plan(path)


LOOP = """(define (domain u) (:requirements :fluents :typing) (:types t s - object)
(:predicates (at ?x ?y - t)) (:functions (f ?x - t))
(:action mv :parameters (?x ?a ?b - t) :precondition (at ?x ?a)
 :effect (and (not (at ?x ?a)) (at ?x ?b)))
(:action use :parameters (?x - t) :precondition (>= (f ?x) 1) :effect (assign (f ?x) (/ (f ?x) 3)))
(:action cut :parameters (?x - t) :precondition (>= (f ?x) 1) :effect (scale-down (f ?x) -4))
(:action mk :parameters (?x - t) :effect (assign (f ?x) 9)))
"""
START = (
    "(define (problem u) (:domain u) (:objects a b c - t z - s) (:init (at a b) (= (f b) 1)) "
    "(:goal (and (at a b) (>= (f b) (/ 1 3)))))"
)


@pytest.mark.parametrize(
    ("plan", "valid", "reason"),
    [
        ([], True, ""),
        ([("mv", "a", "b", "b")], True, ""),  # deleted and added: true
        ([("use", "b")], True, ""),  # exactly a third
        ([("use", "b"), ("use", "b")], False, "2-th action"),
        ([("cut", "b")], False, "Goals"),
        ([("use", "a")], False, "does not have a value"),
        ([("mk", "a"), ("use", "a"), ("use", "a"), ("use", "a")], True, ""),
        ([("use", "q")], False, "step 1.*not an object"),
        ([("use", "z")], False, "step 1.*a s, not a t"),
        ([("use",)], False, "step 1.*takes 1"),
        ([("fly", "a")], False, "step 1.*no action"),
    ],
)
def test_unified_planning_validates_as_the_exact_model_does(files, plan, valid, reason):
    domain, problem = files(LOOP, START)
    verdict = validate_with_unified_planning(domain, problem, plan)
    assert verdict.valid == valid and re.search(reason, verdict.reason)
    assert is_valid(read_model(domain), read_problem(problem, domain), plan) == valid


@pytest.mark.skipif(
    not TRAJECTORIES.exists(), reason="the numeric trajectories are not beside this checkout"
)
@pytest.mark.parametrize("name", ["counters", "depots", "minecraft"])
def test_recorded_plans_are_valid_and_broken_ones_are_not(name):
    domain = next((TRAJECTORIES / name).glob("*domain*.pddl"))
    model = read_model(domain)
    tried = sorted((TRAJECTORIES / name).glob("*.solution"))[:2]
    rejected = 0
    for file in tried:
        problem = file.with_suffix(".pddl")
        read, plan = read_problem(problem, model.vocabulary), read_plan(file)
        assert is_valid(model, read, plan)
        broken = plan[: len(plan) // 2] + plan[len(plan) // 2 + 1 :]
        assert (
            is_valid(model, read, broken)
            == validate_with_unified_planning(domain, problem, broken).valid
        )
        rejected += not is_valid(model, read, broken)
    assert (
        rejected > 0
        and validate_with_unified_planning(domain, tried[-1].with_suffix(".pddl"), plan).valid
    )
