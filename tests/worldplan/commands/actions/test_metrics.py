"""`actions solve` and `validate` on problems with a metric: what they print, and their JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.world_models.pddl.test_metrics import files
from worldplan.cli import main

DEAR = "(:metric minimize (+ (* 2 (spent)) (total-time)))"


def run(command: str, folder: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    capsys.readouterr()
    names = {"DOMAIN": "domain.pddl", "PROBLEM": "problem.pddl", "PLAN": "plan.txt"}
    words = [str(folder / names[word]) if word in names else word for word in command.split()]
    assert main(["actions", *words]) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


@pytest.mark.parametrize("planner", ["astar", "auto"])
def test_solve_prints_the_cost_and_that_it_is_proven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], planner: str
) -> None:
    files(tmp_path, DEAR)
    out = run(f"solve DOMAIN PROBLEM --planner {planner} -o PLAN", tmp_path, capsys)
    assert "; 3 actions, optimal: cost 16, and no plan of this model costs less (" in out
    out = run("validate DOMAIN PROBLEM PLAN", tmp_path, capsys)
    assert "worldplan: valid, 3 steps reach the goal, metric (minimize): 16\n" in out
    assert "unified-planning: valid, 3 steps reach the goal, metric (minimize): 16\n" in out


@pytest.mark.parametrize("planner", ["search", "enhsp"])
def test_solve_says_that_a_planner_proves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], planner: str
) -> None:
    files(tmp_path, DEAR)
    out = run(f"solve DOMAIN PROBLEM --planner {planner}", tmp_path, capsys)
    assert "satisficing: cost 16, not proven to be the least; no bound is proven" in out
    assert "--planner astar searches for the best plan" in out


def test_solve_prints_the_metric_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, "(:metric maximize (- (/ (fuel) 3) (spent)))")
    document = json.loads(run("solve DOMAIN PROBLEM --planner search --json", tmp_path, capsys))
    assert document["metric"] == {
        "sense": "maximize",
        "cost": pytest.approx(1 / 3 - 6.5),
        "cost_exact": "-37/6",
        "bound": None,
        "bound_exact": None,
        "gap": None,
        "proven": False,
    }
    files(tmp_path, "")
    assert json.loads(run("solve DOMAIN PROBLEM --json", tmp_path, capsys))["metric"] is None


def test_a_metric_over_an_unknown_fluent_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, "(:metric minimize (total-cost))")
    out = run("solve DOMAIN PROBLEM", tmp_path, capsys, code=2)
    assert out.count("\n") == 1
    assert "metric: unknown function 'total-cost'" in out
