"""Numeric planning by search in the state space: breadth first (shortest plans, proofs) and greedy
best first (large problems).

The greedy search is lazy: a state waits under its parent's estimate and is estimated when it is
taken out. Two queues take turns, one with all states and one with those that a preferred action
leads to; the latter gets more turns whenever the estimate drops (alternation and boosting after
Richter and Helmert, ICAPS 2009).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.search.heuristic import RelaxedPlanHeuristic
from worldplan.planners.numeric.search.shortening import path_to, shorten
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask, Node
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem, is_valid

METHODS = ("auto", "breadth_first", "greedy")
BOOST = 1000  # turns the queue of preferred actions gets for a new least estimate
FIRST_SECONDS, FIRST_SHARE = (
    1.0,
    0.1,
)  # breadth first in "auto": this long, or this share of the time
SHORTENING_SECONDS = 5.0  # at most, within the limit

Progress = Callable[[int, float], None]  # states expanded, least estimate so far


@dataclass
class _Run:
    """What a search counts, kept where a limit cannot lose it."""

    limits: SearchLimits
    progress: Progress | None = None
    used: str = "grounding"  # what is running
    expanded: int = 0
    evaluated: int = 0
    best: float = math.inf
    detail: dict[str, Any] = field(default_factory=dict)

    def lower(self, estimate: float) -> bool:
        """Note an estimate; True if it is the least so far."""
        if estimate >= self.best:
            return False
        self.best = estimate
        if self.progress is not None:
            self.progress(self.expanded, estimate)
        return True

    def result(self, plan: tuple[tuple[str, ...], ...] | None, status: str) -> PlanResult:
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
) -> PlanResult:
    """A plan by search, checked exactly.

    Args:
        model, problem: where to plan; the model may be given or learned.
        method: "breadth_first" (fewest actions; an exhausted space proves that there is no plan),
            "greedy", or "auto": a short breadth-first search and, if that ends without an answer,
            the greedy one.
        time_limit: seconds in all, grounding included.
        memory_limit_mb: resident memory of the whole process.
        progress: told the states expanded and the least estimate whenever that drops.

    Raises:
        ConfigError: an unknown method.
        DatasetError: the problem names what the model or it itself does not declare.
    """
    if method not in METHODS:
        raise ConfigError(f"search method '{method}' is unknown: use {', '.join(METHODS)}")
    run = _Run(SearchLimits(time_limit, memory_limit_mb), progress)
    try:
        task = GroundTask(model, problem, run.limits.check)
        run.detail.update(
            ground_actions=len(task.actions),
            atoms=len(task.atoms),
            fluents=len(task.fluents),
            grounding_seconds=run.limits.spent(),
        )
        if task.unreachable:
            run.detail["reason"] = task.unreachable
            return run.result(None, "unsolvable")
        plan = _find(task, run, method, time_limit)
    except LimitReached as limit:
        return run.result(None, limit.status)
    if plan is None:
        return run.result(None, "unsolvable")
    calls = tuple(task.actions[number].name for number in plan)
    if not is_valid(model, problem, calls):
        raise AssertionError(
            f"search found a plan that fails its own check: a fault of the planner, please report it: {calls}"
        )
    return run.result(calls, "optimal" if run.used == "breadth_first" else "satisficing")


def _find(task: GroundTask, run: _Run, method: str, time_limit: float) -> list[int] | None:
    """Numbers of a plan's actions; None: there is no plan. Raises LimitReached."""
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
    """Numbers of the actions of a shortest plan; None: there is no plan. Raises LimitReached."""
    came: dict[Node, tuple[Node, int] | None] = {task.initial: None}
    if task.is_goal(task.initial):
        return []
    waiting = deque([task.initial])
    while waiting:
        limits.check()
        node = waiting.popleft()
        run.expanded += 1
        for number, child in task.successors(node):
            if child not in came:
                came[child] = (node, number)
                if task.is_goal(child):
                    return path_to(child, came)
                waiting.append(child)
    return None


Waiting = tuple[
    float, int, Node, int, Node
]  # the parent's estimate, order of making, parent, action, state


def _greedy(task: GroundTask, run: _Run) -> list[int] | None:
    """Numbers of the actions of some plan; None: there is no plan (all states but dead ends were
    seen). Raises LimitReached.
    """
    heuristic = RelaxedPlanHeuristic(task, run.limits.check)
    came: dict[Node, tuple[Node, int] | None] = {}
    everything: list[Waiting] = [(0.0, 0, task.initial, -1, task.initial)]
    preferred: list[Waiting] = []
    turns, made = [0, 0], 0
    while everything or preferred:
        run.limits.check()
        queue = 1 if preferred and (not everything or turns[1] <= turns[0]) else 0
        turns[queue] += 1
        _, _, parent, number, node = heapq.heappop(preferred if queue else everything)
        if node in came:
            continue
        came[node] = (parent, number) if number >= 0 else None
        if task.is_goal(node):
            return path_to(node, came)
        estimate = heuristic(node)
        run.evaluated += 1
        if estimate.cost == math.inf:
            continue
        if run.lower(estimate.cost):
            turns[1] -= BOOST
        run.expanded += 1
        for action, child in task.successors(node):
            if child not in came:
                made += 1
                entry = (estimate.cost, made, node, action, child)
                heapq.heappush(everything, entry)
                if action in estimate.preferred:
                    heapq.heappush(preferred, entry)
    return None
