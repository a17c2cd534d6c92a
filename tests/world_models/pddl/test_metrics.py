"""Metrics of PDDL problems: read exactly, refused by name, written, computed by two programs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.numeric.domain import Linear
from worldplan.world_models.numeric.execution import plan_cost
from worldplan.world_models.numeric.metrics import TOTAL_TIME, Metric
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.reading import from_unified_planning, read_model, read_problem
from worldplan.world_models.pddl.writing import to_unified_planning, write_domain, write_problem

DOMAIN = """(define (domain trip) (:requirements :typing :fluents)
(:types city truck)
(:predicates (at ?c - city) (road ?a ?b - city))
(:functions (spent) (toll ?a ?b - city) (fuel))
(:action drive :parameters (?a ?b - city)
 :precondition (and (at ?a) (road ?a ?b) (>= (fuel) 1))
 :effect (and (not (at ?a)) (at ?b) (decrease (fuel) 1) (increase (spent) (toll ?a ?b))))
(:action refuel :parameters () :effect (and (increase (fuel) 2) (increase (spent) 3))))
"""
PROBLEM = """(define (problem t) (:domain trip) (:objects a b c - city v - truck)
(:init (at a) (road a b) (road b c) (= (spent) 0) (= (fuel) 1) (= (toll a b) 1) (= (toll b c) 2.5))
(:goal (at c))
METRIC
)
"""
PLAN = (("drive", "a", "b"), ("refuel",), ("drive", "b", "c"))
SPENT, FUEL = ("spent",), ("fuel",)


def files(folder: Path, metric: str) -> tuple[Path, Path]:
    paths = folder / "domain.pddl", folder / "problem.pddl"
    paths[0].write_text(DOMAIN)
    paths[1].write_text(PROBLEM.replace("METRIC", metric))
    return paths


def metric_in(folder: Path, text: str) -> Metric | None:
    domain, problem = files(folder, text)
    return read_problem(problem, domain).metric


@pytest.mark.parametrize(
    ("text", "sense", "terms", "constant"),
    [
        ("(:metric minimize (spent))", "minimize", {SPENT: 1}, 0),
        ("(:METRIC MAXIMIZE (Fuel)) ; the rest", "maximize", {FUEL: 1}, 0),
        (
            "(:metric minimize (+ (* 2 (fuel)) (total-time)))",
            "minimize",
            {FUEL: 2, TOTAL_TIME: 1},
            0,
        ),
        ("(:metric minimize total-time)", "minimize", {TOTAL_TIME: 1}, 0),
        ("(:metric minimize (- (spent) (fuel) (fuel)))", "minimize", {SPENT: 1, FUEL: -2}, 0),
        ("(:metric minimize (- (spent)))", "minimize", {SPENT: -1}, 0),
        ("(:metric minimize (/ (* 3 (spent) 0.5) 4))", "minimize", {SPENT: Fraction(3, 8)}, 0),
        (
            "(:metric maximize (+ 1 (* (- 2 4) (toll a b)) 2))",
            "maximize",
            {("toll", "a", "b"): -2},
            3,
        ),
        ("(:metric minimize 5)", "minimize", {}, 5),
        ("(:metric minimize (* 1/3 (spent)))", "minimize", {SPENT: Fraction(1, 3)}, 0),
        ("(:metric minimize (* 0 (spent)))", "minimize", {}, 0),
        ("; (:metric minimize (nothing))", None, {}, 0),
    ],
)
def test_metrics_are_read_exactly(
    tmp_path: Path, text: str, sense: str | None, terms: dict, constant: int
) -> None:
    metric = metric_in(tmp_path, text)
    if sense is None:
        assert metric is None
        return
    assert metric is not None
    assert (metric.sense, dict(metric.expression.terms)) == (sense, terms)
    assert metric.expression.constant == constant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(:metric minimize (spend))", "unknown function 'spend' in (spend) (did you mean 'spent'"),
        ("(:metric minimize (toll a))", "'toll' takes 2 objects, (toll a) has 1"),
        ("(:metric minimize (toll a z))", "unknown object z in (toll a z)"),
        ("(:metric minimize (toll a v))", "'v' is a truck, not a city"),
        ("(:metric minimise (spent))", "write (:metric minimize EXPRESSION)"),
        ("(:metric minimize)", "write (:metric minimize EXPRESSION)"),
        ("(:metric minimize (spent) (fuel))", "write (:metric minimize EXPRESSION)"),
        ("(:metric minimize (spent)) (:metric maximize (fuel))", "2 metrics: keep one"),
        ("(:metric minimize (/ (fuel) 0))", "division by zero"),
        ("(:metric minimize 1/0)", "1/0 is no number"),
        ("(:metric minimize (+))", "at least one argument"),
        ("(:metric minimize ())", "() is no expression"),
        ("(:metric minimize (is-violated p))", "preferences are beyond"),
        ("(:metric minimize 1e999999)", "too long or too large"),
    ],
)
def test_other_metrics_are_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError) as raised:
        metric_in(tmp_path, text)
    message = str(raised.value)
    assert words in message
    assert "problem.pddl: line 4" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("(:metric minimize (+ (* 2 (spent)) (total-time)))", 16),
        ("(:metric maximize (- (fuel) (/ (spent) 3)))", Fraction(-7, 6)),
        ("(:metric minimize 7)", 7),
        ("(:metric minimize (* (+ (spent) 1) (toll b c) (total-time)))", 7.5 * 2.5 * 3),
        ("(:metric minimize (/ (spent) (+ (fuel) (toll a b))))", Fraction(13, 4)),
    ],
)
def test_two_programs_agree_on_the_metric_of_a_plan(
    tmp_path: Path, text: str, cost: Fraction
) -> None:
    domain, file = files(tmp_path, text)
    model = read_model(domain)
    problem = read_problem(file, model.vocabulary)
    assert plan_cost(model, problem, PLAN) == cost
    verdict = validate_with_unified_planning(domain, file, PLAN)
    assert (verdict.valid, verdict.cost) == (True, cost)
    copies = tmp_path / "d.pddl", tmp_path / "p.pddl"
    write_domain(model, copies[0])
    write_problem(problem, model.vocabulary, copies[1])
    assert read_problem(copies[1], model.vocabulary).metric == problem.metric
    assert validate_with_unified_planning(*copies, PLAN).cost == cost


def test_a_metric_without_a_value_is_refused(tmp_path: Path) -> None:
    domain, file = files(tmp_path, "(:metric minimize (toll b a))")
    model = read_model(domain)
    problem = read_problem(file, model.vocabulary)
    with pytest.raises(DatasetError, match=r"\(toll b a\) has no value.*\(= \(toll b a\) 0\)"):
        plan_cost(model, problem, PLAN)


@pytest.mark.parametrize(
    "text",
    [
        "(:metric minimize (+ (spent) (* 0.5 (fuel)) 1))",
        "(:metric maximize (fuel))",
        "(:metric minimize (total-time))",
        "(:metric minimize (+ (* (spent) (toll a b)) (/ 1 (+ 1 (fuel)))))",
    ],
)
def test_metrics_go_through_unified_planning(tmp_path: Path, text: str) -> None:
    domain, file = files(tmp_path, text)
    model = read_model(domain)
    problem = read_problem(file, model.vocabulary)
    back = from_unified_planning(to_unified_planning(model, problem))[1]
    assert back.metric == problem.metric


def test_what_unified_planning_cannot_add_up_is_refused(tmp_path: Path) -> None:
    domain, file = files(tmp_path, "(:metric minimize (+ (spent) (total-time)))")
    model = read_model(domain)
    with pytest.raises(ConfigError, match="no metric that adds"):
        to_unified_planning(model, read_problem(file, model.vocabulary))


def test_costs_of_actions_become_a_function(tmp_path: Path) -> None:
    from unified_planning.model import metrics

    domain, file = files(tmp_path, "")
    task = to_unified_planning(read_model(domain), read_problem(file, domain))
    drive, toll = task.action("drive"), task.fluent("toll")
    price = toll(*drive.parameters)
    task.add_quality_metric(metrics.MinimizeActionCosts({drive: price}, default=4))
    model, problem = from_unified_planning(task)
    assert problem.metric == Metric("minimize", Linear(((("total-cost",), 1),)))
    assert plan_cost(model, problem, PLAN) == Fraction(15, 2)


def test_several_metrics_are_refused(tmp_path: Path) -> None:
    from unified_planning.model import metrics

    task = to_unified_planning(read_model(files(tmp_path, "")[0]))
    for _ in range(2):
        task.add_quality_metric(metrics.MinimizeSequentialPlanLength())
    with pytest.raises(DatasetError, match="2 quality metrics: keep one"):
        from_unified_planning(task)
