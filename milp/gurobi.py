"""The Gurobi solver, an extra: `pip install 'worldplan[gurobi]'`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy import sparse

from worldplan.milp.errors import InfeasibleActionSet, SolverFailed, SolverUnavailable
from worldplan.milp.program import Floats
from worldplan.milp.session import LEAST_GAP, Session, Solution, objective_unit, status_of

TOO_LARGE_FOR_LICENCE = 10010  # error code of Gurobi


class GurobiSession(Session):
    """Gurobi through its matrix interface.

    The program is passed anew for each solve. A coefficient that is changed in a loaded model moves
    to the end of its column, and another order of the numbers is another way through the search.

    Raises:
        SolverUnavailable: Gurobi is not installed or has no valid licence.
    """

    def _open(self) -> None:
        try:
            import gurobipy
        except ImportError as error:
            raise SolverUnavailable(
                "Gurobi is not installed: pip install 'worldplan[gurobi]', or set solver.name=highs"
            ) from error
        self._grb = gurobipy
        self._basis: tuple[Any, Any] | None = None
        try:
            self._environment = gurobipy.Env(params={"OutputFlag": 0})
            gurobipy.Model(env=self._environment)
        except gurobipy.GurobiError as error:
            raise SolverUnavailable(
                f"Gurobi has no valid licence ({error}): renew it, or set solver.name=highs"
            ) from error

    def _load(self, limit: float, absolute_gap: float) -> tuple[Any, Any, Any]:
        """The model of the present numbers, its variables and its constraints.

        Args:
            limit: seconds.
            absolute_gap: in the objective's unit.
        """
        m, grb, settings = self.matrices, self._grb.GRB, self.settings
        self._unit = objective_unit(m.cost)
        model = self._grb.Model(env=self._environment)
        for name, value in {
            "MIPGap": settings.gap,
            "MIPGapAbs": max(LEAST_GAP, absolute_gap / self._unit),
            "TimeLimit": limit,
            "Threads": settings.threads,
            "Seed": settings.seed,
            "IntFeasTol": 1e-7,
            "FeasibilityTol": 1e-7,
        }.items():
            model.setParam(name, value)
        rows, columns = len(m.row_lower), len(m.cost)
        equal = m.row_lower == m.row_upper
        ranged = np.flatnonzero(np.isfinite(m.row_lower) & np.isfinite(m.row_upper) & ~equal)
        sense = np.where(equal, "=", np.where(np.isfinite(m.row_upper), "<", ">"))
        side = np.where(sense == ">", m.row_lower, m.row_upper)
        # a ranged row is A x - s = 0, with the range as bounds of s
        sense[ranged], side[ranged] = "=", 0.0
        kinds = np.where(m.integer, grb.INTEGER, grb.CONTINUOUS)
        x = model.addMVar(columns, lb=m.lower, ub=m.upper, vtype=kinds)
        slack = model.addMVar(len(ranged), lb=m.row_lower[ranged], ub=m.row_upper[ranged])
        minus_slack = sparse.csr_matrix(
            (-np.ones(len(ranged)), (ranged, np.arange(len(ranged)))), shape=(rows, len(ranged))
        )
        matrix = sparse.csr_matrix((m.value, m.column, m.starts), shape=(rows, columns))
        variables = self._grb.concatenate([x, slack])
        constraints = model.addMConstr(
            sparse.hstack([matrix, minus_slack]).tocsr(), variables, sense, side
        )
        model.setObjective((m.cost / self._unit) @ x + m.offset / self._unit, grb.MAXIMIZE)
        return model, variables, constraints

    def basis(self) -> Any:
        return self._basis

    def solve(
        self,
        start: Floats | None = None,
        *,
        basis: Any = None,
        time_limit: float | None = None,
        absolute_gap: float = 0.0,
    ) -> Solution:
        began = time.perf_counter()
        grb, columns = self._grb.GRB, len(self.matrices.cost)
        limit = self.settings.time_limit if time_limit is None else time_limit
        model, variables, constraints = self._load(max(limit, 0.0), absolute_gap)
        if start is not None and self.is_mip:
            variables[:columns].Start = start
        if basis is not None:
            variables.VBasis, constraints.CBasis = basis
        self._optimise(model)
        if model.Status in (grb.INFEASIBLE, grb.INF_OR_UNBD):
            raise InfeasibleActionSet(
                "the constraints allow no action: relax a capacity, budget or custom constraint"
            )
        if model.Status == grb.INTERRUPTED:
            raise KeyboardInterrupt
        limited = model.Status == grb.TIME_LIMIT
        if model.Status != grb.OPTIMAL and not limited:
            raise SolverFailed(
                f"Gurobi stopped with status {model.Status}: check the model's numbers, or try "
                "solver.name=highs"
            )
        bound = model.ObjBound if self.is_mip else (np.inf if limited else model.ObjVal)
        bound *= self._unit
        seconds = time.perf_counter() - began
        if model.SolCount == 0 or (limited and not self.is_mip):
            return Solution("time_limit", -np.inf, bound, None, None, seconds)
        duals = None
        if not self.is_mip:
            duals = np.asarray(constraints.Pi) * self._unit
            self._basis = variables.VBasis, constraints.CBasis
        value = model.ObjVal * self._unit
        return Solution(
            status_of(limited, value, bound, self._unit),
            value,
            bound,
            np.asarray(variables[:columns].X),
            duals,
            seconds,
        )

    def _optimise(self, model: Any) -> None:
        """Run the solver.

        Raises:
            SolverFailed: it reports an error.
            SolverUnavailable: the model exceeds the licence.
        """
        m = self.matrices
        try:
            model.optimize()
        except self._grb.GurobiError as error:
            if error.errno == TOO_LARGE_FOR_LICENCE:
                raise SolverUnavailable(
                    f"{len(m.cost)} variables and {len(m.row_lower)} constraints exceed the size "
                    "limit of this Gurobi licence: install a full licence, or set "
                    "solver.name=highs"
                ) from error
            raise SolverFailed(f"Gurobi failed: {error}") from error
