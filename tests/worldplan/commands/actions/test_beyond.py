"""`actions solve` and `validate` on domains that the exact models cannot represent."""

import json

import pytest

from tests.worldplan.commands.actions.builders import Desk

DOMAIN = """(define (domain lamps)
(:predicates (on ?x) (broken ?x))
(:functions (work))
(:action press :parameters (?x) :precondition (not (on ?x))
 :effect (and (when (not (broken ?x)) (on ?x)) (increase (work) 1))))
"""
PROBLEM = """(define (problem p) (:domain lamps) (:objects a b)
(:init (= (work) 0)) (:goal (and (on a) (on b) (<= (work) 2))))
"""


def write(desk: Desk, domain: str = DOMAIN, plan: str = "(press a)\n(press b)\n") -> str:
    for name, text in (("domain.pddl", domain), ("problem.pddl", PROBLEM), ("plan.txt", plan)):
        (desk.folder / name).write_text(text, encoding="utf-8")
    return "domain.pddl problem.pddl"


def test_the_independent_validator_judges_alone_and_that_is_said(desk: Desk) -> None:
    files = write(desk)
    text = desk.run(f"validate {files} plan.txt")
    assert (
        "not checked by the exact models here (domain.pddl: line 5: action 'press': a cond" in text
    )
    assert "unified-planning: valid, 2 steps" in text and "worldplan: valid" not in text
    write(desk, plan="(press a)\n")
    assert "unified-planning: not valid" in desk.run(f"validate {files} plan.txt", 1)
    document = json.loads(desk.run(f"validate {files} plan.txt --json", 1))
    assert not document["valid"] and "line 5" in document["unchecked"]
    assert list(document["faults"]) == ["unified-planning"]


def test_planners_of_this_package_refuse_with_line_and_remedy(desk: Desk) -> None:
    files = write(desk)
    desk.refuses(f"solve {files} --planner search", "domain.pddl: line 5: action 'press'", "ENHSP")


def test_time_is_refused_by_both(desk: Desk) -> None:
    files = write(desk, DOMAIN.replace("(:action press", "(:durative-action press"))
    for command in (f"solve {files} --planner search", f"validate {files} plan.txt"):
        desk.refuses(command, "domain.pddl: line 4: a durative action", "instantaneous")


def test_quantifiers_are_expanded_over_the_objects(desk: Desk) -> None:
    effect = "(when (not (broken ?x)) (on ?x))"
    files = write(desk, DOMAIN.replace(effect, "(forall (?y) (on ?y))"), "(press b)\n")
    text = desk.run(f"validate {files} plan.txt")
    assert "worldplan: valid, 1 steps" in text and "unified-planning: valid, 1 steps" in text
    assert "(press" in desk.run(f"solve {files} --planner search")


@pytest.mark.parametrize("planner", ["enhsp", "search", "lpg"])
@pytest.mark.parametrize("option", ["--engines lpg", "--at-once 2"])
def test_what_belongs_to_the_portfolio_is_refused_for_another_planner(
    desk: Desk, planner: str, option: str
) -> None:
    desk.refuses(
        f"solve {write(desk)} --planner {planner} {option}",
        f"{option.split()[0]} belongs to --planner auto",
    )
