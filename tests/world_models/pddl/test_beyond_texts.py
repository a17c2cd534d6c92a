"""PDDL that the exact models cannot represent is named with its line, and is no malformed text."""

import re

import pytest

from tests.world_models.pddl.van import D, P, with_change
from worldplan.world_models.pddl.beyond import BeyondModels
from worldplan.world_models.pddl.tasks import features_beyond, read_task

BEYOND = [
    (D, "(not (at ?v ?b))", "(or (at ?v ?b) (open ?b))", "line 9: action 'drive': a disjunction"),
    (
        D,
        "(not (at ?v ?b))",
        "(imply (at ?v ?b) (open ?b))",
        "line 9: action 'drive': a disjunction",
    ),
    (D, "(not (at ?v ?b))", "(not (and (at ?v ?b) (open ?b)))", "line 9: .*a disjunction"),
    (D, "(not (at ?v ?b))", "(exists (?p - place) (open ?p))", "line 9: .*a quantifier"),
    (D, "(not (at ?v ?b))", "(= ?a ?b)", "line 9: .*the same object"),
    (D, "(not (at ?v ?b))", "(not (= (fuel ?v) 3))", "line 9: .*must differ"),
    (D, "(+ (way ?a ?b) 1)", "(* (fuel ?v) (spent))", "line 9: .*'fuel' and 'spent'"),
    (D, "(+ (way ?a ?b) 1)", "(/ 1 (fuel ?v))", "line 9: .*division by a fluent.*'fuel'"),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(scale-up (fuel ?v) (spent))",
        "line 10: .*'fuel' and 'spent'",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(when (open ?a) (open ?b))",
        "line 10: .*a conditional",
    ),
    (
        D,
        "(:action fill",
        "(:durative-action slow :parameters ()) (:action fill",
        "line 12: a durative action is beyond",
    ),
    (
        D,
        "(:action fill",
        "(:derived (open ?p) (at red ?p)) (:action fill",
        "line 12: a derived predicate is beyond",
    ),
    (D, "(:action fill", "(:process p) (:action fill", "line 12: a process is beyond"),
    (D, "(:action fill", "(:event p) (:action fill", "line 12: an event is beyond"),
    (
        P,
        "(at red depot)",
        "(at red depot) (at 5 (open mill))",
        "line 3: a timed initial literal is beyond",
    ),
    (P, "(:goal", "(:constraints (always (open mill))) (:goal", "line 5: trajectory constraints"),
    (P, "(at red mill)", "(or (at red mill) (at red depot))", "line 5: a disjunction"),
    (P, "(<= (spent) 4)", "(<= (* (spent) (fuel red)) 4)", "line 5: .*'spent' and 'fuel'"),
]


@pytest.mark.parametrize(("kind", "old", "new", "named"), BEYOND)
def test_what_the_models_cannot_represent_is_named_with_its_line(files, kind, old, new, named):
    paths = files(**with_change(kind, old, new))
    with pytest.raises(BeyondModels, match=named) as error:
        read_task(*paths)
    assert f"{kind}.pddl: line" in str(error.value)
    assert [entry.line for entry in features_beyond(*paths)] == [
        int(re.findall(r"line (\d+)", str(error.value))[0])
    ]
