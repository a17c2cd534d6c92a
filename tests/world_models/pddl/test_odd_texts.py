"""PDDL as people write it: odd but legal texts keep their meaning."""

import os
import re

import pytest

from tests.world_models.pddl.van import DOMAIN, PLAN, PROBLEM, SHORT, changed
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.tasks import read_task


@pytest.fixture
def read(files):
    """Writes two texts, reads them, and lets the independent validator judge two plans as well."""

    def check(domain=DOMAIN, problem=PROBLEM):
        paths = files(domain, problem)
        model, task = read_task(*paths)
        for plan in (PLAN, SHORT):
            fault = plan_fault(model, task, plan)
            assert validate_with_unified_planning(*paths, plan).valid == (fault is None), fault
        assert plan_fault(model, task, PLAN) is None and plan_fault(model, task, SHORT)
        return model, task

    return check


def section(head, text=DOMAIN):
    """A section of a text, with its parentheses."""
    start = text.index(f"({head}")
    depth = 0
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if not depth:
            return text[start : end + 1]
    raise AssertionError(head)


ORDER = ("(:action fill", "(:functions", "(:predicates", "(:constants", "(:types", "(:requirements")
BACKWARDS = (
    "(define (domain van)\n"
    + "\n".join(section(head[1:]) for head in (ORDER[0], "(:action drive", *ORDER[1:]))
    + ")"
)

FILL_PRE = " :precondition (and (at ?v depot) (<= (fuel ?v) 9))"
FILL_EFFECT = " :effect (assign (fuel ?v) 10)"
FILL = f"{FILL_PRE}\n{FILL_EFFECT}"
assert FILL in DOMAIN

