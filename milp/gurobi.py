"""The Gurobi solver, an extra: `pip install 'worldplan[gurobi]'`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy import sparse

from worldplan.milp.errors import InfeasibleActionSet, SolverFailed, SolverUnavailable
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.session import Session, Solution, SolverSettings, status_of

TOO_LARGE_FOR_LICENCE = 10010  # error code of Gurobi


class GurobiSession(Session):
    """Gurobi through its matrix interface; only changed coefficients are sent.

    Raises:
        SolverUnavailable: Gurobi is not installed or has no valid licence.
    """

    def __init__(self, program: Program, settings: SolverSettings) -> None:
        super().__init__(program, settings)
        try:
            import gurobipy
        except ImportError as error:
            raise SolverUnavailable(
                "Gurobi is not installed: pip install 'worldplan[gurobi]', or set solver.name=highs"
            ) from error
        self._grb = gurobipy
        try:
            self._environment = gurobipy.Env(params={"OutputFlag": 0})
            self._model = gurobipy.Model(env=self._environment)
        except gurobipy.GurobiError as error:
            raise SolverUnavailable(
                f"Gurobi has no valid licence ({error}): renew it, or set solver.name=highs"
            ) from error
        for name, value in {
            "MIPGap": settings.gap,
            "MIPGapAbs": 1e-9,
            "TimeLimit": settings.time_limit,
            "Threads": settings.threads,
            "Seed": settings.seed,
            "IntFeasTol": 1e-7,
            "FeasibilityTol": 1e-7,
        }.items():
            self._model.setParam(name, value)
        self._build()

    def _build(self) -> None:
        m, grb = self.matrices, self._grb.GRB
        matrix = sparse.csr_matrix(
            (m.value, m.column, m.starts), shape=(len(m.row_lower), len(m.cost))
        )
        kinds = np.where(m.integer, grb.INTEGER, grb.CONTINUOUS)
        self._x: Any = self._model.addMVar(len(m.cost), lb=m.lower, ub=m.upper, vtype=kinds)
        ranged = np.flatnonzero(
            np.isfinite(m.row_lower) & np.isfinite(m.row_upper) & (m.row_lower != m.row_upper)
        )
        self._sense = np.where(
            m.row_lower == m.row_upper, "=", np.where(np.isfinite(m.row_upper), "<", ">")
        )
        self._sense[ranged] = "="  # A x - s = 0 with the range as bounds of s
        self._ranged = ranged
        self._slack: Any = self._model.addMVar(len(ranged))
        minus_slack = sparse.csr_matrix(
            (-np.ones(len(ranged)), (ranged, np.arange(len(ranged)))),
            shape=(len(m.row_lower), len(ranged)),
        )
        everything = self._grb.concatenate([self._x, self._slack])
        rows = self._model.addMConstr(
            sparse.hstack([matrix, minus_slack]).tocsr(),
            everything,
            self._sense,
            np.zeros(len(m.row_lower)),
        )
        self._model.update()
        self._rows, self._columns = rows.tolist(), self._x.tolist()
        self._send_row_bounds(np.arange(len(m.row_lower)))

    def _send_row_bounds(self, rows: Indices) -> None:
        m = self.matrices
        side = np.where(self._sense == ">", m.row_lower, m.row_upper)
        side[self._ranged] = 0.0
        self._model.setAttr("RHS", [self._rows[row] for row in rows], side[rows].tolist())
        if len(self._ranged):
            self._slack.LB, self._slack.UB = m.row_lower[self._ranged], m.row_upper[self._ranged]

    def set_column_bounds(self, columns: Indices, lower: Any, upper: Any) -> None:
        super().set_column_bounds(columns, lower, upper)
        self._x.LB, self._x.UB = self.matrices.lower, self.matrices.upper

    def set_row_bounds(self, rows: Indices, lower: Any, upper: Any) -> None:
        super().set_row_bounds(rows, lower, upper)
        self._send_row_bounds(rows)

    def set_values(self, slots: Indices, values: Floats) -> None:
        m = self.matrices
        entries = m.place[slots]
        changed = entries[m.value[entries] != values]
        super().set_values(slots, values)
        for entry, row in zip(changed, m.rows_of(changed), strict=True):
            self._model.chgCoeff(self._rows[row], self._columns[m.column[entry]], m.value[entry])

    def solve(self, start: Floats | None = None) -> Solution:
        began = time.perf_counter()
        grb, model, m = self._grb.GRB, self._model, self.matrices
        model.setObjective(m.cost @ self._x + m.offset, grb.MAXIMIZE)
        if start is not None and self.is_mip:
            self._x.Start = start
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
        if model.Status in (grb.INFEASIBLE, grb.INF_OR_UNBD):
            raise InfeasibleActionSet(
                "the constraints allow no action: relax a capacity, budget or custom constraint"
            )
        limited = model.Status == grb.TIME_LIMIT
        if model.Status != grb.OPTIMAL and not limited:
            raise SolverFailed(
                f"Gurobi stopped with status {model.Status}: check the model's numbers, or try "
                "solver.name=highs"
            )
        bound = model.ObjBound if self.is_mip else (np.inf if limited else model.ObjVal)
        seconds = time.perf_counter() - began
        if model.SolCount == 0:
            return Solution("time_limit", -np.inf, bound, None, None, seconds)
        duals = None if self.is_mip else np.asarray([row.Pi for row in self._rows])
        return Solution(
            status_of(limited, model.ObjVal, bound),
            model.ObjVal,
            bound,
            np.asarray(self._x.X),
            duals,
            seconds,
        )
