"""Minimum of a sum of convex functions by cutting planes, with a level set for stability.

Lemarechal, Nemirovski, Nesterov 1995. Each function has its own cuts. A new point is the nearest to
the best one so far at which the cuts allow a value between the proven minimum and the best value.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.program import Program
from worldplan.milp.solvers import SolverSettings, open_session

LEVEL = 0.5  # between the proven minimum (0) and the best value (1)
ITERATIONS = 500

Oracle = Callable[[Floats], tuple[Floats, sparse.csr_array]]
"""Values (functions,) and gradients (functions, variables) at a point (variables,)."""


@dataclass(frozen=True)
class Minimum:
    """A point, its value, and a proven lower bound of the minimum.

    Args:
        point: (variables,).
        value: the sum of the functions there.
        lower: no point has a smaller value.
        limited: the time limit or the number of iterations ended the search.
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
    """
    point, best, centre, lower = start, np.inf, start, -np.inf
    heights: list[Floats] = []
    slopes: list[sparse.csr_array] = []
    for _ in range(ITERATIONS):
        values, gradients = oracle(point)
        if values.sum() < best:
            best, centre = float(values.sum()), point
        heights.append(values - gradients @ point)
        slopes.append(gradients)
        cuts = _Cuts(heights, slopes, radius, settings)
        minimum, _ = cuts.solve(None, None)
        lower = max(lower, minimum)
        if enough(best, lower):
            return Minimum(centre, best, lower, False)
        if time.perf_counter() > deadline:
            break
        _, nearest = cuts.solve(centre, max(lower + LEVEL * (best - lower), best - step))
        if nearest is None or np.array_equal(nearest, point):
            break
        point = nearest
    return Minimum(centre, best, lower, True)


class _Cuts:
    """The cuts as a linear program in the point, one value per function, and a distance."""

    def __init__(
        self,
        heights: list[Floats],
        slopes: list[sparse.csr_array],
        radius: float,
        settings: SolverSettings,
    ) -> None:
        functions, variables = slopes[0].shape
        program = Program()
        self.point = program.add_columns(variables, -radius, radius)
        self.value = program.add_columns(functions, -np.inf)
        self.distance = program.add_columns(1)
        each = sparse.vstack([sparse.identity(functions)] * len(heights))
        # value_i - slope @ point >= height
        program.add_rows(
            (self.value, each), (self.point, -sparse.vstack(slopes)), lower=np.concatenate(heights)
        )
        # |point - centre| <= distance, and sum of value <= level, set in `solve`
        unit, far = sparse.identity(variables), np.ones((variables, 1))
        self.above = program.add_rows((self.point, unit), (self.distance, -far)).index
        self.below = program.add_rows((self.point, unit), (self.distance, far)).index
        self.level = program.add_rows((self.value, np.ones((1, functions)))).index
        self.session = open_session(program, settings)

    def solve(self, centre: Floats | None, level: float | None) -> tuple[float, Floats | None]:
        """The least sum of the cuts; with a centre, the nearest point within the level.

        Without a solution within the time limit: minus infinity and None.
        """
        session, nearest = self.session, centre is not None
        session.set_cost(self.value, np.full(len(self.value), 0.0 if nearest else -1.0))
        session.set_cost(self.distance, np.array([-1.0 if nearest else 0.0]))
        session.set_row_bounds(self.above, -np.inf, centre if nearest else np.inf)
        session.set_row_bounds(self.below, centre if nearest else -np.inf, np.inf)
        session.set_row_bounds(self.level, -np.inf, level if nearest else np.inf)
        solution = session.solve()
        if solution.x is None:
            return -np.inf, None
        return -solution.value, solution.x[self.point]
