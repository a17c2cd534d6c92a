"""`actions solve` and `validate` on problems with a metric: what they print, and their JSON."""

from __future__ import annotations

import json

import pytest

from tests.world_models.pddl.test_metrics import files
from tests.worldplan.commands.actions.builders import Desk

SOLVE = "solve domain.pddl problem.pddl"
DEAR = "(:metric minimize (+ (* 2 (spent)) (total-time)))"


@pytest.mark.parametrize("planner", ["astar", "auto"])
def test_solve_prints_the_cost_and_that_it_is_proven(desk: Desk, planner: str) -> None:
    files(desk.folder, DEAR)
    out = desk.run(f"{SOLVE} --planner {planner} -o plan.txt")
    assert "; 3 actions, optimal: cost 16, and no plan of this model costs less (" in out
    out = desk.run("validate domain.pddl problem.pddl plan.txt")
    assert "worldplan: valid, 3 steps reach the goal, metric (minimize): 16\n" in out
    assert "unified-planning: valid, 3 steps reach the goal, metric (minimize): 16\n" in out


@pytest.mark.parametrize("planner", ["search", "enhsp"])
def test_solve_says_that_a_planner_proves_nothing(desk: Desk, planner: str) -> None:
    files(desk.folder, DEAR)
    out = desk.run(f"{SOLVE} --planner {planner}")
    assert "satisficing: cost 16, not proven to be the least; no bound is proven" in out
    assert "--planner astar searches for the best plan" in out


def test_solve_prints_the_metric_as_json(desk: Desk) -> None:
    files(desk.folder, "(:metric maximize (- (/ (fuel) 3) (spent)))")
    document = json.loads(desk.run(f"{SOLVE} --planner search --json"))
    assert document["metric"] == {
        "sense": "maximize",
        "cost": pytest.approx(1 / 3 - 6.5),
        "cost_exact": "-37/6",
        "bound": None,
        "bound_exact": None,
        "gap": None,
        "proven": False,
    }
    files(desk.folder, "")
    assert json.loads(desk.run(f"{SOLVE} --json"))["metric"] is None


def test_a_metric_over_an_unknown_fluent_is_one_line(desk: Desk) -> None:
    files(desk.folder, "(:metric minimize (total-cost))")
    desk.refuses(SOLVE, "metric: unknown function 'total-cost'")
