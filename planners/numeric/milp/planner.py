"""Shortest plans by mixed-integer programming: one horizon after another is solved or shown to be
infeasible.

Regions must be given by their points, as learned ones are. If the solver finds a horizon
infeasible, no plan has this length; the first plan found therefore has the fewest actions.
Infeasibility is the verdict of a floating-point solver (feasibility tolerance 1e-7); plans are
checked exactly. No states are searched, but every step needs a copy of the state per ground action,
so the method suits problems with few of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.solvers import SolverSettings, open_session
from worldplan.planners.numeric.milp.action_copies import StateVariables
from worldplan.planners.numeric.milp.formulation import PlanStep, formulate
from worldplan.planners.numeric.milp.layers import first_layer, may_be_goal, next_layer
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits, check_limits
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import is_valid

MOST_ENTRIES = 3_000_000  # coefficients of one program: a few GB in a solver
MOST_INVALID = 20  # plans of one horizon that may fail the exact check
SMALLEST, LARGEST = 1e-6, 1e7  # coefficients for which a tolerance of 1e-7 is meaningful


def milp_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    max_horizon: int = 50,
    solver: SolverSettings | None = None,
) -> PlanResult:
    """A plan with the fewest actions, or the reason why there is none.

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
        A result whose `detail` has `proven_horizon` (no plan has so many actions or fewer; -1 if
        nothing is known), `horizons` (outcome, columns, rows and seconds of each program), the
        solver's name as `solver` and, without a plan, `reason`.

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
    run = _Run(
        model,
        problem,
        SearchLimits(time_limit, memory_limit_mb),
        solver or SolverSettings(),
        time_limit,
    )
    plan, status, reason = None, "optimal", ""
    try:
        plan = run.shortest(max_horizon)
    except _Stopped as stop:
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
    detail = {"proven_horizon": run.proven, "horizons": run.horizons, "solver": run.solver.name} | (
        {"reason": reason} if reason else {}
    )
    return PlanResult(plan, status, "milp", run.limits.spent(), detail=detail)


class _Stopped(Exception):
    """There is no plan, or none was found; the message is the reason.

    Args:
        status: as in `PlanResult`.
        reason: the reason.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Run:
    """One call of `milp_plan`; `proven` and `horizons` are entries of its `detail`."""

    def __init__(
        self,
        model: NumericModel,
        problem: NumericProblem,
        limits: SearchLimits,
        solver: SolverSettings,
        time_limit: float,
    ) -> None:
        self.model, self.problem = model, problem
        self.limits, self.solver, self.time_limit = limits, solver, time_limit
        self.proven = -1
        self.horizons: list[dict[str, Any]] = []

    def shortest(self, max_horizon: int) -> tuple[Ground, ...]:
        """A valid plan with the fewest actions.

        Raises:
            _Stopped: there is none, or none was found.
            LimitReached: a limit of time or memory.
        """
        task = GroundTask(self.model, self.problem, self.limits.check)
        if task.unreachable:
            raise _Stopped("unsolvable", task.unreachable)
        if task.is_goal(task.initial):
            return ()
        self._check_defined(task)
        variables, layer, entries = StateVariables(self.model, task), first_layer(task), 0
        steps: list[PlanStep] = []
        for horizon in range(1, max_horizon + 1):
            self.proven = horizon - 1
            if not layer.actions:
                raise _Stopped("unsolvable", f"after {horizon - 1} actions none is applicable")
            for number in layer.actions:
                self.limits.check()
                entries += variables.copy(number).entries
                if entries > MOST_ENTRIES:
                    raise _Stopped(
                        "no_plan_found",
                        (
                            f"{horizon} steps with {len(layer.actions)} ground actions in the last "
                            f"need over {MOST_ENTRIES:,} coefficients: use planner='search'"
                        ),
                    )
            steps.append(PlanStep(variables, layer))
            layer = next_layer(task, layer)
            if (
                may_be_goal(task, layer)
                and (plan := self._plan_of(variables, steps, task)) is not None
            ):
                return plan
        self.proven = max_horizon
        raise _Stopped(
            "no_plan_found", f"no plan has {max_horizon} actions or fewer: raise max_horizon"
        )

    def _plan_of(
        self, variables: StateVariables, steps: Sequence[PlanStep], task: GroundTask
    ) -> tuple[Ground, ...] | None:
        """A valid plan with one action in each of the steps; None if there is none.

        Raises:
            _Stopped: too many plans fail the exact check.
            LimitReached: a limit of time or memory.
        """
        invalid: list[list[int]] = []
        while len(invalid) < MOST_INVALID:
            numbers = self._solve(variables, steps, invalid)
            if numbers is None:
                return None
            plan = tuple(task.actions[number].name for number in numbers)
            if is_valid(self.model, self.problem, plan):
                return plan
            self.horizons[-1]["outcome"] = "plan fails the exact check"
            invalid.append(numbers)
        raise _Stopped(
            "no_plan_found",
            (
                f"{MOST_INVALID} plans of {len(steps)} actions fail the exact check: use "
                "planner='search'"
            ),
        )

    def _solve(
        self, variables: StateVariables, steps: Sequence[PlanStep], invalid: Sequence[Sequence[int]]
    ) -> list[int] | None:
        """Numbers of the actions of a plan that satisfies the program; None if the program is
        infeasible.

        Raises:
            _Stopped: the coefficients are too small or too large.
            LimitReached: the time limit.
        """
        started = time.perf_counter()
        formulation = formulate(variables, steps, invalid)
        # quick: without it, HiGHS's presolve reports some feasible programs as infeasible (its
        # issues 3090 and 3296), and this verdict must be right
        session = open_session(
            formulation.program,
            replace(
                self.solver, time_limit=max(1e-3, self.time_limit - self.limits.spent()), quick=True
            ),
        )
        self._check_sizes(session.matrices.value, len(steps))
        entry = {
            "horizon": len(steps),
            "outcome": "no plan",
            "columns": formulation.program.columns,
            "rows": formulation.program.rows,
        }
        self.horizons.append(entry)
        try:
            point = session.solve().x
        except InfeasibleActionSet:
            return None
        finally:
            entry["seconds"] = time.perf_counter() - started
        entry["outcome"] = "time limit" if point is None else "plan"
        if point is None:
            raise LimitReached("time_limit")
        return formulation.plan(point)

    def _check_defined(self, task: GroundTask) -> None:
        """Check that every fluent has an initial value.

        Raises:
            ConfigError: one has none.
        """
        for fluent, place in task.fluents.items():
            if task.initial[1][place] is None:
                raise ConfigError(
                    f"problem '{self.problem.name}': ({' '.join(fluent)}) has no initial value: "
                    "use planner='search'"
                )

    def _check_sizes(self, coefficients: np.ndarray, horizon: int) -> None:
        """Check the coefficients of a program (coefficients,).

        Raises:
            _Stopped: they are too small or too large for a solver's tolerance.
        """
        sizes = np.abs(coefficients[coefficients != 0])
        if sizes.min() < SMALLEST or sizes.max() > LARGEST:
            raise _Stopped(
                "no_plan_found",
                (
                    f"{horizon} steps need coefficients from {sizes.min():.1e} to "
                    f"{sizes.max():.1e}, too far apart for a solver's tolerance: use "
                    "planner='search'"
                ),
            )
