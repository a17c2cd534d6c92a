"""Costs of best plans against ENHSP's optimal configuration, another program."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.planners.numeric.test_cheapest import linear, mine, rooms
from tests.world_models.pddl.test_metrics import DOMAIN, PROBLEM
from worldplan.planners.numeric.cheapest.planner import astar_plan
from worldplan.planners.numeric.enhsp import java_command
from worldplan.world_models.numeric.domain import Comparison, Goal, NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import plan_cost
from worldplan.world_models.pddl.plans import read_plan
from worldplan.world_models.pddl.reading import read_model, read_problem
from worldplan.world_models.pddl.writing import write_domain, write_problem

pytest.importorskip("up_enhsp")


def trip(folder: Path) -> tuple[NumericModel, NumericProblem]:
    """The dear road is short; the cheap one needs fuel on the way."""
    longer = PROBLEM.replace("(road b c)", "(road b c) (road a c) (= (toll a c) 9)")
    (folder / "d.pddl").write_text(DOMAIN)
    (folder / "p.pddl").write_text(longer.replace("METRIC", "(:metric minimize (spent))"))
    model = read_model(folder / "d.pddl")
    return model, read_problem(folder / "p.pddl", model.vocabulary)


def task(name: str, folder: Path) -> tuple[NumericModel, NumericProblem]:
    if name == "trip":
        return trip(folder)
    if name == "rooms":
        return rooms(3)
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    goal = Goal(comparisons=(Comparison(linear(-9, ore=1), "="),))
    return model, replace(problem, goal=goal)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trip", "rooms", "mine"])
def test_the_optimal_configuration_of_enhsp_finds_the_same_cost(name: str, tmp_path: Path) -> None:
    model, problem = task(name, tmp_path)
    domain, file, plan = tmp_path / "domain.pddl", tmp_path / "problem.pddl", tmp_path / "plan"
    write_domain(model, domain)
    write_problem(problem, model.vocabulary, file)
    options = ["-o", domain, "-f", file, "-sp", plan, "-npm", "-planner", "opt-hrmax"]
    subprocess.run(
        [*java_command(), *map(str, options)], cwd=tmp_path, check=False, capture_output=True
    )
    result = astar_plan(model, problem)
    assert result.status == "optimal"
    assert plan_cost(model, problem, read_plan(plan)) == result.cost
