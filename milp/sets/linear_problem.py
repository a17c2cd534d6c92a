"""A linear objective over one feasible set: loaded once, solved for many weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet, SolverFailed
from worldplan.milp.program import Floats, Program
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import Solution, SolverSettings, open_session


class LinearProblem:
    """Maximises `weights @ action` over a feasible set.

    The action is the first `actions.size` columns of a solution.

    Args:
        actions: the feasible set.
        relaxed: drop integrality (of the action too), for bounds and cutting planes.
        settings: the solver; a proven optimum by HiGHS unless given.

    Raises:
        ConfigError: `actions` is no feasible set, or `settings` no solver settings.
        SolverUnavailable: the solver is not installed or not licensed.
    """

    def __init__(
        self, actions: ActionSet, *, relaxed: bool = False, settings: SolverSettings | None = None
    ) -> None:
        checks.of_type(actions, "actions", ActionSet, remedy="an ActionSet")
        if settings is not None:
            checks.of_type(settings, "settings", SolverSettings)
        program = Program()
        self.size = actions.size
        self.columns = program.add_columns(self.size, 0.0, 1.0, integer=not relaxed)
        actions.add_constraints(program, self.columns, relaxed=relaxed)
        self._session = open_session(program, settings or SolverSettings(gap=0.0))
        self.integer = self._session.matrices.integer

    def solve(
        self,
        weights: ArrayLike,
        *,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = 1.0,
        time_limit: float | None = None,
        absolute_gap: float = 0.0,
    ) -> Solution:
        """The optimum for `weights` (size,) with the action between `lower` and `upper` (size,).

        Args:
            weights: of the components.
            lower: least value of each component.
            upper: largest value of each component.
            time_limit: seconds; that of the settings unless given.
            absolute_gap: bound - value at which the solve may stop as well.

        Raises:
            ConfigError: the weights are no finite numbers, or of another shape.
            InfeasibleActionSet: there is no such action.
            SolverFailed: the solver stopped without an answer.
        """
        shape = () if np.ndim(weights) == 0 else (self.size,)
        cost = checks.array(weights, "weights", shape, error=ConfigError)
        with self._session.lock:
            self._session.set_cost(self.columns, np.broadcast_to(cost, (self.size,)))
            self._session.set_column_bounds(self.columns, lower, upper)
            return self._session.solve(time_limit=time_limit, absolute_gap=absolute_gap)

    def best(self, weights: ArrayLike, *, lower: ArrayLike = 0.0, upper: ArrayLike = 1.0) -> Action:
        """The best action, (size,); arguments and further errors as in `solve`.

        Raises:
            SolverFailed: no action was found within the time limit.
        """
        solution = self.solve(weights, lower=lower, upper=upper)
        if solution.x is None:
            raise SolverFailed(
                "no feasible action was found in the time limit: raise solver.time_limit"
            )
        return np.rint(solution.x[: self.size]).astype(np.int8)

    def complete(self, action: Action) -> Floats | None:
        """Values of the auxiliary columns (n,) that prove `action` (size,) feasible, or None.

        Raises:
            SolverFailed: not decided within the time limit.
        """
        try:
            solution = self.solve(0.0, lower=action, upper=action)
        except InfeasibleActionSet:
            return None
        if solution.x is None:
            raise SolverFailed(
                "an action could not be checked in the time limit: "
                "raise solver.time_limit or simplify the set"
            )
        return np.where(self.integer, np.rint(solution.x), solution.x)[self.size :]
