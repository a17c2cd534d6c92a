"""HiGHS (default) and Gurobi behind one small interface: open a session on a program, change
numbers, solve again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError, InfeasibleActionSet, SolverFailed, SolverUnavailable
from worldplan.milp.program import Floats, Indices, Matrices, Program


@dataclass(frozen=True)
class SolverSettings:
    """How to solve.

    Args:
        name: "highs" (default, free) or "gurobi" (needs `worldplan[gurobi]`; its bundled licence is
            size-limited).
        gap: relative gap at which a solve may stop, |bound - value| <= gap * |value|; 0 asks for a
            proven optimum.
        time_limit: seconds for one solve.
        threads: threads of one solve; 1 makes a solve repeatable and leaves the other cores to
            parallel jobs.
        seed: the solver's own random seed.
        quick: HiGHS skips presolve, symmetry detection and its feasibility jump, which cost more
            than they save on small models that are solved often from a good start.
    """

    name: str = "highs"
    gap: float = 1e-4
    time_limit: float = 60.0
    threads: int = 1
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        if self.name not in ("highs", "gurobi"):
            raise ConfigError(f"solver '{self.name}' is unknown: use 'highs' or 'gurobi'")
        if not self.time_limit > 0:
            raise ConfigError(
                f"solver.time_limit is {self.time_limit:g} s: give a positive number of seconds"
            )
        if not 0 <= self.gap < 1:
            raise ConfigError(f"solver.gap is {self.gap:g}: give a relative gap between 0 and 1")
        if self.threads < 0 or self.seed < 0:
            raise ConfigError(
                f"solver.threads is {self.threads} and solver.seed {self.seed}: give 0 or more (0 threads: all cores)"
            )


@dataclass(frozen=True, slots=True)
class Solution:
    """What a solver found: a point, its value, and the upper bound it proved.

    `status` is "optimal" (gap proven zero to tolerance), "within_gap" or "time_limit". After the
    time limit `x` may be None (no feasible point yet); the bound still holds.
    """

    status: str
    value: float
    bound: float
    x: Floats | None
    row_dual: Floats | None
    seconds: float

    @property
    def gap(self) -> float:
        """Proven relative gap."""
        return relative_gap(self.value, self.bound)


def relative_gap(value: float, bound: float) -> float:
    """max(0, bound - value) / |value|, the gap both solvers use for a maximisation."""
    if bound <= value:
        return 0.0
    return float("inf") if value == 0 or not np.isfinite(bound) else (bound - value) / abs(value)


class Session(ABC):
    """One program loaded in a solver. Numbers change through the setters; the pattern never does."""

    def __init__(self, program: Program, settings: SolverSettings) -> None:
        self.settings = settings
        self.m: Matrices = program.matrices()
        self.is_mip = bool(self.m.integer.any())

    def set_cost(self, columns: Indices, cost: Floats, offset: float | None = None) -> None:
        """Objective coefficients, and the constant if given."""
        self.m.cost[columns] = cost
        if offset is not None:
            self.m.offset = offset

    def set_column_bounds(self, columns: Indices, lower: Any, upper: Any) -> None:
        """Variable bounds."""
        self.m.lower[columns] = lower
        self.m.upper[columns] = upper

    def set_row_bounds(self, rows: Indices, lower: Any, upper: Any) -> None:
        """Constraint bounds."""
        self.m.row_lower[rows] = lower
        self.m.row_upper[rows] = upper

    def set_values(self, slots: Indices, values: Floats) -> None:
        """Constraint coefficients, by the slots that `Program.add_rows` returned."""
        self.m.value[self.m.place[slots]] = values

    @abstractmethod
    def solve(self, start: Floats | None = None) -> Solution:
        """Solve from a feasible `start` if given. Raises InfeasibleActionSet or SolverFailed."""


class HighsSession(Session):
    """HiGHS through its array interface. A linear program keeps its basis between solves."""

    def __init__(self, program: Program, settings: SolverSettings) -> None:
        super().__init__(program, settings)
        import highspy

        self._lib = highspy
        self._highs: Any = highspy.Highs()
        self._loaded = False
        self._infeasible = (
            highspy.HighsModelStatus.kInfeasible,
            highspy.HighsModelStatus.kUnboundedOrInfeasible,
        )
        options: dict[str, Any] = {
            "output_flag": False,
            "threads": settings.threads,
            "parallel": "off" if settings.threads == 1 else "choose",
            "random_seed": settings.seed,
            "mip_rel_gap": settings.gap,
            "mip_abs_gap": 1e-9,
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
        if self._loaded:
            self._highs.changeColsCost(
                len(columns),
                np.asarray(columns, np.int32),
                np.ascontiguousarray(self.m.cost[columns]),
            )
            if offset is not None:
                self._highs.changeObjectiveOffset(offset)

    def set_column_bounds(self, columns: Indices, lower: Any, upper: Any) -> None:
        super().set_column_bounds(columns, lower, upper)
        if self._loaded:
            index = np.asarray(columns, np.int32)
            self._highs.changeColsBounds(
                len(index), index, self.m.lower[columns], self.m.upper[columns]
            )

    def set_row_bounds(self, rows: Indices, lower: Any, upper: Any) -> None:
        super().set_row_bounds(rows, lower, upper)
        if self._loaded:
            index = np.asarray(rows, np.int32)
            self._highs.changeRowsBounds(
                len(index), index, self.m.row_lower[rows], self.m.row_upper[rows]
            )

    def set_values(self, slots: Indices, values: Floats) -> None:
        super().set_values(slots, values)
        self._loaded = (
            False  # one bulk hand-over is cheaper than thousands of single coefficient calls
        )

    def _load(self) -> None:
        m, lib = self.m, self._lib
        arrays = (m.cost, m.lower, m.upper, m.row_lower, m.row_upper, m.starts, m.column, m.value)
        self._highs.passModel(
            len(m.cost),
            len(m.row_lower),
            len(m.value),
            int(lib.MatrixFormat.kRowwise),
            int(lib.ObjSense.kMaximize),
            m.offset,
            *arrays,
            m.integer.astype(np.int32),
        )
        self._loaded = True

    def solve(self, start: Floats | None = None) -> Solution:
        began = time.perf_counter()
        if not self._loaded:
            self._load()
        if start is not None and self.is_mip:
            point = self._lib.HighsSolution()
            point.col_value = start.tolist()
            point.value_valid = True
            self._highs.setSolution(point)
        # HiGHS counts its time limit over the life of the object
        self._highs.setOptionValue(
            "time_limit", self._highs.getRunTime() + self.settings.time_limit
        )
        self._highs.run()
        if not self.settings.quick and self._highs.getModelStatus() in self._infeasible:
            # presolve of HiGHS 1.15 has called feasible mixed-integer programmes infeasible: ask
            # without it before believing so
            self._highs.setOptionValue("presolve", "off")
            self._highs.run()
            self._highs.setOptionValue("presolve", "choose")
        return self._read(time.perf_counter() - began)

    def _read(self, seconds: float) -> Solution:
        status, info = self._highs.getModelStatus(), self._highs.getInfo()
        names = self._lib.HighsModelStatus
        if status in self._infeasible:
            raise InfeasibleActionSet(
                "the constraints admit no action: relax a capacity, budget or custom constraint"
            )
        limited = status in (names.kTimeLimit, names.kIterationLimit, names.kInterrupt)
        if status != names.kOptimal and not limited:
            name = self._highs.modelStatusToString(status)
            raise SolverFailed(
                f"HiGHS stopped with '{name}': check the model's numbers, or try solver.name=gurobi"
            )
        if self.is_mip:
            bound, found = info.mip_dual_bound, info.primal_solution_status == 2
        else:
            bound, found = info.objective_function_value, not limited
        if not found:
            return Solution(
                "time_limit", -np.inf, np.inf if not self.is_mip else bound, None, None, seconds
            )
        point = self._highs.getSolution()
        value = info.objective_function_value
        duals = None if self.is_mip else np.asarray(point.row_dual)
        return Solution(
            _status(limited, value, bound),
            value,
            bound,
            np.asarray(point.col_value),
            duals,
            seconds,
        )


class GurobiSession(Session):
    """Gurobi through its matrix interface; only the numbers that changed are sent."""

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
        from scipy import sparse

        m, grb = self.m, self._grb.GRB
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
        pick = sparse.csr_matrix(
            (-np.ones(len(ranged)), (ranged, np.arange(len(ranged)))),
            shape=(len(m.row_lower), len(ranged)),
        )
        everything = self._grb.concatenate([self._x, self._slack])
        rows = self._model.addMConstr(
            sparse.hstack([matrix, pick]).tocsr(),
            everything,
            self._sense,
            np.zeros(len(m.row_lower)),
        )
        self._model.update()
        self._rows, self._columns = rows.tolist(), self._x.tolist()
        self._send_row_bounds(np.arange(len(m.row_lower)))

    def _send_row_bounds(self, rows: Indices) -> None:
        m = self.m
        side = np.where(self._sense == ">", m.row_lower, m.row_upper)
        side[self._ranged] = 0.0
        self._model.setAttr("RHS", [self._rows[r] for r in rows], side[rows].tolist())
        if len(self._ranged):
            self._slack.LB, self._slack.UB = m.row_lower[self._ranged], m.row_upper[self._ranged]

    def set_column_bounds(self, columns: Indices, lower: Any, upper: Any) -> None:
        super().set_column_bounds(columns, lower, upper)
        self._x.LB, self._x.UB = self.m.lower, self.m.upper

    def set_row_bounds(self, rows: Indices, lower: Any, upper: Any) -> None:
        super().set_row_bounds(rows, lower, upper)
        self._send_row_bounds(rows)

    def set_values(self, slots: Indices, values: Floats) -> None:
        entries = self.m.place[slots]
        changed = entries[self.m.value[entries] != values]
        super().set_values(slots, values)
        for entry, row in zip(changed, self.m.rows_of(changed), strict=True):
            self._model.chgCoeff(
                self._rows[row], self._columns[self.m.column[entry]], self.m.value[entry]
            )

    def solve(self, start: Floats | None = None) -> Solution:
        began = time.perf_counter()
        grb, model = self._grb.GRB, self._model
        model.setObjective(self.m.cost @ self._x + self.m.offset, grb.MAXIMIZE)
        if start is not None and self.is_mip:
            self._x.Start = start
        try:
            model.optimize()
        except self._grb.GurobiError as error:
            if error.errno == 10010:
                raise SolverUnavailable(
                    f"{len(self.m.cost)} variables and {len(self.m.row_lower)} constraints exceed the size limit of this Gurobi licence: "
                    "install a full licence, or set solver.name=highs"
                ) from error
            raise SolverFailed(f"Gurobi failed: {error}") from error
        if model.Status in (grb.INFEASIBLE, grb.INF_OR_UNBD):
            raise InfeasibleActionSet(
                "the constraints admit no action: relax a capacity, budget or custom constraint"
            )
        limited = model.Status == grb.TIME_LIMIT
        if model.Status != grb.OPTIMAL and not limited:
            raise SolverFailed(
                f"Gurobi stopped with status {model.Status}: check the model's numbers, or try solver.name=highs"
            )
        bound = model.ObjBound if self.is_mip else (np.inf if limited else model.ObjVal)
        seconds = time.perf_counter() - began
        if model.SolCount == 0:
            return Solution("time_limit", -np.inf, bound, None, None, seconds)
        duals = None if self.is_mip else np.asarray([row.Pi for row in self._rows])
        return Solution(
            _status(limited, model.ObjVal, bound),
            model.ObjVal,
            bound,
            np.asarray(self._x.X),
            duals,
            seconds,
        )


def _status(limited: bool, value: float, bound: float) -> str:
    if limited:
        return "time_limit"
    return "optimal" if relative_gap(value, bound) <= 1e-6 else "within_gap"


def open_session(program: Program, settings: SolverSettings) -> Session:
    """Load `program` into the solver that `settings` names. Raises SolverUnavailable."""
    return {"highs": HighsSession, "gurobi": GurobiSession}[settings.name](program, settings)
