"""The portfolio: valid plans of any engine win, whatever the other engines do, and no process is
left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.places import ROOT
from tests.planners.numeric.engines.fake_engines import engine
from worldplan.milp.errors import ConfigError, MissingExtra
from worldplan.planners.numeric import portfolio
from worldplan.planners.numeric.engines.catalogue import ENGINES, Engine, engine_of
from worldplan.planners.numeric.portfolio import engines_files, engines_plan, portfolio_plan
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid

X = ("x",)
MODEL = NumericModel(
    Vocabulary("line", {}, {}, {}, {"x": ()}, {"up": ()}),
    {"up": NumericAction("up", effects=((X, Linear(((X, 1),), 1)),))},
)
PROBLEM = NumericProblem(
    "three",
    {},
    State(frozenset(), {X: 0}),
    Goal(comparisons=(Comparison(Linear(((X, 1),), -3), "="),)),
)
PLAN = (("up",),) * 3


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Gives engines names that the portfolio finds; returns the names."""

    def add(*engines: Engine) -> list[str]:
        for member in engines:
            monkeypatch.setitem(ENGINES, member.name, member)
        return [member.name for member in engines]

    return add


@pytest.fixture
def without_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The own search gives up at once."""

    def gives_up(*_: Any, **__: Any) -> PlanResult:
        return PlanResult(None, "memory_limit", "search", 0.0)

    monkeypatch.setattr(portfolio, "search_plan", gives_up)


@pytest.fixture(autouse=True)
def none_left() -> Any:
    """No process of a test outlives it."""
    before = {process.pid for process in psutil.process_iter()}
    yield
    end = time.monotonic() + 3
    while time.monotonic() < end:
        left = psutil.Process().children(recursive=True)
        if not [child for child in left if child.pid not in before]:
            break
        time.sleep(0.05)
    assert not [child.cmdline() for child in left if child.pid not in before]


def reasons(result: PlanResult) -> dict[str, tuple[str, str]]:
    """Status and reason of each planner that was tried."""
    return {
        entry["planner"]: (entry["status"], entry.get("reason", ""))
        for entry in result.detail["tried"]
    }


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_rest_goes_on_whatever_one_engine_does(
    known: Callable[..., list[str]], without_search: None, at_once: int
) -> None:
    bad = ["crash", "complains", "garbage", "wrong", "silent", "unsolvable", "chatty", "hangs"]
    names = known(*(engine(name, first_slice=3.0) for name in bad), engine("right", delay=1.0))
    result = portfolio_plan(MODEL, PROBLEM, engines=names, at_once=at_once, time_limit=60)
    assert (result.plan, result.status, result.planner) == (PLAN, "satisficing", "right")
    told = reasons(result)
    assert told["search"] == ("memory_limit", "")
    assert told["crash"] == ("failed", "ended by signal 6")
    assert told["complains"] == ("failed", "exit status 3: Fatal error: no such requirement")
    assert told["garbage"][0] == "failed" and "its plan cannot be read" in told["garbage"][1]
    assert told["wrong"][0] == "rejected"
    assert "its plan of 1 actions fails the exact check" in told["wrong"][1]
    assert told["silent"] == told["unsolvable"] == ("no_plan_found", "")
    assert told["hangs"] == ("time_limit", "")
    assert told["chatty"][0] in ("time_limit", "failed")
    assert all("\n" not in reason for _, reason in told.values())


def test_a_wrong_plan_is_followed_by_the_next_attempt(
    known: Callable[..., list[str]], without_search: None
) -> None:
    names = known(engine("wrong", "timed"))
    result = portfolio_plan(MODEL, PROBLEM, engines=names, time_limit=20)
    assert result.plan == PLAN
    assert reasons(result)["wrong-timed"] == ("satisficing", "")


def test_memory_is_limited(known: Callable[..., list[str]]) -> None:
    names = known(engine("greedy"))
    started = time.monotonic()
    result = engines_plan(MODEL, PROBLEM, engines=names, time_limit=30, memory_limit_mb=200)
    assert (result.plan, result.status) == (None, "memory_limit")
    assert result.detail["tried"][0]["memory_mb"] > 200
    assert time.monotonic() - started < 20


def test_time_is_limited_and_grandchildren_end(known: Callable[..., list[str]]) -> None:
    names = known(engine("hangs"), engine("parent"))
    started = time.monotonic()
    result = engines_plan(MODEL, PROBLEM, engines=names, at_once=2, time_limit=1.5)
    assert (result.plan, result.status) == (None, "time_limit")
    assert time.monotonic() - started < 6


def test_a_paused_engine_resumes_where_it_was(known: Callable[..., list[str]]) -> None:
    names = known(engine("slow", first_slice=0.2), engine("hangs", first_slice=0.2))
    result = engines_plan(MODEL, PROBLEM, engines=names, time_limit=30)
    assert result.plan == PLAN
    spent = {entry["planner"]: entry["seconds"] for entry in result.detail["tried"]}
    assert spent["hangs"] > 0.15, "both had turns"


def test_the_search_ends_when_an_engine_has_a_plan(
    known: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: Any, between: Callable[[], float], **__: Any) -> PlanResult:
        while True:
            between()

    monkeypatch.setattr(portfolio, "search_plan", endless)
    result = portfolio_plan(MODEL, PROBLEM, engines=known(engine("right")), time_limit=30)
    assert result.plan == PLAN
    assert list(reasons(result)) == ["right"]


def test_a_slice_does_not_outlast_the_time(
    known: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search waits for an engine with a slice of a minute, and the time limit is 2 s."""

    def patient(*_: Any, between: Callable[[], float], time_limit: float, **__: Any) -> PlanResult:
        end = time.monotonic() + time_limit
        while time.monotonic() < end:
            between()
        return PlanResult(None, "time_limit", "search", time_limit)

    monkeypatch.setattr(portfolio, "search_plan", patient)
    started = time.monotonic()
    names = known(engine("hangs", first_slice=60.0))
    result = portfolio_plan(MODEL, PROBLEM, engines=names, time_limit=2.5)
    assert result.status == "time_limit"
    assert time.monotonic() - started < 8


