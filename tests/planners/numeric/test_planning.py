"""A user's numeric planner: one function or class in a package of the user's, found by address,
decorator or entry point, with its plans checked exactly.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.packages import write_package
from tests.places import ROOT
from worldplan.cli import main
from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric import PLANNERS, solve
from worldplan.planners.numeric.engines.catalogue import ENGINES
from worldplan.planners.numeric.planning import search_or_enhsp
from worldplan.world_models.numeric import is_valid
from worldplan.world_models.pddl import read_model, read_problem

DOMAIN = """
(define (domain line) (:requirements :typing :fluents) (:functions (x))
  (:action up :parameters () :precondition (<= (x) 2) :effect (increase (x) 1)))
"""
PROBLEM = "(define (problem three) (:domain line) (:init (= (x) 0)) (:goal (>= (x) 3)))"
MINE = '''
from worldplan.planners.numeric import PLANNERS, PlanResult

calls = []


@PLANNERS.register("three-times")
def three_times(model, problem, *, time_limit, memory_limit_mb, repeat=3):
    calls.append((time_limit, memory_limit_mb))
    return PlanResult((("up",),) * repeat, "satisficing", "three times", 0.5)


class Careless:
    """A plan that is too short: its goal is not reached."""

    def __call__(self, model, problem, *, time_limit, memory_limit_mb):
        return PlanResult((("up",),), "optimal", "careless", 0.5)


class Unfinished:
    def __init__(self, depth): ...


class Failing:
    def __init__(self):
        raise OSError("no licence")


def misnamed(model, problem, *, time_limit, memory_limit_mb):
    return PlanResult(None, "solved", "misnamed", 0.5)


def a_list(model, problem, *, time_limit, memory_limit_mb):
    return [("up",)]


NUMBER = 3
'''
ENTRY = "[worldplan.numeric_planners]\nannounced = my_numeric_planners.mine:three_times\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a domain and a problem; a user's package is on the path."""
    (tmp_path / "domain.pddl").write_text(DOMAIN)
    (tmp_path / "problem.pddl").write_text(PROBLEM)
    write_package(tmp_path / "site", monkeypatch, "my_numeric_planners", mine=MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PLANNERS, "_members", dict(PLANNERS._members))
    return tmp_path


def run(planner: str, code: int, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The answer of `worldplan actions solve` with a planner."""
    command = f"actions solve domain.pddl problem.pddl --json --time-limit 7 --planner {planner}"
    assert main(command.split()) == code
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_by_address(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = run("my_numeric_planners.mine:three_times", 0, capsys)
    assert (answer["status"], answer["planner"]) == ("satisficing", "three times")
    assert answer["plan"] == [["up"]] * 3
    assert sys.modules["my_numeric_planners.mine"].calls == [(7, 4096)]


def test_by_decorator(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import my_numeric_planners.mine  # type: ignore[import-not-found]  # made by the fixture

    assert list(PLANNERS) == ["auto", "search", "astar", "milp", "enhsp", *ENGINES, "three-times"]
    assert run("three-times", 0, capsys)["planner"] == "three times"
    assert my_numeric_planners.mine.calls == [(7, 4096)]


def test_by_entry_point(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    information = folder / "site" / "mine-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY)
    assert "announced" in PLANNERS
    assert run("announced", 0, capsys)["planner"] == "three times"


def test_its_wrong_plan_is_rejected(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = run("my_numeric_planners.mine:Careless", 1, capsys)
    assert (answer["status"], answer["plan"]) == ("no_plan_found", None)
    assert "the plan fails the exact check: the goal is not reached" in str(answer["notes"])


def test_in_python(folder: Path) -> None:
    model = read_model("domain.pddl")
    problem = read_problem("problem.pddl", model.vocabulary)
    address = "my_numeric_planners.mine:three_times"
    result = solve(model, problem, address, memory_limit_mb=99)
    assert is_valid(model, problem, result.plan or ())
    assert result.detail["tried"] == [
        {"planner": "three times", "status": "satisficing", "seconds": 0.5}
    ]
    assert solve(model, problem, address, repeat=2).plan is None
    assert solve(model, problem, search_or_enhsp).plan == (("up",),) * 3


def test_in_an_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data").mkdir()
    states = "".join(f"(operator: (up)) (:state (= (x) {x}))\n" for x in (1, 2, 3))
    for name in ("a", "b"):
        (folder / "data" / f"{name}.trajectory").write_text(f"((:init (= (x) 0))\n{states})")
        shutil.copy("problem.pddl", folder / "data" / f"{name}.pddl")
    command = "actions evaluate data --domain domain.pddl --folds 2 --counts 1 --jobs 1 --json"
    assert main([*command.split(), "--planner", "my_numeric_planners.mine:three_times"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["solved_mean"], row["false_plans"], row["satisficing"]) == (1, 0, 2)
    assert main([*command.split(), "--planner", "my_numeric_planners.mine:missing"]) == 2
    assert "has no attribute 'missing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("planner", "message"),
    [
        ("no_such_module:plan", "No module named 'no_such_module'"),
        ("my_numeric_planners.mine:nothing", "has no attribute 'nothing'"),
        ("my_numeric_planners.mine:Unfinished", "a class must be made without arguments"),
        ("my_numeric_planners.mine:Failing", "mine:Failing': OSError: no licence ("),
        ("my_numeric_planners.mine:misnamed", "ValueError: PlanResult: status 'solved' does not"),
        ("my_numeric_planners.mine:a_list", "returned a list: return a PlanResult"),
        ("my_numeric_planners.mine:NUMBER", "a int cannot be called"),
        ("guess", "invalid choice: 'guess' (choose from auto, search, astar, milp, enhsp"),
    ],
)
def test_mistakes_are_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], planner: str, message: str
) -> None:
    assert main(["actions", "solve", "domain.pddl", "problem.pddl", "--planner", planner]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1 and not printed.out


def test_unknown_settings_are_named() -> None:
    model = read_model(ROOT / "configs/actions/delivery/domain.pddl")
    problem = read_problem(ROOT / "configs/actions/delivery/problem.pddl", model.vocabulary)
    with pytest.raises(ConfigError, match="planner 'milp'.*unexpected keyword argument 'method'"):
        solve(model, problem, "milp", method="greedy")
