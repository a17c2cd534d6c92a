"""The exact best joint action for given values of each arm's intervention levels."""

from __future__ import annotations

import time

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Indices, Program
from worldplan.milp.session import missing_share
from worldplan.milp.sets.base import Action
from worldplan.milp.sets.fixed import budget_of
from worldplan.milp.solvers import SolverSettings, open_session
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
    `effect` needs no solver, also with arms forced in or out: the best are found by sorting.

    Args:
        instance: actions and dynamics.
        settings: the solver; a proven optimum unless given.

    Raises:
        ConfigError: the dynamics have an effect matrix but no strengths.
        SolverUnavailable: the solver is not installed or not licensed.
    """

    def __init__(self, instance: BanditInstance, settings: SolverSettings = EXACT) -> None:
        checks.of_type(instance, "instance", BanditInstance, remedy="a BanditInstance")
        started = time.perf_counter()
        self.spent = 0.0  # seconds of building, which count as the first decision's
        self.instance, self._set = instance, instance.actions
        self.time_limit = settings.time_limit
        self._linear = instance.dynamics.effect is None
        self._arms = np.arange(instance.dynamics.arms)
        self._default_level = instance.dynamics.level(self._set.default())
        self._budget = budget_of(self._set) if self._linear else None
        if self._budget is not None:
            return
        program = Program()
        self._action = program.add_columns(self._set.size, 0.0, self._set.selectable, integer=True)
        self._set.add_constraints(program, self._action)
        self._columns = self._action
        if not self._linear:
            self._columns, self._kept = add_levels(program, self._action, instance.dynamics)
        self._session = open_session(program, settings)
        self.spent = _since(started)

    def maximise(self, values: Floats, time_limit: float | None = None) -> Decision:
        """The best action for `values` (arms, levels), its value and proven bound.

        Value and bound are measured from the value of the set's default action while the solver
        compares them with its gap. If the time limit passes before the solver has an action, the
        decision is the better one of the default action and a greedy one.

        Args:
            values: (arms, levels).
            time_limit: seconds; that of the settings unless given, less the time to build the
                program in the first decision.
        """
        started = time.perf_counter()
        if time_limit is None:
            time_limit, self.spent = self.time_limit - self.spent, 0.0
        zero = float(values[self._arms, self._default_level].sum())
        gains = values - values[self._arms, self._default_level][:, None]
        if self._budget is not None:
            action = self._budget.best(gains[:, 1] - gains[:, 0])
            value = zero + self._gain(gains, action)
            return Decision(action, value, value, "optimal", _since(started), gap=0.0)
        with self._session.lock:
            if self._linear:
                cost, offset = gains[:, 1] - gains[:, 0], float(gains[:, 0].sum())
            else:
                cost, offset = gains[self._kept], 0.0
            self._session.set_cost(self._columns, cost, offset)
            solution = self._session.solve(time_limit=time_limit)
        if solution.x is None:
            action, status = self._greedy(gains), "time_limit"
        else:
            action, status = np.rint(solution.x[self._action]).astype(np.int8), solution.status
        gain = self._gain(gains, action)
        bound = max(gain, min(solution.bound, self._loose_bound(gains)))
        gap = 0.0 if status == "optimal" else missing_share(gain, bound, 0.0)
        return Decision(action, zero + gain, zero + bound, status, _since(started), gap=gap)

    def _gain(self, gains: Floats, action: Action) -> float:
        """Value of `action` (components,) with the values `gains` (arms, levels)."""
        return float(gains[self._arms, self.instance.dynamics.level(action)].sum())

    def _loose_bound(self, gains: Floats) -> float:
        """Upper bound of the value of every action, from the number of selected components."""
        if self._linear:
            gain = gains[:, 1] - gains[:, 0]
            return float(gains[:, 0].sum() + self._set.support(gain[None])[0])
        best = np.full(len(gains), -np.inf)
        np.maximum.at(best, self._kept[0], gains[self._kept])
        return float(best.sum())

    def _greedy(self, gains: Floats) -> Action:
        """The better one of the default action and the components filled in by their own gain."""
        default = self._set.default()
        gain = gains[:, -1] - gains[:, 0]
        effect = self.instance.dynamics.effect
        own = gain if effect is None else gain @ effect
        filled = self._set.fill(np.argsort(-own, kind="stable")[: np.count_nonzero(own > 0)])
        usable = [a for a in (filled, default) if self._set.contains(a)] or [default]
        return max(usable, key=lambda action: self._gain(gains, action))


def _since(started: float) -> float:
    return time.perf_counter() - started


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