def test_an_easy_problem_starts_no_engine(known: Callable[..., list[str]]) -> None:
    result = portfolio_plan(MODEL, PROBLEM, engines=known(engine("hangs")), time_limit=30)
    assert (result.plan, result.status) == (PLAN, "optimal")
    assert [entry["planner"] for entry in result.detail["tried"]] == [result.planner]


def test_a_long_plan_of_an_engine_is_shortened(
    known: Callable[..., list[str]], without_search: None
) -> None:
    down = NumericAction("down", effects=((X, Linear(((X, 1),), -1)),))
    words = Vocabulary("line", {}, {}, {}, {"x": ()}, {"up": (), "down": ()})
    model = NumericModel(words, {"up": MODEL.actions["up"], "down": down})
    text = "(down)\n(up)\n" * 5 + "(up)\n" * 3
    script = [sys.executable, "-c", f"open('plan.txt', 'w').write({text!r})"]
    names = known(Engine("long", (), lambda *_: iter([script])))
    result = portfolio_plan(model, PROBLEM, engines=names, time_limit=30)
    assert result.plan == PLAN and is_valid(model, PROBLEM, PLAN)
    assert result.detail["found_length"] == 13


LAMPS = """(define (domain lamps) (:predicates (on ?x) (broken ?x)) (:functions (work))
(:action up :parameters (?x) :precondition (not (on ?x))
 :effect (and (when (not (broken ?x)) (on ?x)) (increase (work) 3))))
"""
TWO = """(define (problem p) (:domain lamps) (:objects a b) (:init (= (work) 1))
(:goal GOAL) (:metric maximize (work)))
"""


@pytest.mark.parametrize(
    ("goal", "plan", "cost"),
    [("(and (on a) (on b))", "(up a)\n(up b)\n", 7), ("(not (on a))", "", 1)],
)
def test_the_metric_of_files_is_valued_and_not_called_proven(
    known: Callable[..., list[str]], tmp_path: Path, goal: str, plan: str, cost: int
) -> None:
    pytest.importorskip("unified_planning")
    (tmp_path / "d.pddl").write_text(LAMPS)
    (tmp_path / "p.pddl").write_text(TWO.replace("GOAL", goal))
    script = [sys.executable, "-c", f"open('plan.txt', 'w').write({plan!r})"]
    names = known(Engine("lamps", (), lambda *_: iter([script])))
    result = engines_files(tmp_path / "d.pddl", tmp_path / "p.pddl", engines=names, time_limit=20)
    assert result.plan is not None and len(result.plan) == len(plan.splitlines())
    assert (result.status, result.cost, result.bound) == ("satisficing", cost, None)
    assert result.detail["sense"] == "maximize"


