"""The exact best joint action for given values of each arm's intervention levels."""

from __future__ import annotations

import time

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.program import Indices, Program
from worldplan.milp.sets.base import Action, Budget
from worldplan.milp.solvers import SolverSettings, open_session
from worldplan.planners.bandits.models import large_constants
from worldplan.planners.base import Decision

EXACT = SolverSettings(gap=0.0)


class LevelMaximiser:
    """Maximises sum_j values[j, level_j(a)] over the feasible actions a of an instance.

    Without several interventions per arm, level_j = a_j and the objective is linear in the action.
    With several (`effect`), y_jk = 1 if arm j has its k-th strength:

        sum_k y_jk = 1        sum_k strength_jk y_jk = effect_j @ a        y binary

    y must be binary: a mixture of a lower and a higher strength would also satisfy the equations,
    and earn too much where the values are not concave in the strength.

    The program is built and loaded once; `maximise` only changes costs. A plain `Budget` without
    `effect` needs no solver: the best arms are found by sorting.

    Args:
        instance: actions and dynamics.
        settings: the solver; a proven optimum unless given.

    Raises:
        ConfigError: the dynamics have an effect matrix but no strengths.
        SolverUnavailable: the solver is not installed or not licensed.
    """

    def __init__(self, instance: BanditInstance, settings: SolverSettings = EXACT) -> None:
        checks.of_type(instance, "instance", BanditInstance, remedy="a BanditInstance")
        self.instance, self._set = instance, instance.actions
        self._linear = instance.dynamics.effect is None
        self._budget = self._set if self._linear and type(self._set) is Budget else None
        if self._budget is not None:
            return
        program = Program()
        self._action = program.add_columns(self._set.size, 0.0, self._set.selectable, integer=True)
        self._set.add_constraints(program, self._action)
        self._columns = self._action
        if not self._linear:
            self._columns, self._kept = add_levels(program, self._action, instance.dynamics)
        self._session = open_session(program, settings)

    def maximise(self, values: Floats) -> Decision:
        """The best action for `values` (arms, levels), its value and proven bound.

        Raises:
            SolverFailed: the time limit passed before any action was found.
        """
        started = time.perf_counter()
        if self._budget is not None:
            gain = values[:, 1] - values[:, 0]
            action = best_of_budget(gain, self._budget)
            value = float(values[:, 0].sum() + gain @ action)
            return Decision(action, value, value, "optimal", time.perf_counter() - started)
        low = large_constants(values.min(1), float(np.ptp(values, axis=1).max()))
        values, constant = values - low[:, None], float(low.sum())
        with self._session.lock:
            if self._linear:
                self._session.set_cost(
                    self._columns, values[:, 1] - values[:, 0], float(values[:, 0].sum())
                )
            else:
                self._session.set_cost(self._columns, values[self._kept])
            solution = self._session.solve()
        if solution.x is None:
            raise SolverFailed(
                f"no action found within {self._session.settings.time_limit:g} s: "
                "raise solver.time_limit or solver.gap"
            )
        action = np.rint(solution.x[self._action]).astype(np.int8)
        seconds = time.perf_counter() - started
        value, bound = solution.value + constant, solution.bound + constant
        return Decision(action, value, bound, solution.status, seconds)


def best_of_budget(gain: Floats, budget: Budget) -> Action:
    """The best action (arms,) of a plain `Budget` for the gains (arms,) of its arms.

    The largest gains are selected; beyond `least` arms, positive gains only.
    """
    action = np.zeros(budget.size, np.int8)
    order = np.argsort(-gain, kind="stable")[: budget.most]
    action[order[(gain[order] > 0) | (np.arange(len(order)) < budget.least)]] = 1
    return action


def add_levels(
    program: Program, action: Indices, dynamics: ArmDynamics
) -> tuple[Indices, tuple[Indices, Indices]]:
    """Add a binary column for each distinct strength of each arm, and the rows of `LevelMaximiser`.

    Args:
        program: gets the columns and rows.
        action: (components,) columns of the action.
        dynamics: with an effect matrix.

    Returns:
        The columns (n,), and the arm and the level of each, two arrays (n,).

    Raises:
        ConfigError: there are no strengths.
    """
    effect, strengths = dynamics.effect, dynamics.strengths
    if effect is None or strengths is None:
        raise ConfigError(
            "the dynamics have an effect matrix but no strengths: give the strengths that can occur"
        )
    # padding repeats the last strength
    distinct = np.diff(strengths, axis=1, prepend=-np.inf) > 1e-9
    arm, strength = (part.astype(np.int64) for part in np.nonzero(distinct))
    count = len(arm)
    level = program.add_columns(count, 0.0, 1.0, integer=True)
    place = (arm, np.arange(count))
    shape = (len(strengths), count)
    program.add_rows(
        (level, sparse.csr_array((np.ones(count), place), shape)), lower=1.0, upper=1.0
    )
    carried = sparse.csr_array((strengths[arm, strength], place), shape)
    program.add_rows((level, carried), (action, sparse.csr_array(-effect)), lower=0.0, upper=0.0)
    return level, (arm, strength)
