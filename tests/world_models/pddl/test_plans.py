"""Plan files, and the independent validator."""

import re

import pytest

from tests.places import TRAJECTORIES
from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.pddl.plans import read_plan, validate_with_unified_planning, write_plan
from worldplan.world_models.pddl.reading import (
    read_model,
    read_problem,
)


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