SAME = {  # texts with the meaning of DOMAIN and PROBLEM
    "sections backwards": (BACKWARDS, PROBLEM),
    "problem backwards": (
        DOMAIN,
        "(define (problem p)"
        + "".join(section(h, PROBLEM) for h in (":goal", ":init", ":objects", ":domain"))
        + ")",
    ),
    "no requirements": (changed(DOMAIN, ("(:requirements :typing :fluents)\n", "")), PROBLEM),
    "unusual requirements": (
        changed(DOMAIN, (":typing :fluents", ":numeric-fluents :strips :wishes")),
        PROBLEM,
    ),
    "capitals": (DOMAIN.upper(), PROBLEM.upper()),
    "byte-order mark": ("\ufeff" + DOMAIN, "\ufeff" + PROBLEM),
    "carriage returns": (DOMAIN.replace("\n", "\r\n"), PROBLEM.replace("\n", "\r\n")),
    "comments": (
        "; (first) )\n" + DOMAIN.replace("\n", " ; a (comment\n"),
        PROBLEM.replace("\n", ";; with ) and \" and '\n") + "; no line end",
    ),
    "one line": (DOMAIN.replace("\n", " "), PROBLEM.replace("\n", " ")),
    "tabs": (DOMAIN.replace(" ", "\t"), PROBLEM.replace(" ", "\t\n")),
    "blanks everywhere": (
        re.sub(r"([()])", r" \1 ", DOMAIN),
        re.sub(r"([()])", r" \1 ", PROBLEM),
    ),
    "no blanks": (DOMAIN.replace(" ?", "?").replace(") (", ")("), PROBLEM.replace(") (", ")(")),
    "no blank before a type": (DOMAIN.replace("- ", "-").replace("--1)", "- -1)"), PROBLEM),
    "unary minus": (changed(DOMAIN, ("(- (way ?a ?b) -1)", "(- (way ?a ?b) (- 1))")), PROBLEM),
    "unary minus of a fluent": (
        changed(
            DOMAIN, ("(decrease (fuel ?v) (way ?a ?b))", "(increase (fuel ?v) (- (way ?a ?b)))")
        ),
        PROBLEM,
    ),
    "three-ary minus": (changed(DOMAIN, ("(- (way ?a ?b) -1)", "(- (way ?a ?b) 1 -2)")), PROBLEM),
    "four-ary plus": (changed(DOMAIN, ("(+ (way ?a ?b) 1)", "(+ 2 (way ?a ?b) -2 1)")), PROBLEM),
    "three-ary product": (
        changed(DOMAIN, ("(+ (way ?a ?b) 1)", "(+ (* 2 (way ?a ?b) 0.5) 1)")),
        PROBLEM,
    ),
    "three-ary quotient": (
        changed(DOMAIN, ("(+ (way ?a ?b) 1)", "(+ (/ (* (way ?a ?b) 6) 2 3) 1)")),
        PROBLEM,
    ),
    "a constant sum": (
        changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) (- (+ 1 2 3) (* 1 5)))")),
        PROBLEM,
    ),
    "plus sign": (changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) +1)")), PROBLEM),
    "number with a point": (changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) 1.)")), PROBLEM),
    "number with an exponent": (changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) 10e-1)")), PROBLEM),
    "functions of type number": (changed(DOMAIN, ("(spent))", "(spent) - number)")), PROBLEM),
    "a function without parentheses": (
        changed(DOMAIN, ("(increase (spent)", "(increase spent")),
        PROBLEM,
    ),
    "the root declared": (
        changed(DOMAIN, ("(:types ", "(:types object vehicle place - object ")),
        PROBLEM,
    ),
    "a parent that is not listed": (
        changed(DOMAIN, ("vehicle place)", "vehicle place - object)")),
        PROBLEM,
    ),
    "a type listed twice": (
        changed(DOMAIN, ("vehicle place)", "vehicle place car - vehicle)")),
        PROBLEM,
    ),
    "either of siblings": (
        changed(DOMAIN, ("?v - vehicle", "?v - (either car truck)")),
        PROBLEM,
    ),
    "either in an action": (
        changed(
            DOMAIN,
            ("fill :parameters (?v - vehicle)", "fill :parameters (?v - (either truck car))"),
        ),
        PROBLEM,
    ),
    "either of a type and its parent": (
        changed(
            DOMAIN,
            ("fill :parameters (?v - vehicle)", "fill :parameters (?v - (either vehicle car))"),
        ),
        PROBLEM,
    ),
    "either of one": (
        changed(DOMAIN, ("(fuel ?v - vehicle)", "(fuel ?v - (either vehicle))")),
        PROBLEM,
    ),
    "goal over an either": (
        DOMAIN,
        changed(PROBLEM, ("(at red mill)", "(forall (?v - (either car truck)) (at ?v mill))")),
    ),
    "empty and": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(not (at ?v ?b)) (and) (and (and))")),
        PROBLEM,
    ),
    "empty list": (changed(DOMAIN, ("(not (at ?v ?b))", "(not (at ?v ?b)) ()")), PROBLEM),
    "nested and": (changed(DOMAIN, ("(and (at ?v ?a)", "(and (and (and (at ?v ?a)))")), PROBLEM),
    "or of one": (changed(DOMAIN, ("(and (at ?v ?a)", "(and (or (at ?v ?a))")), PROBLEM),
    "double negation": (
        changed(DOMAIN, ("(and (at ?v ?a)", "(and (not (not (at ?v ?a)))")),
        PROBLEM,
    ),
    "negated disjunction": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(not (or (at ?v ?b) (open ?a)))")),
        PROBLEM,
    ),
    "negated implication": (
        changed(DOMAIN, ("(and (at ?v ?a)", "(and (not (imply (at ?v ?a) (open ?a)))")),
        PROBLEM,
    ),
    "quantified precondition": (
        changed(
            DOMAIN, ("(not (at ?v ?b))", "(not (at ?v ?b)) (forall (?p - place) (not (open ?p)))")
        ),
        PROBLEM,
    ),
    "negated exists": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(not (exists (?p - place ?q - place) (open ?p)))")),
        PROBLEM,
    ),
    "quantified effect": (
        changed(
            DOMAIN,
            (
                "(at ?v ?b) (not (at ?v ?a))",
                "(at ?v ?b) (not (at ?v ?a)) (forall (?p - place) (open ?p))",
            ),
        ),
        PROBLEM,
    ),
    "quantified over nothing": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(forall (?t - truck) (at ?t ?a))")),
        PROBLEM,
    ),
    "effect before precondition": (DOMAIN.replace(FILL, f"{FILL_EFFECT}\n{FILL_PRE}"), PROBLEM),
    "not listed is false": (
        DOMAIN,
        changed(PROBLEM, ("(at red depot)", "(at red depot) (not (open mill))")),
    ),
    "a fact twice": (DOMAIN, changed(PROBLEM, ("(at red depot)", "(at red depot) (at red depot)"))),
    "a value twice": (
        DOMAIN,
        changed(PROBLEM, ("(= (fuel red) 2)", "(= (fuel red) 2) (= (fuel red) 2.0)")),
    ),
    "value first": (DOMAIN, changed(PROBLEM, ("(= (fuel red) 2)", "(= 2 (fuel red))"))),
    "a quotient as value": (DOMAIN, changed(PROBLEM, ("0.5)", "(/ 1 2))"))),
    "a negated value": (DOMAIN, changed(PROBLEM, ("(= (spent) 0)", "(= (spent) (- 1))"))),
    "a metric": (DOMAIN, changed(PROBLEM, ("(:goal", "(:metric minimize (spent)) (:goal"))),
    "init in an and": (DOMAIN, changed(PROBLEM, ("(:init", "(:init (and"), ("0.5))", "0.5)))"))),
    "constant listed as object": (DOMAIN, changed(PROBLEM, ("mill - place", "mill depot - place"))),
    "a predicate's parameters with one name": (
        changed(DOMAIN, ("(way ?a ?b - place)", "(way ?a - place ?a - place)")),
        PROBLEM,
    ),
    "empty sections": (DOMAIN, changed(PROBLEM, ("(:objects", "(:requirements) (:objects"))),
}


