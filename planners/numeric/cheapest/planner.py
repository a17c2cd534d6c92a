"""Cheapest plans by A*, with a proven bound: first any plan, then better ones, then the proof."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.cheapest.astar import CheapestSearch, NegativeCycle
from worldplan.planners.numeric.cheapest.lower_bounds import LowerBounds
from worldplan.planners.numeric.cheapest.symmetry import symmetry_key
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits, check_limits
from worldplan.planners.numeric.task.quality import check_metric
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import plan_cost, run_plan

# shares of the time: for a first plan by `search_plan`, and for A* with each weight above 1
FIRST_SHARE = 0.5
WEIGHTS, WEIGHT_SHARE = (4,), 0.2


class UnboundedMetric(ConfigError):
    """A metric that plans can improve without end."""


def astar_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan with the best metric, which is proven; at a limit, the best plan so far and a bound.

    Without a metric, the cheapest plan is the one with the fewest actions.

    Args:
        model: the actions, given or learned.
        problem: objects, initial state, goal and metric.
        time_limit: seconds in all, grounding included.
        memory_limit_mb: resident memory of the whole process.

    Returns:
        A result with status "optimal", "unsolvable", "satisficing" (a limit was reached: the metric
        of the plan is `cost`, and no plan is better than `bound`), or a limit without a plan, whose
        `bound` holds all the same. `detail` has the size of the ground task, the bound of the
        initial state as `first_bound`, evaluated states, and the objects that are interchangeable.

    Raises:
        DatasetError: the problem does not fit the model, or the metric has no value.
        UnboundedMetric: plans can improve the metric without end, which is proven.
    """
    check_limits(model, problem, time_limit, memory_limit_mb)
    check_metric(problem)
    return _Run(model, problem, SearchLimits(time_limit, memory_limit_mb), time_limit).result()


def improved(
    model: NumericModel,
    problem: NumericProblem,
    result: PlanResult,
    *,
    time_limit: float,
    memory_limit_mb: int,
) -> PlanResult:
    """The result of another planner with a plan that is no worse, and a proven bound, by A*.

    Args:
        model: the actions.
        problem: with a metric.
        result: with a valid plan and its cost.
        time_limit: seconds.
        memory_limit_mb: resident memory of the whole process.

    Returns:
        The result, with the plan, cost, bound and status of A*, whose seconds and expanded states
        are added. If nothing can be proven about the metric, `detail["unprovable"]`
        says why.
    """
    limits = SearchLimits(time_limit, memory_limit_mb)
    run = _Run(model, problem, limits, time_limit, known=result.plan)
    detail = {**result.detail}
    try:
        better = run.result()
    except ConfigError as error:  # no best value, or a metric that is not linear
        detail["unprovable"] = str(error)
        return replace(result, seconds=result.seconds + limits.spent(), detail=detail)
    detail["improved"] = {**better.detail, "from": result.cost, "seconds": better.seconds}
    return replace(
        result,
        plan=result.plan if better.plan is None else better.plan,
        status="optimal" if better.status == "optimal" else result.status,
        planner=f"{result.planner}, astar",
        seconds=result.seconds + better.seconds,
        expanded=result.expanded + better.expanded,
        detail=detail,
        cost=result.cost if better.cost is None else better.cost,
        bound=better.bound,
    )


