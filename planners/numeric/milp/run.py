"""Programs of one number of actions after another, solved: what `milp_plan` does with and without a
metric.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.solvers import SolverSettings, open_session
from worldplan.planners.numeric.milp.action_copies import StateVariables
from worldplan.planners.numeric.milp.formulation import PlanStep, formulate
from worldplan.planners.numeric.milp.layers import first_layer, may_be_goal, next_layer
from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import is_valid

MOST_ENTRIES = 3_000_000  # coefficients of one program: a few GB in a solver
MOST_INVALID = 20  # plans of one horizon that may fail the exact check
SMALLEST, LARGEST = 1e-6, 1e7  # coefficients for which a tolerance of 1e-7 is meaningful


class Stopped(Exception):
    """There is no plan, or none was found; the message is the reason.

    Args:
        status: as in `PlanResult`.
        reason: the reason.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Run:
    """One call of `milp_plan`; `proven` and `horizons` are entries of its `detail`.

    Args:
        model: the model.
        problem: the problem.
        limits: limits of time and memory.
        solver: the solver with its settings.
    """

    def __init__(
        self,
        model: NumericModel,
        problem: NumericProblem,
        limits: SearchLimits,
        solver: SolverSettings,
    ) -> None:
        self.model, self.problem = model, problem
        self.limits, self.solver = limits, solver
        self.proven = -1
        self.horizons: list[dict[str, Any]] = []

    def detail(self, reason: str = "") -> dict[str, Any]:
        """The entries of `PlanResult.detail`.

        Args:
            reason: why there is no plan or no proof; "" for none.
        """
        detail = {
            "proven_horizon": self.proven,
            "horizons": self.horizons,
            "solver": self.solver.name,
        }
        return detail | ({"reason": reason} if reason else {})

    def shortest(self, max_horizon: int) -> tuple[Ground, ...]:
        """A valid plan with the fewest actions.

        Raises:
            Stopped: there is none, or none was found.
            LimitReached: a limit of time or memory.
        """
        task = GroundTask(self.model, self.problem, self.limits.check)
        if task.unreachable:
            raise Stopped("unsolvable", task.unreachable)
        if task.is_goal(task.initial):
            return ()
        variables = StateVariables(self.model, task)
        for steps in self.growing(variables, max_horizon):
            if steps and (plan := self.plan_of(variables, steps)) is not None:
                return plan
        raise Stopped(
            "no_plan_found", f"no plan has {max_horizon} actions or fewer: raise max_horizon"
        )

    def growing(self, variables: StateVariables, max_horizon: int) -> Iterator[list[PlanStep]]:
        """The steps of one number of actions after another, from 1 on; an empty list where the goal
        cannot hold after so many. When the next is taken, the one before counts as `proven`.

        Raises:
            Stopped: there are no longer plans, or they need too large a program.
            LimitReached: a limit of time or memory.
        """
        task = variables.task
        self._check_defined(task)
        layer, entries = first_layer(task), 0
        steps: list[PlanStep] = []
        for horizon in range(1, max_horizon + 1):
            self.proven = horizon - 1
            if not layer.actions:
                raise Stopped("unsolvable", f"after {horizon - 1} actions none is applicable")
            for number in layer.actions:
                self.limits.check()
                entries += variables.copy(number).entries
                if entries > MOST_ENTRIES:
                    raise Stopped(
                        "no_plan_found",
                        (
                            f"{horizon} steps with {len(layer.actions)} ground actions in the last "
                            f"need over {MOST_ENTRIES:,} coefficients: use planner='search'"
                        ),
                    )
            steps.append(PlanStep(variables, layer))
            layer = next_layer(task, layer)
            yield steps if may_be_goal(task, layer) else []
        self.proven = max_horizon

    def plan_of(
        self, variables: StateVariables, steps: Sequence[PlanStep], most: float = np.inf
    ) -> tuple[Ground, ...] | None:
        """A valid plan with one action in each of the steps; None if there is none.

        Args:
            variables: the state variables of the task.
            steps: the steps.
            most: the largest cost of the plan.

        Raises:
            Stopped: too many plans fail the exact check.
            LimitReached: a limit of time or memory.
        """
        invalid: list[list[int]] = []
        while len(invalid) < MOST_INVALID:
            numbers = self._solve(variables, steps, invalid, most)
            if numbers is None:
                return None
            plan = variables.task.calls(numbers)
            if is_valid(self.model, self.problem, plan):
                return plan
            self.horizons[-1]["outcome"] = "plan fails the exact check"
            invalid.append(numbers)
        raise Stopped(
            "no_plan_found",
            (
                f"{MOST_INVALID} plans of {len(steps)} actions fail the exact check: use "
                "planner='search'"
            ),
        )

    def _solve(
        self,
        variables: StateVariables,
        steps: Sequence[PlanStep],
        invalid: Sequence[Sequence[int]],
        most: float,
    ) -> list[int] | None:
        """Numbers of the actions of a plan that satisfies the program; None if the program is
        infeasible.

        Raises:
            Stopped: the coefficients are too small or too large.
            LimitReached: the time limit.
        """
        started = time.perf_counter()
        formulation = formulate(variables, steps, invalid, most)
        # quick: without it, HiGHS's presolve reports some feasible programs as infeasible (its
        # issues 3090 and 3296), and this verdict must be right
        session = open_session(
            formulation.program,
            replace(self.solver, time_limit=max(1e-3, self.limits.left()), quick=True),
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
            Stopped: they are too small or too large for a solver's tolerance.
        """
        sizes = np.abs(coefficients[coefficients != 0])
        if sizes.min() < SMALLEST or sizes.max() > LARGEST:
            raise Stopped(
                "no_plan_found",
                (
                    f"{horizon} steps need coefficients from {sizes.min():.1e} to "
                    f"{sizes.max():.1e}, too far apart for a solver's tolerance: use "
                    "planner='search'"
                ),
            )