@pytest.mark.parametrize("name", SAME)
def test_odd_texts_keep_their_meaning(read, name):
    model, task = read(*SAME[name])
    assert isinstance(model, NumericModel) and isinstance(task, NumericProblem)
    words = model.vocabulary
    parameters = [part for pairs in words.actions.values() for pair in pairs for part in pair]
    names = [words.name, *words.predicates, *words.functions, *words.actions, *parameters]
    names += [*words.types, *words.types.values(), *words.constants, *words.constants.values()]
    for kinds in (*words.predicates.values(), *words.functions.values()):
        names += kinds
    assert {type(entry) for entry in (*names, *task.objects, *task.objects.values())} == {str}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("red", "2nd-van"),
        ("mill", "mühle"),
        ("red", "van#1"),
        ("mill", "a.b/c"),
        ("red", "_x"),
        ("red", "zz-1"),
    ],
)
def test_names_that_pddl_does_not_allow_stay_as_they_are(files, old, new):
    paths = files(DOMAIN, PROBLEM.replace(old, new))
    model, task = read_task(*paths)
    assert new in task.objects and old not in task.objects
    plan = [tuple(new if part == old else part for part in step) for step in PLAN]
    assert plan_fault(model, task, plan) is None
    assert validate_with_unified_planning(*paths, plan).valid
    assert new in validate_with_unified_planning(*paths, plan[1:]).reason or old == "mill"


def test_both_files_are_read_once_so_that_pipes_may_hold_them(files):
    ends = [os.pipe(), os.pipe()]
    for (_, writing), text in zip(ends, (DOMAIN, PROBLEM), strict=True):
        with os.fdopen(writing, "w") as file:
            file.write(text)
    try:
        model, task = read_task(*(f"/dev/fd/{reading}" for reading, _ in ends))
    finally:
        for reading, _ in ends:
            os.close(reading)
    expected = read_task(*files(DOMAIN, PROBLEM))
    assert (model.actions, task) == (expected[0].actions, expected[1])