@dataclass
class _Run:
    """One call of `astar_plan`."""

    model: NumericModel
    problem: NumericProblem
    limits: SearchLimits
    time_limit: float
    known: tuple[Ground, ...] | None = None  # a valid plan
    search: CheapestSearch | None = None
    start: Rational = 0  # the signed metric of the initial state
    detail: dict[str, Any] = field(default_factory=dict)

    def result(self) -> PlanResult:
        """The result of the call."""
        status = "optimal"
        try:
            status = self._run()
        except LimitReached as limit:
            status = limit.status
        return self._made(status)

    def _run(self) -> str:
        """Search; returns the status of a search that ended.

        Raises:
            LimitReached: a limit of time or memory.
            UnboundedMetric: the metric has no best value.
        """
        task = GroundTask(self.model, self.problem, self.limits.check, with_costs=True)
        assert task.metric is not None
        self.start = task.metric.start
        self.detail.update(task.sizes, grounding_seconds=self.limits.spent())
        if task.unreachable:
            self.detail["reason"] = task.unreachable
            return "unsolvable"
        bounds = LowerBounds(task, self.limits.check)
        key, self.detail["interchangeable"] = symmetry_key(task, self.model.vocabulary)
        search = self.search = CheapestSearch(task, bounds, key)
        still = bounds.still_to_pay(task.initial)
        if still == math.inf:
            return "unsolvable"
        search.bound = bounds.rest - task.metric.start + still
        self.detail["first_bound"] = self._metric(search.bound)
        if not self._first_plan(task):
            return "unsolvable"
        for weight in WEIGHTS:
            part = self.limits.part(WEIGHT_SHARE * self.time_limit)
            try:
                self._search(search, weight, part)
            except LimitReached as limit:
                if limit.status != "time_limit":
                    raise
                self.limits.check()
            if search.bound >= search.best_cost:
                break
        else:
            self._search(search, 1, self.limits)
        return "unsolvable" if search.best is None else "optimal"

    def _first_plan(self, task: GroundTask) -> bool:
        """Take the known plan, or one of `search_plan`, as the best one so far.

        Returns:
            False if `search_plan` has proven that there is no plan. The states that it visits may
            be finitely many where those of this task, which differ in costs, are not.

        Raises:
            LimitReached: a limit of time or memory.
        """
        assert self.search is not None
        plan = self.known
        if plan is None:
            first = search_plan(
                self.model,
                replace(self.problem, metric=None),
                time_limit=FIRST_SHARE * self.time_limit,
                memory_limit_mb=int(self.limits.memory_mb),
            )
            if first.status == "unsolvable":
                return False
            plan = first.plan
        self.limits.check()
        if plan is not None:
            # an action that this task leaves out changes nothing that counts, and costs nothing
            # less
            self.search.know(task.numbers(plan))
        return True

    def _metric(self, added: Rational | float) -> Rational | None:
        """The metric for an added cost; None if it is infinite."""
        if isinstance(added, float):
            return None
        sign = 1 if self.problem.metric is None else self.problem.metric.sign
        return exact(sign * (self.start + added))

    def _made(self, status: str) -> PlanResult:
        """The result for a status.

        Raises:
            AssertionError: the cost of the plan is not what the search added up, a bug of it.
        """
        search, seconds = self.search, self.limits.spent()
        if search is None:
            return PlanResult(None, status, "astar", seconds, detail=self.detail)
        plan: tuple[Ground, ...] | None = None
        if search.best is not None:
            plan = search.task.calls(search.best)
            if search.bound >= search.best_cost:
                status = "optimal"
            elif status != "optimal":
                self.detail["limit"], status = status, "satisficing"
        self.detail["evaluated"] = search.bounds.evaluated
        bound = self._metric(search.bound)
        cost = None
        if plan is not None:
            cost = plan_cost(self.model, self.problem, plan)
            if cost != self._metric(search.best_cost):
                raise AssertionError(
                    f"astar: the cost {cost} of its plan is not what it added up, a bug of the "
                    f"planner; please report it: {plan}"
                )
        elif status == "unsolvable":
            bound = None
        return PlanResult(
            plan, status, "astar", seconds, search.expanded, self.detail, cost=cost, bound=bound
        )

    def _search(self, search: CheapestSearch, weight: int, limits: SearchLimits) -> None:
        """Run the search, without the states of negative cycles from which the goal is unreachable.

        Raises:
            LimitReached: a limit of time or memory.
            UnboundedMetric: the goal is reachable from a negative cycle.
        """
        while True:
            try:
                return search.run(weight, limits)
            except NegativeCycle as cycle:
                self._decide(search, cycle)

    def _decide(self, search: CheapestSearch, found: NegativeCycle) -> None:
        """Decide whether the goal is reachable from a negative cycle; if not, leave it out.

        Raises:
            LimitReached: a limit of time or memory.
            UnboundedMetric: it is.
        """
        prefix = search.task.calls(found.prefix)
        state = run_plan(self.model, self.problem, prefix)[-1]
        rest = search_plan(
            self.model,
            replace(self.problem, initial=state, metric=None),
            time_limit=self.limits.left(),
            memory_limit_mb=int(self.limits.memory_mb),
        )
        if rest.status == "unsolvable":
            search.dead.add(search.key(search.task.encode(state)))
        elif rest.plan is None:
            raise LimitReached(rest.status)
        else:
            steps = " ".join(f"({' '.join(call)})" for call in search.task.calls(found.cycle))
            sense = "minimize" if self.problem.metric is None else self.problem.metric.sense
            raise UnboundedMetric(
                f"problem '{self.problem.name}': the metric ({sense}) has no best value: {steps} "
                f"changes it by {found.gain} each time, and a plan may repeat it without end: "
                "limit it in the domain, or remove the metric"
            )
