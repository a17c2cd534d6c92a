"""Two solves of one mixed-integer program must agree before its optimum counts as proven.

HiGHS 1.15 has cut off the optimum of small programs with binary and continuous variables, and has
called another point optimal (https://github.com/ERGO-Code/HiGHS/issues/3170 and 3273: cuts from
variable bounds that do not hold); with its presolve it has called feasible programs infeasible
(3090, 3296). A claim is an upper bound: the bound of a solve that ended, or minus infinity where
the program was called infeasible. A point above a claim refutes it. The optimum is proven once two
solves in different ways have made claims that no point refutes, or once a point reaches the bound
that the column bounds alone give.

Small networks over drawn rules and capacities, with a component forced in or out: without presolve
2 of 2,640 optima were wrong, with it or without HiGHS's heuristics none of these.

Programs of binaries only have no variable bounds, so a single claim with a point is enough there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worldplan.milp.errors import InfeasibleActionSet, SolverFailed
from worldplan.milp.program import Floats, Matrices
from worldplan.milp.session import Solution, status_of

_ROUNDING = 1e-6  # relative difference of a value and a claim that refutes nothing


class Claims:
    """What several solves of one program found and claimed.

    Args:
        matrices: the program.
        unit: of its objective in the solver.
    """

    def __init__(self, matrices: Matrices, unit: float) -> None:
        m = matrices
        self._unit = unit
        self._binary = bool((m.integer & (m.lower >= 0) & (m.upper <= 1)).all())
        used = m.cost != 0
        cost, ends = m.cost[used], (m.lower[used], m.upper[used])
        self._box = m.offset + float(np.maximum(cost * ends[0], cost * ends[1]).sum())
        self._best: Solution | None = None  # the point with the largest value
        self._bounds: list[float] = []
        self._cut_off: Solution | None = None  # the solve that ended at the time limit
        self._error: SolverFailed | None = None

    def add(self, solution: Solution | None) -> None:
        """Add what one solve found; None where it called the program infeasible."""
        if solution is None:
            self._bounds.append(-np.inf)
            return
        if solution.status == "time_limit":
            self._cut_off = solution
        else:
            self._bounds.append(solution.bound)
        if solution.x is not None and (self._best is None or solution.value > self._best.value):
            self._best = solution

    def add_failure(self, error: SolverFailed) -> None:
        """Add a solve that stopped without an answer."""
        self._error = error

    @property
    def start(self) -> Floats | None:
        """The best point so far, (columns,), or None."""
        return None if self._best is None else self._best.x

    @property
    def settled(self) -> bool:
        """Whether the claims are enough for an answer."""
        return self._cut_off is not None or self._agreed

    @property
    def _agreed(self) -> bool:
        one_is_enough = self._best is not None and (self._binary or self._reaches_box)
        return len(self._holding) >= (1 if one_is_enough else 2)

    @property
    def _reaches_box(self) -> bool:
        """Whether no point can be better, by the bounds of the columns alone."""
        return (
            self._best is not None
            and np.isfinite(self._box)
            and not self._refuted(self._best.value, self._box)
        )

    @property
    def _holding(self) -> list[float]:
        """The claims that no point refutes."""
        if self._best is None:
            return self._bounds
        return [bound for bound in self._bounds if not self._refuted(bound, self._best.value)]

    def _refuted(self, bound: float, value: float) -> bool:
        return value > bound + _ROUNDING * max(self._unit, abs(value))

    def answer(self) -> Solution:
        """The best point, with the largest of the bounds that hold.

        Raises:
            InfeasibleActionSet: two solves called the program infeasible, and none found a point.
            SolverFailed: a solve failed, and no two others agree.
        """
        best = self._best
        if self._cut_off is not None:
            known = [self._cut_off.bound] if np.isfinite(self._cut_off.bound) else self._holding
            if best is None:
                return self._cut_off
            return replace(best, status="time_limit", bound=max([best.value, *known]))
        if not self._agreed:
            raise self._error or SolverFailed(
                "HiGHS contradicts itself in four solves of one program: try solver.name=gurobi"
            )
        if best is None:
            raise InfeasibleActionSet(
                "the constraints allow no action: relax a capacity, budget or custom constraint"
            )
        bound = max([best.value, *self._holding])
        return replace(best, bound=bound, status=status_of(False, best.value, bound, self._unit))
