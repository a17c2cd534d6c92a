"""Shortest plans, or plans of the best metric, by mixed-integer programming: one horizon after
another is solved or shown to be infeasible.

Regions must be given by their points, as learned ones are. If the solver finds a horizon
infeasible, no plan has this length; the first plan found therefore has the fewest actions.
Infeasibility is the verdict of a floating-point solver (feasibility tolerance 1e-7); plans are
checked exactly. No states are searched, but every step needs a copy of the state per ground action,
so the method suits problems with few of them.
"""

from __future__ import annotations

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.numeric.milp.best import best_plan
from worldplan.planners.numeric.milp.run import Run, Stopped
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits, check_limits
from worldplan.planners.numeric.task.quality import check_metric
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem


def milp_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    max_horizon: int = 50,
    solver: SolverSettings | None = None,
) -> PlanResult:
    """A plan with the fewest actions, or with the best metric where the problem has one; or the
    reason why there is none.

    With a metric, the best plan of each number of actions is compared. It is proven to be the best
    of all where longer plans cannot be better, because each action costs something; otherwise
    `proven_horizon` is the number of actions up to which it is the best.

    Args:
        model: its regions must be given by points; comparisons are allowed, too. A strict
            comparison of numbers that are not all integers lets invalid plans through, which are
            then excluded one by one.
        problem: every relevant fluent needs an initial value.
        time_limit: seconds in all.
        memory_limit_mb: resident memory of the whole process, measured between programs.
        max_horizon: largest number of actions.
        solver: the solver with its threads and seed; its time limit and `quick` are overridden.

    Returns:
        A result whose `detail` has `proven_horizon` (no plan has so many actions or fewer, or with
        a metric: none of them is better; -1 if nothing is known), `horizons` (outcome, columns,
        rows and seconds of each program), the solver's name as `solver` and, without a proof,
        `reason`.

    Raises:
        ConfigError: a region or an undefined fluent that cannot be formulated (named in the
            message), or a limit out of range.
        SolverUnavailable: the solver is not installed or has no licence.
        SolverFailed: the solver reports an error.
        DatasetError: the problem does not fit the model.
    """
    check_limits(model, problem, time_limit, memory_limit_mb)
    checks.number(time_limit, "time_limit", above=0, infinite=True)
    if checks.whole_number(max_horizon, "max_horizon") < 0:
        raise ConfigError(
            f"time_limit is {time_limit:g} s and max_horizon {max_horizon}: give a positive time "
            "and at least 0 steps"
        )
    check_metric(problem)
    limits = SearchLimits(time_limit, memory_limit_mb)
    run = Run(model, problem, limits, solver or SolverSettings())
    plan, status, reason = None, "optimal", ""
    if problem.metric is not None:
        return best_plan(run, max_horizon)
    try:
        plan = run.shortest(max_horizon)
    except Stopped as stop:
        status, reason = stop.status, str(stop)
    except LimitReached as stop:
        status, reason = (
            stop.status,
            (
                "a limit was reached before any number of actions was decided"
                if run.proven < 0
                else f"a limit was reached; no plan has {run.proven} actions or fewer"
            ),
        )
    return PlanResult(plan, status, "milp", run.limits.spent(), detail=run.detail(reason))
