"""Shortest plans by mixed-integer programming: one horizon after another, each ruled out or planned
in.

For models whose regions are given by their points, as learned ones are. A horizon that the solver
finds infeasible has no plan, so the first plan found has the fewest actions. That verdict is the
solver's, in floating point (feasible to 1e-7); the plan itself is checked exactly. Needs no states
to be searched, but a copy of the state for every ground action and step: for problems with few of
them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.solvers import SolverSettings, open_session
from worldplan.planners.numeric.milp.action_copies import StateVariables
from worldplan.planners.numeric.milp.formulation import PlanStep, formulate
from worldplan.planners.numeric.milp.layers import first_layer, may_be_goal, next_layer
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem, is_valid

MOST_ENTRIES = 3_000_000  # coefficients of one programme: a few GB in a solver
MOST_INVALID = 20  # plans of one horizon that may fail the exact check
SMALLEST, LARGEST = (
    1e-6,
    1e7,
)  # absolute coefficients between which a tolerance of 1e-7 means something


def milp_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    max_horizon: int = 50,
    solver: SolverSettings | None = None,
) -> PlanResult:
    """A plan with the fewest actions, or why there is none.

    `detail` has `proven_horizon` (no plan has so many actions or fewer; -1: nothing is known),
    `horizons` (one entry for each programme: outcome, columns, rows and seconds), the solver's name
    and, without a plan, `reason`.

    Args:
        model: what it says about numbers must be regions given by points, or comparisons. A strict
            comparison of numbers that are not all whole lets invalid plans through, which are
            forbidden one by one.
        problem: every fluent that matters needs an initial value.
        time_limit: seconds in all.
        memory_limit_mb: resident memory of the whole process, looked at between programmes.
        max_horizon: the most actions a plan may have.
        solver: which solver, its threads and seed; its time limit and `quick` are set here.

    Raises:
        ConfigError: a region or undefined fluent that has no formulation (names it), or a limit out
            of range.
        SolverUnavailable, SolverFailed: as in `worldplan.milp.solvers`.
    """
    if not time_limit > 0 or max_horizon < 0:
        raise ConfigError(
            f"time_limit is {time_limit:g} s and max_horizon {max_horizon}: give a positive time and at least 0 steps"
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
        status, reason = stop.status, f"the time is over; no plan has {run.proven} actions or fewer"
    detail = {"proven_horizon": run.proven, "horizons": run.horizons, "solver": run.solver.name} | (
        {"reason": reason} if reason else {}
    )
    return PlanResult(plan, status, "milp", run.limits.spent(), detail=detail)


class _Stopped(Exception):
    """There is no plan, or none was found; the text says why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Run:
    """The search for one problem; `proven` and `horizons` as in `milp_plan`."""

    def __init__(
        self,
        model: NumericModel,
        problem: NumericProblem,
        limits: SearchLimits,
        solver: SolverSettings,
        time_limit: float,
    ) -> None:
        self.model, self.problem, self.limits, self.solver, self.time_limit = (
            model,
            problem,
            limits,
            solver,
            time_limit,
        )
        self.proven = -1
        self.horizons: list[dict[str, Any]] = []

    def shortest(self, max_horizon: int) -> tuple[Ground, ...]:
        """A valid plan that no valid plan is shorter than. Raises _Stopped and LimitReached."""
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
                raise _Stopped("unsolvable", f"after {horizon - 1} actions none can be taken")
            for number in layer.actions:
                self.limits.check()
                entries += variables.copy(number).entries
                if entries > MOST_ENTRIES:
                    reason = f"{horizon} steps with {len(layer.actions)} ground actions in the last need over {MOST_ENTRIES:,} coefficients"
                    raise _Stopped("no_plan_found", f"{reason}: use planner='search'")
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
        """A valid plan with one action in each of these steps; None if there is none. Raises
        _Stopped and LimitReached.
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
            f"{MOST_INVALID} plans of {len(steps)} actions fail the exact check: use planner='search'",
        )

    def _solve(
        self, variables: StateVariables, steps: Sequence[PlanStep], invalid: Sequence[Sequence[int]]
    ) -> list[int] | None:
        began = time.perf_counter()
        formulation = formulate(variables, steps, invalid)
        # quick: HiGHS's presolve calls some feasible programmes infeasible (its issues 3090 and
        # 3296), and that verdict must be right
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
            entry["seconds"] = time.perf_counter() - began
        entry["outcome"] = "time limit" if point is None else "plan"
        if point is None:
            raise LimitReached("time_limit")
        return formulation.plan(point)

    def _check_defined(self, task: GroundTask) -> None:
        for fluent, place in task.fluents.items():
            if task.initial[1][place] is None:
                raise ConfigError(
                    f"problem '{self.problem.name}': ({' '.join(fluent)}) has no initial value: use planner='search'"
                )

    def _check_sizes(self, coefficients: np.ndarray, horizon: int) -> None:
        sizes = np.abs(coefficients[coefficients != 0])
        if sizes.min() < SMALLEST or sizes.max() > LARGEST:
            reason = f"{horizon} steps need coefficients from {sizes.min():.1e} to {sizes.max():.1e}, beyond what a solver's tolerance is good for"
            raise _Stopped("no_plan_found", f"{reason}: use planner='search'")
