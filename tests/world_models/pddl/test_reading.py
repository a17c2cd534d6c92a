"""PDDL files in: exact models and problems, and errors that name what is wrong."""

from fractions import Fraction

import pytest

from tests.world_models.pddl.builders import DOMAIN, PROBLEM, at_least
from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import (
    Goal,
    Linear,
    NumericAction,
    State,
)
from worldplan.world_models.pddl.reading import (
    read_model,
    read_problem,
    read_vocabulary,
)


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
        ("(open t1)", "(open t1 t2)", "line 2: 'open' takes 1 objects, not 2"),
        ("(open t1)", "(open)", "line 2: 'open' takes 1 objects, not 0"),
        ("(open t1)", "(open x)", "line 2: 'x' is of type 'truck', and 'open' takes 'tank'"),
        ("(open t1)", "(level t1)", "'level' is a function"),
        ("(open t1)", "()", "empty or incomplete"),
        ("(open t1)", "(at 5 (open t1))", "timed"),
        ("(= (level t1) 0.5)", "(= (level x) 0.5)", "line 2: 'x' is of type 'truck', and 'level"),
        ("(= (level t1) 0.5)", "(= (level t1 t2) 0.5)", "line 2: 'level' takes 1 objects"),
        ("(= (level t1) 0.5)", "(= (lev t1) 0.5)", "line 2: no function 'lev' is declared.*level"),
        ("(= (level t1) 0.5)", "(= (level t1) half)", "half"),
        ("(= (level t1) 0.5)", "(= (level t1) inf)", "inf"),
        ("(= (level t1) 0.5)", "(= (level t1) (cap t1))", "no number"),
        ("(= (level t1) 0.5)", "(= (open t1) 0.5)", "'open' is a predicate"),
        ("(= (level t1) 0.5)", "(= (level t1) 0.5 3)", "line 2: '=' takes 2"),
        ("x - truck", "x - trk", "trk"),
        ("x - truck", "x x - truck", "x already defined"),
        ("(not (near x t1))", "(not (near y t1))", "line 4: no object 'y' is declared"),
        ("(not (near x t1))", "(or (open t1) (open t2))", "a disjunction"),
        ("(total-cost)))", "(total-cost))", "never closed"),
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
    "number",
    ["1e999999999", "-1E+9_999_999", "+.5e-99999", "1e301", "1e-301", "9" * 401, f"0.{'1' * 400}"],
)
def test_numbers_that_take_for_ever_are_refused(files, tank, number):
    problem = files(DOMAIN, PROBLEM.replace("0.5", number, 1))[1]
    with pytest.raises(DatasetError, match="line 2: .* too large a number: give at most 400"):
        read_problem(problem, tank)
    domain = files(DOMAIN.replace("0.1", number, 1), PROBLEM)[0]
    with pytest.raises(DatasetError, match="line 8: .* too large a number: give at most 400"):
        read_model(domain)


@pytest.mark.parametrize("number", ["1e300", "-2E-300", "7.5e0003", "9" * 400])
def test_large_numbers_are_read_exactly(files, tank, number):
    problem = read_problem(files(DOMAIN, PROBLEM.replace("0.5", number, 1))[1], tank)
    assert problem.initial.values["level", "t1"] == Fraction(number)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("(open ?a)", "(opn ?a)", "line 8: no predicate 'opn' is declared .*open"),
        ("(open ?a)", "(open ?z)", "z"),
        ("?a ?b - tank)\n", "?a ?b - tnk)\n", "tnk"),
        ("(?a ?b - tank)\n", "(?a ?A - tank)\n", r"line 7: the parameter \?a is declared twice"),
        ("(open ?x - tank)", "(open ?x - tank) (open ?x)", "open already defined: rename one of"),
        ("(open ?a)", "(open ?a ?b)", "line 8: 'open' takes 1 objects, not 2"),
        (">= (level ?a) 0.1", ">= (open ?a) 0.1", "line 8: 'open' is a predicate, not a function"),
        ("(scale-up (level ?b) 2)", "(increase (open ?b) 2)", "incompatible"),
        ("(scale-up (level ?b) 2)", "(scale-up (level ?b))", "line 10: 'scale-up' takes 2"),
        ("(scale-up (level ?b) 2)", "(increase (level ?b) 2 3)", "line 10: 'increase' takes 2"),
        ("(scale-up (level ?b) 2)", "(assign (level ?b) 2) (increase (level ?b) 3)", "conflict"),
        ("(/ 1 3)", "(/ 1 0)", "division by zero"),
        ("(:action twist", "(:action pour", "pour already defined"),
        ("(define", "", "line 17: a .* closes nothing"),
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
            ">= (* (level ?a) (+ (level ?b) (cap ?a))) 0.1",
            "'pour'.*a product of fluents that actions change, 'level' and 'level'",
        ),
        (">= (level ?a) 0.1", ">= (/ 1 (level ?a)) 0.1", "'pour'.*division by a fluent.*level"),
        (
            "(scale-up (level ?b) 2)",
            "(scale-up (level ?b) (total-cost))",
            "'pour'.*a product of fluents.*'level' and 'total-cost'",
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
    with pytest.raises(DatasetError, match="nothing.pddl: no such file"):
        read_model(tmp_path / "nothing.pddl")
