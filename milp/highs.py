"""The HiGHS solver, the default."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from worldplan.milp.confirmation import Claims
from worldplan.milp.errors import InfeasibleActionSet, SolverFailed
from worldplan.milp.program import Floats, Indices
from worldplan.milp.session import LEAST_GAP, Session, Solution, objective_unit, status_of

# the solve that confirms starts from the best point, so it needs no search for points
_PROOF = {
    "mip_detect_symmetry": False,
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
}

# options of the attempts at a linear program; rounding can stop an attempt ("Not Set", "Unknown")
_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {},
    {"presolve": "off"},
    {"simplex_strategy": 4},  # the primal simplex method
    {"solver": "ipm"},
)


class HighsSession(Session):
    """HiGHS through its array interface."""

    def _open(self) -> None:
        import highspy

        settings = self.settings
        self._highspy: Any = highspy
        self._highs: Any = self._highspy.Highs()
        self._loaded = self._cost_passed = False
        self._unit = 1.0  # of the objective in HiGHS
        self._infeasible = (
            highspy.HighsModelStatus.kInfeasible,
            highspy.HighsModelStatus.kUnboundedOrInfeasible,
        )
        options: dict[str, Any] = {
            "output_flag": False,
            "threads": settings.threads,
            "parallel": "off" if settings.threads == 1 else "choose",
            "random_seed": settings.seed,
            "mip_feasibility_tolerance": 1e-7,
        }
        if settings.quick:
            options |= {
                "presolve": "off",
                "mip_detect_symmetry": False,
                "mip_heuristic_run_feasibility_jump": False,
            }
        for option, value in options.items():
            self._highs.setOptionValue(option, value)

    def set_cost(self, columns: Indices, cost: Floats, offset: float | None = None) -> None:
        super().set_cost(columns, cost, offset)
        self._cost_passed = False

    def set_column_bounds(self, columns: Indices, lower: Any, upper: Any) -> None:
        super().set_column_bounds(columns, lower, upper)
        if self._loaded:
            index = np.asarray(columns, np.int32)
            self._highs.changeColsBounds(
                len(index), index, self.matrices.lower[columns], self.matrices.upper[columns]
            )

    def set_row_bounds(self, rows: Indices, lower: Any, upper: Any) -> None:
        super().set_row_bounds(rows, lower, upper)
        if self._loaded:
            index = np.asarray(rows, np.int32)
            self._highs.changeRowsBounds(
                len(index), index, self.matrices.row_lower[rows], self.matrices.row_upper[rows]
            )

    def set_values(self, slots: Indices, values: Floats) -> None:
        super().set_values(slots, values)
        # passing the whole model again is cheaper than thousands of calls for single coefficients
        self._loaded = False

    def _load(self) -> None:
        m, highspy = self.matrices, self._highspy
        self._unit = objective_unit(m.cost)
        columns = (m.cost / self._unit, m.lower, m.upper)
        arrays = (*columns, m.row_lower, m.row_upper, m.starts, m.column, m.value)
        self._highs.passModel(
            len(m.cost),
            len(m.row_lower),
            len(m.value),
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMaximize),
            m.offset / self._unit,
            *arrays,
            m.integer.astype(np.int32),
        )
        self._loaded = self._cost_passed = True

    def _pass_cost(self) -> None:
        m = self.matrices
        self._unit = objective_unit(m.cost)
        columns = np.arange(len(m.cost), dtype=np.int32)
        self._highs.changeColsCost(len(columns), columns, m.cost / self._unit)
        self._highs.changeObjectiveOffset(m.offset / self._unit)
        self._cost_passed = True

    def basis(self) -> Any:
        return self._highs.getBasis()

    def solve(
        self,
        start: Floats | None = None,
        *,
        basis: Any = None,
        time_limit: float | None = None,
        absolute_gap: float = 0.0,
    ) -> Solution:
        began = time.perf_counter()
        limit = self.settings.time_limit if time_limit is None else time_limit
        deadline = began + limit
        if not self._loaded:
            self._load()
        elif not self._cost_passed:
            self._pass_cost()
        self._highs.setOptionValue("mip_rel_gap", self.settings.gap)
        self._highs.setOptionValue("mip_abs_gap", max(LEAST_GAP, absolute_gap / self._unit))
        if not self.is_mip:
            return replace(self._linear(basis, deadline), seconds=time.perf_counter() - began)
        claims = Claims(self.matrices, self._unit)
        for way in self._ways():
            try:
                claims.add(self._run(way, start, None, deadline))
            except InfeasibleActionSet:
                claims.add(None)
            except SolverFailed as error:
                claims.add_failure(error)
            if claims.settled:
                break
            start = start if claims.start is None else claims.start
        return replace(claims.answer(), seconds=time.perf_counter() - began)

    def _linear(self, basis: Any, deadline: float) -> Solution:
        """Solve a linear program, by the first attempt that HiGHS does not give up."""
        for way in _ATTEMPTS[:-1]:
            try:
                return self._run(way, None, basis, deadline)
            except SolverFailed:
                basis = None
        return self._run(_ATTEMPTS[-1], None, None, deadline)

    def _ways(self) -> Iterator[dict[str, Any]]:
        """Options of the solves of one program, of which two must agree (see `confirmation`)."""
        other = "choose" if self.settings.quick else "off"
        seed = self.settings.seed
        yield {}
        # presolve costs several times the search of a small program: the second solve is without
        yield _PROOF | {"presolve": "off", "random_seed": seed + 1}
        yield _PROOF | {"presolve": "choose", "random_seed": seed + 2}
        yield {"presolve": other, "random_seed": seed + 3, "mip_pool_age_limit": 0}

    def _run(
        self, way: Mapping[str, Any], start: Floats | None, basis: Any, deadline: float
    ) -> Solution:
        """Solve once, with the options of `way`."""
        began = time.perf_counter()
        self._highs.clearSolver()
        if basis is not None:
            self._highs.setBasis(basis)
        if start is not None and self.is_mip:
            point = self._highspy.HighsSolution()
            point.col_value = start.tolist()
            point.value_valid = True
            self._highs.setSolution(point)
        # HiGHS counts its time limit over the life of the object
        limit = max(deadline - time.perf_counter(), 0.0)
        self._highs.setOptionValue("time_limit", self._highs.getRunTime() + limit)
        usual = {name: self._highs.getOptionValue(name)[1] for name in way}
        try:
            for name, value in way.items():
                self._highs.setOptionValue(name, value)
            self._highs.run()
        finally:
            for name, value in usual.items():
                self._highs.setOptionValue(name, value)
        return self._read(time.perf_counter() - began)

    def _read(self, seconds: float) -> Solution:
        status, info = self._highs.getModelStatus(), self._highs.getInfo()
        names = self._highspy.HighsModelStatus
        if status in self._infeasible:
            raise InfeasibleActionSet(
                "the constraints allow no action: relax a capacity, budget or custom constraint"
            )
        limited = status in (names.kTimeLimit, names.kIterationLimit, names.kInterrupt)
        if status != names.kOptimal and not limited:
            name = self._highs.modelStatusToString(status)
            raise SolverFailed(
                f"HiGHS stopped with '{name}': check the model's numbers, or try solver.name=gurobi"
            )
        if self.is_mip:
            bound, has_point = info.mip_dual_bound, info.primal_solution_status == 2
        else:
            bound, has_point = info.objective_function_value, not limited
        bound *= self._unit
        if not has_point:
            return Solution(
                "time_limit", -np.inf, np.inf if not self.is_mip else bound, None, None, seconds
            )
        point = self._highs.getSolution()
        value = info.objective_function_value * self._unit
        duals = None if self.is_mip else np.asarray(point.row_dual) * self._unit
        return Solution(
            status_of(limited, value, bound, self._unit),
            value,
            bound,
            np.asarray(point.col_value),
            duals,
            seconds,
        )
