"""Numeric planning by state-space search: breadth-first (shortest plans, proofs) and greedy
best-first (large problems).

The greedy search also jumps: an action that the relaxed plan repeats is repeated as often at once
(macro-actions after Scala et al., JAIR 2020). It is lazy: a state waits with the estimate of its
parent and is estimated when it is taken out of one of the `OpenLists`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.planners.numeric.search.heuristic import RelaxedPlanHeuristic
from worldplan.planners.numeric.search.jumps import Jumps
from worldplan.planners.numeric.search.open_lists import Novelty, OpenLists
from worldplan.planners.numeric.search.shortening import Parents, path_to, shorten
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits, check_limits
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import is_valid

METHODS = ("auto", "breadth_first", "greedy")
# in "auto", breadth-first search gets the smaller of these seconds and this share of the time
FIRST_SECONDS, FIRST_SHARE = 1.0, 0.1
SHORTENING_SECONDS = 5.0  # at most, within the time limit

Progress = Callable[[int, float], None]  # states expanded, least estimate so far


@dataclass
class _Run:
    """The counts of a search, kept where reaching a limit does not lose them.

    Args:
        limits: limits of time and memory.
        progress: called as in `search_plan`.
        used: the running phase or method.
        expanded: states expanded.
        evaluated: states evaluated by the heuristic.
        best: least estimate so far.
        detail: entries of `PlanResult.detail`.
    """

    limits: SearchLimits
    progress: Progress | None = None
    used: str = "grounding"
    expanded: int = 0
    evaluated: int = 0
    best: float = math.inf
    detail: dict[str, Any] = field(default_factory=dict)

    def lower(self, estimate: float) -> bool:
        """Record an estimate; returns whether it is the least so far."""
        if estimate >= self.best:
            return False
        self.best = estimate
        if self.progress is not None:
            self.progress(self.expanded, estimate)
        return True

    def result(self, plan: tuple[tuple[str, ...], ...] | None, status: str) -> PlanResult:
        """The result with these counts."""
        detail = {**self.detail, "evaluated": self.evaluated}
        return PlanResult(
            plan, status, f"search ({self.used})", self.limits.spent(), self.expanded, detail
        )


def search_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    method: str = "auto",
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    progress: Progress | None = None,
    between: Callable[[], float] = lambda: 0.0,
) -> PlanResult:
    """A plan by search, checked exactly.

    Args:
        model: the actions, given or learned.
        problem: objects, initial state and goal.
        method: "breadth_first" (fewest actions; an exhausted state space proves that there is no
            plan), "greedy", or "auto": a short breadth-first search and, if it does not finish, the
            greedy search.
        time_limit: seconds in all, grounding included.
        memory_limit_mb: resident memory of the whole process.
        progress: called with the number of expanded states and the least estimate, whenever the
            latter drops.
        between: called about ten times a second, as in `SearchLimits`; it may pause the search.

    Returns:
        A result with status "optimal" (breadth-first), "satisficing", "unsolvable", "time_limit" or
        "memory_limit". `detail` has the size of the ground task, the seconds of grounding and, if
        the greedy search ran, the plan length before shortening (`found_length`).

    Raises:
        ConfigError: an unknown method.
        DatasetError: the problem does not fit the model.
        AssertionError: the plan fails the exact check, which is a bug of the search.
    """
    check_limits(model, problem, time_limit, memory_limit_mb)
    if method not in METHODS:
        near = did_you_mean(method, METHODS)
        raise ConfigError(f"search method '{method}' is unknown{near}: use {', '.join(METHODS)}")
    run = _Run(SearchLimits(time_limit, memory_limit_mb, between), progress)
    try:
        task = GroundTask(model, problem, run.limits.check)
        run.detail.update(task.sizes, grounding_seconds=run.limits.spent())
        if task.unreachable:
            run.detail["reason"] = task.unreachable
            return run.result(None, "unsolvable")
        plan = _find(task, run, method, time_limit)
    except LimitReached as limit:
        return run.result(None, limit.status)
    if plan is None:
        return run.result(None, "unsolvable")
    calls = task.calls(plan)
    if not is_valid(model, problem, calls):
        raise AssertionError(
            "search: its plan fails the exact check, a bug of the planner; please report it: "
            f"{calls}"
        )
    return run.result(calls, "optimal" if run.used == "breadth_first" else "satisficing")


def _find(task: GroundTask, run: _Run, method: str, time_limit: float) -> list[int] | None:
    """Numbers of the actions of a plan; None if there is no plan.

    Raises:
        LimitReached: a limit of time or memory.
    """
    if method != "greedy":
        run.used = "breadth_first"
        try:
            return _breadth_first(
                task,
                run,
                run.limits
                if method == "breadth_first"
                else run.limits.part(min(FIRST_SECONDS, FIRST_SHARE * time_limit)),
            )
        except LimitReached as limit:
            if method == "breadth_first" or limit.status != "time_limit":
                raise
    run.used = "greedy"
    plan = _greedy(task, run)
    if plan is None:
        return None
    run.detail["found_length"] = len(plan)
    return shorten(task, plan, run.limits.part(SHORTENING_SECONDS))


def _breadth_first(task: GroundTask, run: _Run, limits: SearchLimits) -> list[int] | None:
    """Numbers of the actions of a shortest plan; None if there is no plan.

    Raises:
        LimitReached: a limit of time or memory.
    """
    parents: Parents = {task.initial: None}
    if task.is_goal(task.initial):
        return []
    frontier = deque([task.initial])
    while frontier:
        limits.check()
        node = frontier.popleft()
        run.expanded += 1
        for number, child in task.successors(node):
            if child not in parents:
                parents[child] = (node, number, 1)
                if task.is_goal(child):
                    return path_to(child, parents)
                frontier.append(child)
    return None


def _greedy(task: GroundTask, run: _Run) -> list[int] | None:
    """Numbers of the actions of a plan; None if there is no plan (all states except dead ends were
    expanded).

    Raises:
        LimitReached: a limit of time or memory.
    """
    heuristic = RelaxedPlanHeuristic(task, run.limits.check)
    parents: Parents = {}
    lists = OpenLists(heuristic.count, task.initial)
    novelty, jump = Novelty(), Jumps(task, run.limits.check)
    while (step := lists.pop()) is not None:
        run.limits.check()
        parent, number, times, node = step
        if node in parents:
            continue
        parents[node] = (parent, number, times) if number >= 0 else None
        if task.is_goal(node):
            run.lower(0.0)
            return path_to(node, parents)
        estimates = heuristic.estimates(node)
        run.evaluated += 1
        if estimates[0].cost == math.inf:
            continue
        if lists.record([estimate.cost for estimate in estimates]):
            run.lower(min(lists.best))
        run.expanded += 1
        is_novel = novelty.is_new(node, estimates[0].cost)
        steps = [
            (number, 1, child) for number, child in task.successors(node) if child not in parents
        ]
        if is_novel:
            for number, times, child in steps:
                lists.push_novel(estimates[0].cost, (node, number, times, child))
        for kind, estimate in enumerate(estimates):
            for number, times, child in steps:
                lists.push(
                    kind, estimate.cost, (node, number, times, child), number in estimate.preferred
                )
            for number, most in estimate.preferred.items():
                times, child = jump(number, most, node)
                if times > 1 and child not in parents:
                    # what the relaxed plan promises; its own estimate counts once it is taken out
                    promised = estimate.cost - times + 1
                    lists.push(kind, promised, (node, number, times, child), True)
    return None
