"""Plans of the best metric by mixed-integer programming, with a bound for plans that are longer.

The program of each number of actions has the metric as its objective and allows only plans that are
better than the best one so far; it is solved until it is infeasible. Then no plan with so many
actions is better. A plan with more actions pays at least the cheapest action for each of them, and
at least the bound of `LandmarkCut` in the initial state. Where this is no less than the best cost,
the best plan of the programs is the best of all.
"""

from __future__ import annotations

import math

from worldplan.planners.numeric.cheapest.lower_bounds import LowerBounds, common_denominator
from worldplan.planners.numeric.milp.action_copies import StateVariables
from worldplan.planners.numeric.milp.run import Run, Stopped
from worldplan.planners.numeric.task.budget import LimitReached
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground
from worldplan.world_models.numeric.execution import plan_cost

LEAST_GAIN = 1e-6  # relative; the least improvement looked for where costs have no common unit


def best_plan(run: Run, max_horizon: int) -> PlanResult:
    """The plan with the best metric, for a problem that has one; see `milp_plan`.

    Args:
        run: the call of `milp_plan`.
        max_horizon: largest number of actions.
    """
    best = _Best(run)
    status, reason = "optimal", ""
    try:
        best.search(max_horizon)
    except Stopped as stop:
        status, reason = stop.status, str(stop)
    except LimitReached as limit:
        status, reason = limit.status, "a limit was reached"
    return best.result(status, reason)


class _Best:
    """The best plan so far, and what is proven about others.

    Attributes:
        plan: the best plan, or None.
        cost: its signed metric.
        bounds: lower bounds of the task, once they are made.
        left_out: the size of improvements that the programs leave out, where costs have no common
            unit; else 0.
    """

    def __init__(self, run: Run) -> None:
        assert run.problem.metric is not None, "the problem has no metric"
        self.run, self.sign = run, run.problem.metric.sign
        self.plan: tuple[Ground, ...] | None = None
        self.cost: Rational | float = math.inf
        self.bounds: LowerBounds | None = None
        self.left_out: Rational = 0
        self.initial: Rational | float = -math.inf  # the bound of the initial state

    def search(self, max_horizon: int) -> None:
        """Look for better plans until none can exist.

        Raises:
            Stopped: there are no longer plans, or nothing is proven about them.
            LimitReached: a limit of time or memory.
        """
        run = self.run
        task = GroundTask(run.model, run.problem, run.limits.check, with_costs=True)
        if task.unreachable:
            raise Stopped("unsolvable", task.unreachable)
        assert task.metric is not None
        bounds = self.bounds = LowerBounds(task, run.limits.check)
        self.initial = bounds.rest + bounds.still_to_pay(task.initial)
        if self.initial == math.inf:
            raise Stopped("unsolvable", "the goal is unreachable in a relaxation of the problem")
        unit = common_denominator(task, bounds.costs)
        if task.is_goal(task.initial):
            self._take(())
        variables = StateVariables(run.model, task, bounds.costs)
        for steps in run.growing(variables, max_horizon):
            while steps:
                most = self._most(task.metric.start, unit)
                plan = run.plan_of(variables, steps, most)
                if plan is None or not self._take(plan):
                    break
            run.proven += 1
            if self.plan is not None and self.of_longer() >= self.cost:
                return
        raise Stopped(
            "no_plan_found",
            f"nothing is proven about plans of more than {max_horizon} actions: raise max_horizon",
        )

    def _most(self, start: Rational, unit: int | None) -> float:
        """The largest added cost of a plan that is better than the best one so far.

        Args:
            start: the signed metric of the initial state.
            unit: a number that makes all costs integers; None if there is none.
        """
        if self.plan is None:
            return math.inf
        added = float(self.cost - start)
        gain = LEAST_GAIN * max(1.0, abs(added))
        if unit is not None and 0.5 / unit > gain:
            return added - 0.5 / unit
        self.left_out = max(self.left_out, exact(2 * gain))  # twice: a tolerance of the solver
        return added - gain

    def of_longer(self) -> Rational | float:
        """A bound of the signed metric of plans with more actions than are proven."""
        if self.bounds is None:
            return -math.inf
        paid = (self.run.proven + 1) * min(self.bounds.least, default=0)
        return max(self.initial, self.bounds.rest + paid)

    def result(self, status: str, reason: str) -> PlanResult:
        """The result.

        Args:
            status: "optimal", or why the search stopped.
            reason: the same in words, or "".
        """
        run = self.run
        is_complete = status in ("optimal", "unsolvable")  # no plan is left out
        bound = self.cost if is_complete else min(self.cost, self.of_longer())
        if self.plan is not None:
            bound = min(bound, self.cost - self.left_out)
            status = "optimal" if bound >= self.cost else "satisficing"
        return PlanResult(
            self.plan,
            status,
            "milp",
            run.limits.spent(),
            detail=run.detail("" if status == "optimal" else reason),
            cost=None if self.plan is None else self._plain(self.cost),
            bound=self._plain(bound),
        )

    def _take(self, plan: tuple[Ground, ...]) -> bool:
        """Take a plan as the best one if it is better; returns whether it is."""
        cost = self.sign * plan_cost(self.run.model, self.run.problem, plan)
        if cost < self.cost:
            self.plan, self.cost = plan, cost
            return True
        return False

    def _plain(self, value: Rational | float) -> Rational | None:
        """A signed metric as the metric itself; None if it is infinite."""
        return None if isinstance(value, float) else exact(self.sign * value)
