"""What every solver session has: settings, the result of a solve, and setters for the numbers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Floats, Indices, Matrices, Program
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean


@dataclass(frozen=True)
class SolverSettings:
    """How to solve.

    Args:
        name: "highs" (default, free) or "gurobi" (needs `worldplan[gurobi]`; its bundled licence is
            size-limited).
        gap: relative gap at which a solve may stop, |bound - value| <= gap * |value|; 0 for a
            proven optimum. Planners of bandits measure value and bound from the value of the
            set's default action, so that no constant in the rewards counts (see `missing_share`).
        time_limit: seconds for one decision, or for one solve outside of a decision.
        threads: threads of one solve; 1 makes a solve repeatable and leaves the other cores to
            parallel jobs; 0 takes all cores.
        seed: the solver's own random seed.
        quick: HiGHS skips presolve, symmetry detection and its feasibility jump, which cost more
            than they save on small models that are solved often from a good start.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    name: str = "highs"
    gap: float = 1e-4
    time_limit: float = 60.0
    threads: int = 1
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "solver.", infinite=("time_limit",))
        if self.name not in ("highs", "gurobi"):
            near = did_you_mean(str(self.name), ("highs", "gurobi"))
            raise ConfigError(f"solver '{self.name}' is unknown{near}: use 'highs' or 'gurobi'")
        if not self.time_limit > 0:
            raise ConfigError(
                f"solver.time_limit is {self.time_limit:g} s: give a positive number of seconds"
            )
        if not 0 <= self.gap < 1:
            raise ConfigError(f"solver.gap is {self.gap:g}: give a relative gap between 0 and 1")
        if self.threads < 0 or self.seed < 0:
            raise ConfigError(
                f"solver.threads is {self.threads} and solver.seed {self.seed}: give 0 or more "
                "(0 threads: all cores)"
            )


@dataclass(frozen=True, slots=True)
class Solution:
    """The result of a solve: a point, its value, and a proven upper bound.

    Args:
        status: "optimal" (relative gap at most 1e-6, or nothing left but rounding), "within_gap" or
            "time_limit".
        value: objective of `x`; -inf where there is no point.
        bound: proven upper bound of the objective; it holds after the time limit, too.
        x: (columns,) the point, or None where the time limit came before a feasible one.
        row_dual: (rows,) dual values of a linear program, None for one with integer variables.
        seconds: wall-clock time.
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
    """max(0, bound - value) / |value|: the gap of both solvers for a maximisation."""
    if bound <= value:
        return 0.0
    return float("inf") if value == 0 or not np.isfinite(bound) else (bound - value) / abs(value)


def missing_share(value: float, bound: float, zero: float) -> float:
    """(bound - value) / (bound - zero): the proven share of what is possible that may be missing.

    Args:
        value: of the solution.
        bound: proven upper bound.
        zero: value of a solution that needs no decision. No unit of the objective, and no constant
            in it, changes the share.
    """
    if bound <= value:
        return 0.0
    if not np.isfinite(bound) or zero >= bound:
        return 1.0
    return min(1.0, (bound - value) / (bound - zero))


LEAST_GAP = 1e-9  # absolute, in the unit of the objective: what a solver leaves of a proof


def status_of(limited: bool, value: float, bound: float, unit: float = 1.0) -> str:
    """The status of a solve that has a point.

    Args:
        limited: it ended at the time limit.
        value: of the point.
        bound: proven upper bound.
        unit: of the objective in the solver.
    """
    if limited:
        return "time_limit"
    closed = relative_gap(value, bound) <= 1e-6 or bound - value <= 2 * LEAST_GAP * unit
    return "optimal" if closed else "within_gap"


def objective_unit(cost: Floats) -> float:
    """The unit in which an objective (columns,) is given to a solver.

    The solvers' tolerances are absolute: with rewards of 1e-6, an optimum within 1e-7 is far off,
    and rewards of 1e8 cannot be solved to 1e-7 at all. Outside an ordinary range, the largest
    coefficient is therefore brought between 1 and 2, by a power of two, which rounds nothing.
    """
    largest = float(np.abs(cost).max(initial=0.0))
    if largest == 0 or 0.5 <= largest <= 1000:
        return 1.0
    return float(2.0 ** np.floor(np.log2(largest)))


class Lock:
    """A reentrant lock for `with`. A copy, also one by pickle, is a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


class Session(ABC):
    """One program loaded in a solver.

    Numbers change through the setters; the sparsity pattern is fixed. A solve depends on these
    numbers and on its own arguments only: what the solver found before is discarded, so that a
    session that has solved other numbers gives what a fresh one gives. A copy (`copy.deepcopy`,
    `pickle`) has the same numbers and a solver of its own. Threads that share a session hold its
    `lock` from the first setter to the end of the solve.

    Args:
        program: what is maximised.
        settings: gap, limits, threads.
    """

    def __init__(self, program: Program, settings: SolverSettings) -> None:
        self.settings = settings
        self.matrices: Matrices = program.matrices()
        self.is_mip = bool(self.matrices.integer.any())
        self.lock = Lock()
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Open a solver for the session's settings."""

    def __getstate__(self) -> dict[str, Any]:
        kept = ("settings", "matrices", "is_mip", "lock")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def set_cost(self, columns: Indices, cost: Floats, offset: float | None = None) -> None:
        """Set objective coefficients (columns,), and the constant if given."""
        self.matrices.cost[columns] = cost
        if offset is not None:
            self.matrices.offset = offset

    def set_column_bounds(self, columns: Indices, lower: Any, upper: Any) -> None:
        """Set the bounds of variables; `lower` and `upper` are (columns,) or scalar."""
        self.matrices.lower[columns] = lower
        self.matrices.upper[columns] = upper

    def set_row_bounds(self, rows: Indices, lower: Any, upper: Any) -> None:
        """Set the bounds of constraints; `lower` and `upper` are (rows,) or scalar."""
        self.matrices.row_lower[rows] = lower
        self.matrices.row_upper[rows] = upper

    def set_values(self, slots: Indices, values: Floats) -> None:
        """Set constraint coefficients (slots,), by the slots that `Program.add_rows` returned."""
        self.matrices.value[self.matrices.place[slots]] = values

    @abstractmethod
    def basis(self) -> Any:
        """The basis at which the last solve of a linear program ended, an argument of `solve`."""

    @abstractmethod
    def solve(
        self,
        start: Floats | None = None,
        *,
        basis: Any = None,
        time_limit: float | None = None,
        absolute_gap: float = 0.0,
    ) -> Solution:
        """Maximise, from what is given.

        Args:
            start: a feasible point (columns,) of a program with integer variables.
            basis: of this session; the simplex method starts there. Without it, the session is
                solved from the beginning.
            time_limit: seconds, such as those left of a decision; the settings' own unless given.
            absolute_gap: bound - value at which the solve may stop as well, in the objective's
                unit.

        Raises:
            InfeasibleActionSet: no point satisfies the constraints.
            SolverFailed: the solver stopped for another reason than optimum, gap or time limit.
            SolverUnavailable: the program exceeds the size that the licence allows.
        """
