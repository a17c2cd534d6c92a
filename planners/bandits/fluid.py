"""Fluid relaxation of a coupled restless bandit: a bound on every policy, and a planner.

For each step t, arm j, state s and intervention level k, the variable x_tjsk is the probability of
being there. Maximise sum_tjsk x_tjsk r_jks, where r_jks is the expected reward of the next state,
subject to

    sum_k x_0jsk = P(s_0j = s)                                        start
    sum_k x_tjsk = sum_s'k x_{t-1,js'k} P_j(s | s', k)                flow
    (sum_s x_tjsk)_jk consistent with the action a_t                  coupling
    a_t in the linear relaxation of the action set

The occupation measure of any policy satisfies all of this, so the optimum is an upper bound on the
return of every policy. Re-solving at every step, with an integral first action, is the "LP-update"
policy (arXiv 2511.08097, 2406.04751), here for coupled action sets.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import SolverFailed
from worldplan.milp.program import Indices, Program, Rows
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import Solution, SolverSettings, open_session
from worldplan.planners.bandits.bound import Bound
from worldplan.planners.bandits.coupling import ValueTables, couple, transition_matrix
from worldplan.planners.bandits.models import (
    Dynamics,
    mean_dynamics,
    models_of,
)
from worldplan.planners.bandits.observations import (
    belief_of,
    checked_distribution,
    checked_steps,
    steps_left_of,
)
from worldplan.planners.bandits.units import Outlook, in_units
from worldplan.planners.base import Decision, Planner

WHOLE_SHARE = 0.7  # of the time limit: the linear program to the end of the episode


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
    ) -> None:
        self.dynamics, self.actions, self.steps = list(dynamics), actions, steps
        self.discount = discount
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
        reward = factor * np.einsum("tjsk,jks->t", mass, model.one_step())
        to_go = np.cumsum(reward[::-1])[::-1] / factor
        constant = to_go - np.einsum("tjs,tjsk->t", prices, mass)
        table = np.zeros((left + 1, model.arms, model.states))
        table[1:], full = prices[::-1], np.zeros(left + 1)
        full[1:] = constant[::-1]
        return ValueTables(table, full)


class FluidBound(Bound):
    """Upper bound on the expected return of every policy, by start state.

    Args:
        instance: the programme.
        settings: the solver.
        steps: longest window; the horizon unless given.

    Raises:
        ConfigError: an argument of another type or out of range.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        steps: int | None = None,
    ) -> None:
        self.instance = instance
        models, self._units = in_units(models_of(instance, None), instance.discount)
        self.program = FluidProgram(
            models,
            instance.actions,
            checked_steps(steps, "steps") or instance.horizon,
            settings or SolverSettings(),
            discount=instance.discount,
        )

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states).

        Raises:
            ConfigError: `steps_left` is no whole number of at least 1.
            DatasetError: `start` is no distribution for each arm.
            SolverFailed: the solver ran out of time before it had a bound.
        """
        start = checked_distribution(self.instance, start)
        left = checked_steps(steps_left, "steps_left") or self.program.steps
        solution = self.program.solve(start, left)
        if solution.x is None:
            raise SolverFailed(
                f"no fluid bound within {self.program.session.settings.time_limit:g} s: "
                "raise solver.time_limit"
            )
        return self._units.total(solution.bound, min(left, self.program.steps))


class FluidPlanner(Planner):
    """Re-solves the fluid relaxation at every step and plays an integral first action.

    Each decision solves two programs. The linear program to the end of the episode gives dual
    prices, which value every arm's state at the end of a short window. The program of the window
    then has an integral first action and these values at its end.

    Args:
        instance: the programme; its dynamics are the model unless `dynamics` is given.
        window: steps of the second program.
        dynamics: another model, or an ensemble of models whose mean value is planned for.
        settings: the solver; relative gap 1e-4 unless given.
        later: the feasible actions of the days after today; those of the instance unless given.

    Raises:
        ConfigError: an argument out of range, or dynamics that do not fit the instance.

    Attributes:
        program: of the window.
        relaxation: the linear program to the end of the episode; None if the window covers it.
        constant: reward per step that no action changes, left out of both programs.
    """

    def __init__(
        self,
        instance: BanditInstance,
        window: int = 4,
        dynamics: Dynamics = None,
        settings: SolverSettings | None = None,
        *,
        later: ActionSet | None = None,
    ) -> None:
        started = time.perf_counter()
        models, self.units = in_units(models_of(instance, dynamics), instance.discount)
        settings = settings or SolverSettings(gap=1e-4)
        self.instance = instance
        steps = min(checks.whole_number(window, "window", least=1), instance.horizon)
        today, later = instance.actions, instance.actions if later is None else later
        discount, mean = instance.discount, [mean_dynamics(models)]
        self.program = FluidProgram(
            models, later, steps, settings, integral_first=True, first=today, discount=discount
        )
        self.relaxation = (
            FluidProgram(mean, later, instance.horizon, settings, first=today, discount=discount)
            if steps < instance.horizon
            else None
        )
        self._outlook = Outlook(models, instance.actions, instance.horizon, instance.discount)
        self._spent = time.perf_counter() - started  # counts as the first decision's

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}, or with "belief" (arms, states).

        With a belief, today's action is the same in every state that it leaves open. The value
        counts the states of the following days as seen. The bound holds for every policy that does
        not see today's open states, whether it sees later states or not; without a solution within
        the time limit, for every policy.

        Value and bound are those of the relaxation; the gap is measured from the return of the
        default action at every step. If the solver runs out of time, the status is "time_limit".
        The action is then the solver's best one or, without any, one rounded from the relaxed
        action (or from one-step gains). Its value is that of the action now and the default action
        later, and the bound the better one of what was proven and a bound without joint limits.

        Raises:
            WorldplanError: the observation is not one of the instance.
        """
        started = time.perf_counter()
        start = belief_of(self.instance, observation)
        left = steps_left_of(self.instance, observation)
        spent, self._spent = self._spent, 0.0
        limit = self.program.session.settings.time_limit - spent
        zero = self._outlook.default(start, left)
        tail, tail_missing = None, False
        weights = self._one_step_gain(start)
        if self.relaxation is not None and left > self.program.steps:
            relaxed = self.relaxation.solve(start, left, time_limit=WHOLE_SHARE * limit)
            tail_missing = relaxed.x is None
            if relaxed.x is not None:
                tail = self.relaxation.value_tables(relaxed, left)
                weights = relaxed.x[self.relaxation.first_action]
        remaining = limit - (time.perf_counter() - started)
        solution = self.program.solve(start, left, tail, zero=zero, time_limit=remaining)
        if solution.x is None:
            useful = np.count_nonzero(weights > 1e-6)
            action = self.instance.actions.fill(np.argsort(-weights, kind="stable")[:useful])
        else:
            action = np.rint(solution.x[self.program.first_action]).astype(np.int8)
        status, value = solution.status, solution.value
        bound = min(self._outlook.free(start, left), np.inf if tail_missing else solution.bound)
        if tail_missing or solution.x is None:
            status, value = "time_limit", self._outlook.first(action, start, left)
        bound = max(bound, value)
        gap = 0.0 if status == "optimal" else self._outlook.missing(value, bound, start, left)
        value, bound = (self.units.total(number, left) for number in (value, bound))
        return Decision(action, value, bound, status, time.perf_counter() - started, gap=gap)

    def _one_step_gain(self, start: Floats) -> Floats:
        """Gain in the next reward of the strongest level over none, (components,)."""
        model = self.program.dynamics[0]
        table = np.einsum("jks,js->jk", model.one_step(), start)
        gain: Floats = table[:, -1] - table[:, 0]
        return gain if model.effect is None else gain @ model.effect
