"""Products and quotients of fluents that no action changes: read, planned with and checked."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric.planning import solve
from worldplan.world_models.action_model.files import load_model, save_model
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Product,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.reading import read_model, read_problem
from worldplan.world_models.pddl.writing import write_domain, write_problem

FLIGHTS = """(define (domain flights)
(:requirements :typing :fluents)
(:types plane town)
(:predicates (at ?p - plane ?t - town))
(:functions (fuel ?p - plane) (burn ?p - plane) (speed ?p - plane) (way ?a ?b - town)
  (hours) (slack))
(:action fly :parameters (?p - plane ?a ?b - town)
 :precondition (and (at ?p ?a) (>= (fuel ?p) (* (way ?a ?b) (burn ?p))))
 :effect (and (not (at ?p ?a)) (at ?p ?b) (decrease (fuel ?p) (* (way ?a ?b) (burn ?p)))
  (increase (hours) (/ (way ?a ?b) (- (speed ?p) (slack))))))
(:action load :parameters (?p - plane)
 :precondition (< (* (fuel ?p) (burn ?p)) 30)
 :effect (assign (fuel ?p) (* (+ (fuel ?p) 1) (+ (burn ?p) 0.5)))))
"""
TRIP = """(define (problem trip) (:domain flights) (:objects a b c - town p q - plane)
(:init (at p a) (at q a) (= (fuel p) 3) (= (fuel q) 1) (= (burn p) 0.5) (= (burn q) 2)
 (= (speed p) 5) (= (speed q) 1) (= (slack) 1) (= (hours) 0)
 (= (way a b) 4) (= (way b c) 3) (= (way b a) 1))
(:goal (and (at p c) (<= (* (hours) (speed p)) 10))))
"""


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    (folder / "domain.pddl").write_text(FLIGHTS, encoding="utf-8")
    (folder / "problem.pddl").write_text(TRIP, encoding="utf-8")
    return folder / "domain.pddl", folder / "problem.pddl"


def test_they_are_read_as_terms(flights):
    model = read_model(flights[0])
    fly, load = model.actions["fly"], model.actions["load"]
    way, burn, fuel = ("way", 1, 2), ("burn", 0), ("fuel", 0)
    assert fly.comparisons[0].expression == Linear(((fuel, 1), (Product((burn, way)), -1)))
    spare = (((("slack",), -1), (("speed", 0), 1)), 0)  # what the way is divided by
    assert dict(fly.effects)["hours",] == Linear(((("hours",), 1), (Product((way,), (spare,)), 1)))
    assert dict(load.effects)[fuel] == Linear(
        ((burn, 1), (fuel, Fraction(1, 2)), (Product((burn, fuel)), 1)), Fraction(1, 2)
    )


@pytest.mark.parametrize("planner", ["search", "milp"])
def test_planners_find_shortest_plans_with_them(flights, planner):
    model = read_model(flights[0])
    problem = read_problem(flights[1], model.vocabulary)
    result = solve(model, problem, planner, time_limit=20.0)
    # 3 litres are not enough for 4 * 0.5 + 3 * 0.5: (3 + 1) * (0.5 + 0.5) is one more
    assert result.plan is not None and len(result.plan) == 3 and ("load", "p") in result.plan
    assert validate_with_unified_planning(*flights, result.plan).valid
    without = tuple(step for step in result.plan if step[0] != "load")
    assert "(burn p) * (way b c)" in str(plan_fault(model, problem, without))
    assert not validate_with_unified_planning(*flights, without).valid


def test_division_by_zero_makes_an_action_inapplicable(flights):
    model = read_model(flights[0])
    problem = read_problem(flights[1], model.vocabulary)
    stranded = NumericProblem(
        "q", problem.objects, problem.initial, Goal(frozenset({("at", "q", "b")}))
    )  # the speed of q less the slack is 0
    assert solve(model, stranded, "search").status == "unsolvable"
    fault = plan_fault(model, stranded, [("load", "q"), ("load", "q"), ("fly", "q", "a", "b")])
    assert "next value of (hours) is not defined" in str(fault)


def test_models_with_them_are_written_and_read_back(flights, tmp_path):
    model = read_model(flights[0])
    save_model(model, tmp_path / "model.json")
    assert load_model(tmp_path / "model.json").actions == model.actions
    write_domain(model, tmp_path / "domain.pddl")
    assert read_model(tmp_path / "domain.pddl").actions == model.actions


def test_a_product_of_two_changing_fluents_is_refused(flights):
    model = read_model(flights[0])
    fuel, hours = ("fuel", 0), ("hours",)
    squared = NumericAction(
        "load",
        (("p", "plane"),),
        effects=((fuel, Linear(((Product((fuel, hours)), 1),))),),
    )
    with pytest.raises(DatasetError, match="action 'load': a product of fluents .*'fuel' and 'ho"):
        NumericModel(model.vocabulary, {**model.actions, "load": squared})
    divided = NumericAction(
        "load",
        (("p", "plane"),),
        effects=((fuel, Linear(((Product((), ((((fuel, 1),), 0),)), 1),))),),
    )
    with pytest.raises(DatasetError, match="division by a fluent that an action changes, 'fuel'"):
        NumericModel(model.vocabulary, {"load": divided})


@pytest.mark.parametrize(
    ("factors", "divisors", "named"),
    [
        ((("fuel", 0),), (), "two factors at least"),
        ((), (), "two factors at least"),
        ([("fuel", 0), ("burn", 0)], (), "factors"),
        (("fuel", "burn"), (), "factor 'fuel': give a fluent"),
        ((("fuel", 0), ()), (), "factor"),
        ((("fuel", 0),), (("speed", 0),), "divisor .*terms and the constant"),
        ((("fuel", 0),), (2,), "divisor 2"),
    ],
)
def test_wrong_arguments_of_a_product_are_refused(factors, divisors, named):
    with pytest.raises(DatasetError, match=named):
        Product(factors, divisors)


# ---- random domains

VOCABULARY = Vocabulary(
    "random",
    {},
    {},
    {},
    {"x": ("object",), "y": (), "s": ("object",), "t": ("object", "object")},
    {"one": (("a", "object"), ("b", "object")), "two": (("a", "object"),)},
)
OBJECTS = {"o": "object", "p": "object"}
STATIC = {"one": (("s", 0), ("s", 1), ("t", 0, 1), ("t", 1, 0)), "two": (("s", 0), ("t", 0, 0))}
CHANGING = {"one": (("x", 0), ("x", 1), ("y",)), "two": (("x", 0), ("y",))}
NUMBERS = st.sampled_from([-2, -1, 0, 1, 2, Fraction(1, 2)])


@st.composite
def static_terms(draw, action):
    """A product of one to three fluents, at most one of which changes, with up to one divisor."""
    factors = draw(st.lists(st.sampled_from(STATIC[action]), max_size=2))
    factors += draw(st.lists(st.sampled_from(CHANGING[action]), min_size=1, max_size=1))
    divisors = draw(
        st.lists(st.tuples(st.sampled_from(STATIC[action]), st.sampled_from([0, 1])), max_size=1)
    )
    if len(factors) == 1 and not divisors:
        return factors[0]
    sums = tuple((((fluent, 1),), constant) for fluent, constant in divisors)
    return Product(tuple(sorted(factors, key=str)), sums)


@st.composite
def sums(draw, action):
    terms = draw(
        st.dictionaries(static_terms(action), NUMBERS.filter(bool), min_size=1, max_size=2)
    )
    return Linear(tuple(terms.items()), draw(NUMBERS))


@st.composite
def models(draw):
    actions = {}
    for name, parameters in VOCABULARY.actions.items():
        targets = draw(
            st.lists(st.sampled_from(CHANGING[name]), min_size=1, max_size=2, unique=True)
        )
        actions[name] = NumericAction(
            name,
            parameters,
            distinct=frozenset({(0, 1)}) if name == "one" else frozenset(),
            comparisons=tuple(
                Comparison(draw(sums(name)), draw(st.sampled_from([">=", ">"])))
                for _ in range(draw(st.integers(0, 1)))
            ),
            effects=tuple((target, draw(sums(name))) for target in targets),
        )
    return NumericModel(VOCABULARY, actions)


@st.composite
def problems(draw):
    fluents = [("y",), *(("x", name) for name in OBJECTS), *(("s", name) for name in OBJECTS)]
    fluents += [("t", *names) for names in product(OBJECTS, repeat=2)]
    values = {fluent: draw(NUMBERS) for fluent in fluents}
    goal = Linear(
        ((draw(st.sampled_from([("x", "o"), ("x", "p"), ("y",)])), 1),), -draw(st.integers(1, 4))
    )
    return NumericProblem(
        "random", OBJECTS, State(frozenset(), values), Goal(comparisons=(Comparison(goal, ">="),))
    )


CALLS = [("one", "o", "p"), ("one", "p", "o"), ("two", "o"), ("two", "p")]


@settings(max_examples=12, deadline=None)
@given(models(), problems(), st.lists(st.sampled_from(CALLS), max_size=3), st.data())
def test_the_independent_validator_agrees_on_every_plan(
    tmp_path_factory, model, problem, calls, data
):
    folder = tmp_path_factory.mktemp("random")
    files = folder / "domain.pddl", folder / "problem.pddl"
    write_domain(model, files[0])
    write_problem(problem, model.vocabulary, files[1])
    again = read_model(files[0])
    result = solve(again, read_problem(files[1], again.vocabulary), "search", time_limit=0.2)
    plans = [tuple(calls)]
    if result.plan is not None:
        plans += [result.plan, (*result.plan, *calls)]
    if plans[-1]:
        place = data.draw(st.integers(0, len(plans[-1]) - 1))
        plans.append((*plans[-1][:place], *plans[-1][place + 1 :]))
    for plan in plans:
        assert is_valid(model, problem, plan) == is_valid(again, problem, plan)
        assert validate_with_unified_planning(*files, plan).valid == is_valid(model, problem, plan)
    if result.status == "unsolvable":
        assert not reachable_goal(model, problem, 3)
    if result.plan is not None and result.status == "optimal" and len(result.plan) < 5:
        assert not reachable_goal(model, problem, len(result.plan) - 1)


def reachable_goal(model, problem, steps):
    """Whether some plan of at most so many steps reaches the goal, by brute force."""
    return any(
        is_valid(model, problem, plan)
        for length in range(steps + 1)
        for plan in product(CALLS, repeat=length)
    )
