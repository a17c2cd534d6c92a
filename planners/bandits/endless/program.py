"""Linear programs of the relaxation of a programme without an end.

Discounted (discount d < 1). After a window of steps with the rows of `fluid`, y_jsk is the expected
discounted time that arm j spends in state s at level k, times 1 - d. With m_js the probability of
its state at the end of the window, maximise the rewards of the window and d^window / (1 - d) times
sum_jsk y_jsk r_jks, subject to

    sum_k y_jsk = (1 - d) m_js + d sum_s'k y_js'k P_j(s | s', k)
    (sum_s y_jsk)_jk consistent with the action a, in the linear relaxation of the action set.

Average (discount 1). x_jsk is the long-run share of the steps in state s at level k, and z_jsk a
measure of what comes before; m_js is the probability of the first state. Maximise sum x_jsk r_jks
subject to

    sum_k x_jsk           =         sum_s'k x_js'k P_j(s | s', k)
    sum_k (x_jsk + z_jsk) = m_js  + sum_s'k z_js'k P_j(s | s', k)
    (sum_s x_jsk)_jk consistent with the action a, in the linear relaxation of the action set.

The long-run state-action frequencies of every policy satisfy this, also where arms have several
recurrent classes (Kallenberg 1983; Hordijk and Kallenberg 1984). The mean action of a policy lies
in the convex hull of the feasible ones. So both optima bound every policy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, Floats
from worldplan.milp.errors import SolverFailed
from worldplan.milp.program import Indices, Program
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import Solution, SolverSettings, open_session
from worldplan.planners.bandits.coupling import couple, transition_matrix


class EndlessProgram:
    """The relaxation of a programme without an end; built once, a solve sets the first states.

    Args:
        model: of the arms.
        actions: the coupled action set.
        discount: per step; 1 for the average reward per step.
        settings: the solver.
        window: first steps that have an action of their own; of no use for the average.
    """

    def __init__(
        self,
        model: ArmDynamics,
        actions: ActionSet,
        discount: float,
        settings: SolverSettings,
        *,
        window: int = 0,
    ) -> None:
        self.model, self.discount, self.window = model, discount, window if discount < 1 else 0
        self._forward = transition_matrix(model)
        pairs = model.arms * model.states
        self._balance = sparse.kron(sparse.identity(pairs), np.ones((1, model.levels)))
        self._reward = model.one_step().transpose(0, 2, 1).ravel()
        program = Program()
        previous: Indices | None = None
        flows: list[Indices] = []
        for step in range(self.window):
            x = self._columns(program, actions, discount**step * self._reward)
            blocks: list[tuple[Indices, Any]] = [(x, self._balance)]
            if previous is not None:
                blocks.append((previous, -self._forward))
            flows.append(program.add_rows(*blocks, lower=0.0, upper=0.0).index)
            previous = x
        flows.append(self._add_end(program, actions, previous))
        self._start = flows[0]
        self._start_share = 1.0 if self.window or discount == 1 else 1.0 - discount
        self._end_rows = flows[-1]
        self.session = open_session(program, settings)

    def _columns(self, program: Program, actions: ActionSet, cost: Floats) -> Indices:
        """Columns of a state-action measure with its coupled action."""
        x = program.add_columns(len(cost), cost=cost)
        action = program.add_columns(actions.size, 0.0, 1.0)
        actions.add_constraints(program, action, relaxed=True)
        couple(program, self.model, actions, x, action, integral=False)
        return x

    def _add_end(self, program: Program, actions: ActionSet, previous: Indices | None) -> Indices:
        """Add what follows the window; returns the rows of the state at its beginning."""
        discount, forward, balance = self.discount, self._forward, self._balance
        if discount == 1:
            x = self._columns(program, actions, self._reward)
            before = program.add_columns(len(self._reward))
            program.add_rows((x, balance - forward), lower=0.0, upper=0.0)
            blocks: list[tuple[Indices, Any]] = [(x, balance), (before, balance - forward)]
            return program.add_rows(*blocks, lower=0.0, upper=0.0).index
        weight = discount**self.window / (1 - discount)
        self._time = y = self._columns(program, actions, weight * self._reward)
        blocks = [(y, balance - discount * forward)]
        if previous is not None:
            blocks.append((previous, -(1 - discount) * forward))
        return program.add_rows(*blocks, lower=0.0, upper=0.0).index

    def solve(self, start: Floats, *, time_limit: float | None = None) -> Solution:
        """The optimum from first states with the distribution `start` (arms, states).

        Value and bound are the discounted reward of all steps, or the average of a step.
        """
        mass = self._start_share * start.ravel()
        with self.session.lock:
            self.session.set_row_bounds(self._start, mass, mass)
            return self.session.solve(time_limit=time_limit)

    def later_values(self, solution: Solution) -> tuple[Floats, float]:
        """What the states after the window are worth: a table (arms, states) and a constant.

        V(s) <= constant + sum_j table[j, s_j] for the discounted value V of all further steps, by
        weak duality: the table holds the prices of the states at the end of the window.

        Args:
            solution: of a discounted program.

        Raises:
            SolverFailed: the solver ran out of time before it had a solution.
        """
        if solution.row_dual is None or solution.x is None:
            raise SolverFailed(
                f"no values within {self.session.settings.time_limit:g} s: raise solver.time_limit"
            )
        model, discount = self.model, self.discount
        end = discount**self.window
        # a unit of probability is 1 - d units of discounted time
        prices = (1 - discount) * solution.row_dual[self._end_rows] / end
        table = prices.reshape(model.arms, model.states)
        time = solution.x[self._time]
        worth = float(self._reward @ time) / (1 - discount)
        mass = self._balance @ time - discount * (self._forward @ time)
        return table, worth - float(prices @ mass) / (1 - discount)
