"""The metric of a plan in its result: the exact value, and what is proven about it."""

from __future__ import annotations

from dataclasses import replace

from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import plan_cost
from worldplan.world_models.numeric.metrics import TOTAL_TIME, Metric


def valued(model: NumericModel, problem: NumericProblem, result: PlanResult) -> PlanResult:
    """A result with the exact value of the problem's metric.

    A planner that gives no cost does not use the metric: its "optimal" means fewest actions, which
    proves nothing about another metric. It becomes "satisficing", with `fewest_actions` in the
    detail.

    Args:
        model: the actions.
        problem: the problem; without a metric the result is returned as it is.
        result: of a planner; its plan is valid.

    Raises:
        DatasetError: a fluent of the metric has no value.
    """
    metric = problem.metric
    if metric is None or result.plan is None:
        return result
    cost = plan_cost(model, problem, result.plan)
    detail = {**result.detail, "sense": metric.sense}
    if result.cost == cost:
        return replace(result, detail=detail)
    if result.status == "optimal" and result.cost is None:
        if counts_actions(metric, problem):
            return replace(result, cost=cost, bound=cost, detail=detail)
        detail["fewest_actions"] = True
    return replace(result, status="satisficing", cost=cost, bound=None, detail=detail)


def check_metric(problem: NumericProblem) -> None:
    """Check that every fluent of the metric has an initial value.

    Raises:
        DatasetError: one has none; names it.
    """
    if problem.metric is not None:
        problem.metric.value(problem.initial.values, 0)


def counts_actions(metric: Metric, problem: NumericProblem) -> bool:
    """Whether the metric's best plans are those with the fewest actions."""
    terms = metric.expression.terms
    return (
        len(terms) == 1
        and terms[0][0] == TOTAL_TIME
        and TOTAL_TIME not in problem.initial.values
        and metric.sign * terms[0][1] > 0
    )
