"""Minimum of a sum of convex functions by cutting planes, with a level set for stability.

Lemarechal, Nemirovski, Nesterov 1995. Each function has its own cuts. A new point is the nearest to
the best one so far at which the cuts allow a value between the proven minimum and the best value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.errors import InfeasibleActionSet, SolverFailed
from worldplan.milp.program import Program
from worldplan.milp.solvers import Solution, SolverSettings, open_session

LEVEL = 0.5  # between the proven minimum (0) and the best value (1)
ITERATIONS = 500
TINY = 1e-8  # slopes below it are left out: linear programs with them are badly conditioned

Oracle = Callable[[Floats], tuple[Floats, sparse.csr_array]]
"""Values (functions,) and gradients (functions, variables) at a point (variables,)."""


@dataclass(frozen=True)
class Minimum:
    """A point, its value, and a proven lower bound of the minimum.

    Args:
        point: (variables,).
        value: the sum of the functions there.
        lower: no point has a smaller value.
        limited: the time limit, the number of iterations or the solver's rounding ended the search.
    """

    point: Floats
    value: float
    lower: float
    limited: bool


def minimise(
    oracle: Oracle,
    start: Floats,
    radius: float,
    step: float,
    enough: Callable[[float, float], bool],
    deadline: float,
    settings: SolverSettings,
    near: Sequence[Floats] = (),
) -> Minimum:
    """The minimum over points whose coordinates are at most `radius` in size.

    Args:
        oracle: values and gradients.
        start: (variables,) the first point.
        radius: limit of each coordinate.
        step: largest decrease that an iteration aims for: far away, the cuts promise too much.
        enough: whether a value and a lower bound end the search.
        deadline: of `time.perf_counter()`.
        settings: the solver of the cuts.
        near: further points (variables,) whose cuts are known from the beginning.
    """
    point, best, centre, lower = start, np.inf, start, -np.inf
    known = _Known(radius)
    for other in near:
        values, gradients = oracle(other)
        known.add(values - gradients @ other, gradients)
        if values.sum() < best:
            best, centre = float(values.sum()), other
    for _ in range(ITERATIONS):
        values, gradients = oracle(point)
        if values.sum() < best:
            best, centre = float(values.sum()), point
        known.add(values - gradients @ point, gradients)
        cuts = _Cuts(known, settings)
        lower = max(lower, cuts.minimum())
        if enough(best, lower):
            return Minimum(centre, best, lower, False)
        if time.perf_counter() > deadline:
            break
        level = best - step if lower == -np.inf else lower + LEVEL * (best - lower)
        nearest = cuts.nearest(centre, max(level, best - step))
        if nearest is None or np.array_equal(nearest, point):
            break
        point = nearest
    return Minimum(centre, best, lower, True)


class _Known:
    """The distinct cuts: function_i >= height + slope @ point at points of at most `radius`."""

    def __init__(self, radius: float) -> None:
        self.radius = radius
        self.functions = self.variables = 0
        self.function: list[int] = []
        self.height: list[float] = []
        self.slope: list[sparse.csr_array] = []
        self._seen: set[tuple[int, bytes, bytes]] = set()

    def add(self, heights: Floats, slopes: sparse.csr_array) -> None:
        """Add one cut of each function: heights (functions,), slopes (functions, variables)."""
        self.functions, self.variables = slopes.shape
        tiny = np.abs(slopes.data) < TINY
        left_out = sparse.csr_array(
            (np.where(tiny, np.abs(slopes.data), 0.0), slopes.indices, slopes.indptr), slopes.shape
        )
        heights = heights - self.radius * left_out.sum(1)
        kept = sparse.csr_array(
            (np.where(tiny, 0.0, slopes.data), slopes.indices, slopes.indptr), slopes.shape
        )
        kept.eliminate_zeros()
        for function, height in enumerate(heights.tolist()):
            part = slice(*kept.indptr[[function, function + 1]])
            key = (function, kept.indices[part].tobytes(), kept.data[part].tobytes())
            if key not in self._seen:
                self._seen.add(key)
                self.function.append(function)
                self.height.append(height)
                self.slope.append(kept[[function]])


class _Cuts:
    """The cuts as a linear program in the point, one value per function, and a distance."""

    def __init__(self, known: _Known, settings: SolverSettings) -> None:
        functions, variables, cuts = known.functions, known.variables, len(known.height)
        program = Program()
        self.point = program.add_columns(variables, -known.radius, known.radius)
        self.value = program.add_columns(functions, -np.inf)
        self.distance = program.add_columns(1)
        own = sparse.csr_array(
            (np.ones(cuts), (np.arange(cuts), known.function)), shape=(cuts, functions)
        )
        # value_i - slope @ point >= height
        program.add_rows(
            (self.value, own), (self.point, -sparse.vstack(known.slope)), lower=known.height
        )
        # |point - centre| <= distance, and sum of value <= level, set in `solve`
        unit, far = sparse.identity(variables), np.ones((variables, 1))
        self.above = program.add_rows((self.point, unit), (self.distance, -far)).index
        self.below = program.add_rows((self.point, unit), (self.distance, far)).index
        self.level = program.add_rows((self.value, np.ones((1, functions)))).index
        self.session = open_session(program, settings)

    def minimum(self) -> float:
        """The least sum of the cuts; minus infinity where the solver did not find it."""
        solution = self._solve(None, None)
        return -np.inf if solution is None else -solution.value

    def nearest(self, centre: Floats, level: float) -> Floats | None:
        """The nearest point at which the cuts allow the level, or None: the solver found none."""
        solution = self._solve(centre, level)
        return None if solution is None or solution.x is None else solution.x[self.point]

    def _solve(self, centre: Floats | None, level: float | None) -> Solution | None:
        session, nearest = self.session, centre is not None
        session.set_cost(self.value, np.full(len(self.value), 0.0 if nearest else -1.0))
        session.set_cost(self.distance, np.array([-1.0 if nearest else 0.0]))
        session.set_row_bounds(self.above, -np.inf, centre if nearest else np.inf)
        session.set_row_bounds(self.below, centre if nearest else -np.inf, np.inf)
        session.set_row_bounds(self.level, -np.inf, level if nearest else np.inf)
        try:
            solution = session.solve()
        except (InfeasibleActionSet, SolverFailed):
            return None  # by rounding: the program always has a solution
        return None if solution.x is None else solution
