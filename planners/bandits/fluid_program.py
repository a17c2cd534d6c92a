"""Linear program of the fluid relaxation of a coupled restless bandit (see `fluid`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp.errors import SolverFailed
from worldplan.milp.program import Indices, Program, Rows
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import Solution, SolverSettings, open_session
from worldplan.planners.bandits.coupling import ValueTables, couple, transition_matrix


class FluidProgram:
    """The fluid linear program of one or several models that share the first action.

    It is built once; a solve sets the start, the horizon and the final values.

    Args:
        dynamics: one model per ensemble member; the objective is the mean over the members.
        actions: the coupled action set.
        steps: length of the window.
        settings: the solver.
        integral_first: make the first action integral (a decision) instead of relaxed (a bound).
        first: the set of the first action, if it is another one than that of the later steps.
        discount: per step; x_tjsk then earns discount^t r_jks.
        late: (arms,) steps to the end of the episode when each arm has ended; x_tjsk then earns
            nothing. None: all are zero.
    """

    def __init__(
        self,
        dynamics: Sequence[ArmDynamics],
        actions: ActionSet,
        steps: int,
        settings: SolverSettings,
        *,
        integral_first: bool = False,
        first: ActionSet | None = None,
        discount: float = 1.0,
        late: Ints | None = None,
    ) -> None:
        self.dynamics, self.actions, self.steps = list(dynamics), actions, steps
        self.discount, self.late = discount, late
        self.first = actions if first is None else first
        program = Program()
        self.first_action = program.add_columns(actions.size, 0.0, 1.0, integer=integral_first)
        self.first.add_constraints(program, self.first_action, relaxed=not integral_first)
        self._flow: list[Rows] = []
        self._x: list[Indices] = []  # of each member, (steps, arms * states * levels)
        self._coupling: list[list[Indices]] = []  # of each member and step, rows
        for model in self.dynamics:
            self._add_member(program, model, integral_first)
        self.session = open_session(program, settings)
        self._cost = program.matrices().cost
        self._bases: dict[int, Any] = {}  # of linear programs, by steps to go

    def _add_member(self, program: Program, model: ArmDynamics, integral_first: bool) -> None:
        """Add the columns and rows of one model."""
        arms, levels, states = model.arms, model.levels, model.states
        cost = model.one_step().transpose(0, 2, 1).ravel() / len(self.dynamics)
        balance = sparse.kron(sparse.identity(arms * states), np.ones((1, levels)))
        forward = transition_matrix(model)
        previous: Indices | None = None
        flows, columns, couplings = [], [], []
        for step in range(self.steps):
            x = program.add_columns(arms * states * levels, cost=cost)
            blocks: list[tuple[Indices, Any]] = [(x, balance)]
            if previous is not None:
                blocks.append((previous, -forward))
            flows.append(program.add_rows(*blocks, lower=0.0, upper=0.0))
            action, actions = self.first_action, self.first
            if step > 0:
                actions = self.actions
                action = program.add_columns(self.actions.size, 0.0, 1.0)
                self.actions.add_constraints(program, action, relaxed=True)
            integral = integral_first and step == 0
            couplings.append(couple(program, model, actions, x, action, integral=integral))
            columns.append(x)
            previous = x
        self._flow.append(Rows(np.stack([rows.index for rows in flows]), np.zeros(0, np.int64)))
        self._x.append(np.stack(columns))
        self._coupling.append(couplings)

    def solve(
        self,
        start: Floats,
        steps_left: int | None = None,
        tail: ValueTables | None = None,
        *,
        zero: float = 0.0,
        time_limit: float | None = None,
        basis: Any = None,
    ) -> Solution:
        """The optimum over min(steps, steps_left) steps.

        Args:
            start: (arms, states) distribution of each arm's first state, one-hot if known.
            steps_left: steps to the end of the episode; those of the window unless given.
            tail: values of the states at the end of the window, if the episode is longer.
            zero: the solver measures value and bound from it while it compares them with its gap.
            time_limit: seconds in all; that of the settings unless given.
            basis: of a linear program, where the simplex method starts; found anew unless given.
        """
        left = self.steps if steps_left is None else steps_left
        limit = self.session.settings.time_limit if time_limit is None else time_limit
        deadline = time.perf_counter() + limit
        with self.session.lock:
            if basis is None and not self.session.is_mip:
                basis = self._basis(min(self.steps, left), deadline)
            self.load(start, left, tail, zero)
            solution = self.session.solve(basis=basis, time_limit=deadline - time.perf_counter())
        return replace(solution, value=solution.value + zero, bound=solution.bound + zero)

    def load(
        self, start: Floats, left: int, tail: ValueTables | None = None, zero: float = 0.0
    ) -> None:
        """Set the session's numbers; arguments as in `solve`, which does this too."""
        self._set_cost(left, tail, zero)
        self._set_start(start)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_bases": {}}  # they are of the session's own solver

    def _basis(self, left: int, deadline: float) -> Any:
        """Where the simplex method starts with `left` steps to go.

        It is the optimal basis for arms whose first states are all equally likely. It depends on
        nothing that was solved before, so a decision is the same in every order of decisions. It is
        found from the basis with 1, 2, 4, ... more steps, the largest power of two that divides
        `left`: near enough, and the whole way from a long horizon takes few solves. None if the
        solver ran out of time.
        """
        if left not in self._bases:
            longer = min(self.steps, left + (left & -left))
            near = self._basis(longer, deadline) if left < self.steps else None
            if left < self.steps and near is None:
                return None
            model = self.dynamics[0]
            self._set_cost(left, None)
            self._set_start(model.uniform)
            remaining = deadline - time.perf_counter()
            if self.session.solve(basis=near, time_limit=remaining).x is None:
                return None
            self._bases[left] = self.session.basis()
        return self._bases[left]

    def _set_start(self, start: Floats) -> None:
        """Set the distribution (arms, states) of the first states."""
        for rows in self._flow:
            self.session.set_row_bounds(rows.index[0], start.ravel(), start.ravel())

    def _set_cost(self, left: int, tail: ValueTables | None, zero: float = 0.0) -> None:
        """Set the costs of the first `left` steps, and the final values.

        Args:
            left: steps to the end of the episode.
            tail: values at the end of the window, not used if the episode is not longer.
            zero: is subtracted from the objective.
        """
        later = np.arange(self.steps)[:, None] >= left
        factor = self.discount ** np.arange(self.steps)[:, None]
        for x, model in zip(self._x, self.dynamics, strict=True):
            cost, offset = np.where(later, 0.0, factor * self._cost[x]), 0.0
            counted = counting(self.late, left - np.arange(self.steps))
            if counted is not None:
                cost = cost * np.repeat(counted, model.states * model.levels, axis=1)
            if tail is not None and left > self.steps:
                to_go, end = left - self.steps, self.discount**self.steps
                after = end * np.einsum("jkst,jt->jsk", model.transition, tail.table[to_go])
                cost[-1] += after.ravel() / len(self.dynamics)
                offset = end * float(tail.constant[to_go])
            self.session.set_cost(x.ravel(), cost.ravel(), offset - zero)

    def pull_prices(self, solution: Solution) -> Floats:
        """Price of a pull at each step and arm, (steps, arms): duals of the coupling rows.

        Args:
            solution: of a relaxed program with one model of two levels.

        Raises:
            SolverFailed: the solver ran out of time before it had a solution.
        """
        if solution.row_dual is None:
            raise SolverFailed(self._no_values())
        return solution.row_dual[np.stack(self._coupling[0])]

    def _no_values(self) -> str:
        limit = self.session.settings.time_limit
        return f"no fluid values within {limit:g} s: raise solver.time_limit"

    def value_tables(self, solution: Solution, steps_left: int | None = None) -> ValueTables:
        """Value tables from the duals of a solve to the end of the episode.

        Args:
            solution: of a relaxed program with one model.
            steps_left: as in that solve.

        Raises:
            SolverFailed: the solver ran out of time before it had a solution.
        """
        if solution.row_dual is None or solution.x is None:
            raise SolverFailed(self._no_values())
        model, left = self.dynamics[0], steps_left or self.steps
        shape = (self.steps, model.arms, model.states)
        prices = solution.row_dual[self._flow[0].index].reshape(shape)[:left]
        mass = solution.x[self._x[0]].reshape(*shape, model.levels)[:left]
        factor = self.discount ** np.arange(left)
        prices = prices / factor[:, None, None]
        earning, counted = mass, counting(self.late, left - np.arange(left))
        if counted is not None:
            earning = mass * counted[:, :, None, None]
        reward = factor * np.einsum("tjsk,jks->t", earning, model.one_step())
        to_go = np.cumsum(reward[::-1])[::-1] / factor
        constant = to_go - np.einsum("tjs,tjsk->t", prices, mass)
        table = np.zeros((left + 1, model.arms, model.states))
        table[1:], full = prices[::-1], np.zeros(left + 1)
        full[1:] = constant[::-1]
        return ValueTables(table, full)