def test_what_is_not_installed_or_known() -> None:
    missing = Engine("missing", ("no_such_package_here",), lambda *_: iter(()))
    assert not missing.installed
    with pytest.raises(MissingExtra, match=r"missing needs the packages no_such_package_here"):
        missing.require()
    with pytest.raises(ConfigError, match="engine 'lgp' is unknown.*lpg.*up:NAME"):
        portfolio_plan(MODEL, PROBLEM, engines=["lgp"])
    assert engine_of("up:fast-downward").name == "up:fast-downward"
    with pytest.raises(ConfigError, match="engines? 'up:'"):
        engine_of("up:")
    with pytest.raises(ConfigError, match="at_once"):
        portfolio_plan(MODEL, PROBLEM, at_once=0)
    with pytest.raises(ConfigError, match="engines is empty: name at least one of .*lpg"):
        engines_plan(MODEL, PROBLEM, engines=[])


@pytest.mark.parametrize("plan", [portfolio_plan, partial(engines_plan, engines=["tamer"])])
def test_wrong_arguments_are_named_by_planners_that_are_called_directly(
    plan: Callable[..., PlanResult],
) -> None:
    with pytest.raises(ConfigError, match="time_limit"):
        plan(MODEL, PROBLEM, time_limit=-1)
    with pytest.raises(ConfigError, match="memory_limit_mb"):
        plan(MODEL, PROBLEM, memory_limit_mb=0)
    with pytest.raises(ConfigError, match="model"):
        plan(PROBLEM, PROBLEM)


def test_wrong_limits_of_files_are_named() -> None:
    with pytest.raises(ConfigError, match="time_limit"):
        engines_files("d.pddl", "p.pddl", time_limit=-1)
    with pytest.raises(ConfigError, match="memory_limit_mb"):
        engines_files("d.pddl", "p.pddl", memory_limit_mb=0)


def test_a_missing_engine_is_named_and_the_rest_goes_on(
    known: Callable[..., list[str]], without_search: None
) -> None:
    missing = Engine("missing", ("no_such_package_here",), lambda *_: iter(()))
    names = known(missing, engine("right"))
    result = portfolio_plan(MODEL, PROBLEM, engines=names, time_limit=20)
    assert result.plan == PLAN
    assert reasons(result)["missing"] == ("failed", "it is not installed")


def test_a_command_that_cannot_be_started(known: Callable[..., list[str]]) -> None:
    absent = Engine("absent", (), lambda *_: iter([["/no/such/program"]]))
    result = engines_plan(MODEL, PROBLEM, engines=known(absent), time_limit=20)
    status, reason = reasons(result)["absent"]
    assert status == "failed" and "/no/such/program" in reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_when_the_caller_dies(number: signal.Signals) -> None:
    script = textwrap.dedent("""
        from tests.planners.numeric.engines.test_portfolio import MODEL, PROBLEM
        from tests.planners.numeric.engines.fake_engines import engine
        from worldplan.planners.numeric.engines.catalogue import ENGINES
        from worldplan.planners.numeric.portfolio import engines_plan
        for name in ("hangs", "parent"):
            ENGINES[name] = engine(name, first_slice=0.3)
        engines_plan(MODEL, PROBLEM, engines=["hangs", "parent"], time_limit=60)
    """)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL
    ) as caller:
        family: list[psutil.Process] = []
        end = time.monotonic() + 30
        while len(family) < 5 and time.monotonic() < end:  # 2 keepers, 2 engines, 1 grandchild
            time.sleep(0.1)
            family = psutil.Process(caller.pid).children(recursive=True)
        assert len(family) >= 5
        caller.send_signal(number)
        caller.wait(10)
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert not alive and len(gone) == len(family)
