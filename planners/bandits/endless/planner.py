"""The fluid planner of a programme without an end.

Each decision solves two programs. The relaxation of all days to come (`program`) gives
prices that value every arm's state at the end of a short window. The program of the window
(`fluid_program`) then has an integral first action and these values at its end. Re-solving it every
day is model predictive control of the relaxation ("LP-update", arXiv 2511.08097).

With a plain budget and very many arms the window is one step, which needs no program: the arms
with the largest gains are visited. An average reward is planned for with a discount of
`NEARLY_ONE`; its bound is that of the average.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.session import missing_share
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import is_priced
from worldplan.planners.bandits.chains import has_one_class
from worldplan.planners.bandits.coupling import ValueTables
from worldplan.planners.bandits.endless.program import EndlessProgram
from worldplan.planners.bandits.endless.values import EndlessOutlook, planning_discount
from worldplan.planners.bandits.fluid_program import FluidProgram
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.models import Dynamics, level_values, mean_dynamics, models_of
from worldplan.planners.bandits.observations import belief_of
from worldplan.planners.bandits.units import in_units, used_levels
from worldplan.planners.base import Decision, Planner

AVERAGE_SHARE = 0.3  # of the time limit: the bound of the average, until it is found
WHOLE_SHARE = 0.7  # of the rest: the relaxation of all days
MIXED = 0.01  # weight of equally likely states, so that no state is left without a price


class EndlessPlanner(Planner):
    """Re-solves the relaxation of all days to come, and plays an integral first action.

    Args:
        instance: a programme without an end; its dynamics are the model unless `dynamics` is given.
        window: steps of the second program.
        dynamics: another model, or an ensemble of models whose mean value is planned for.
        settings: the solver; relative gap 1e-4 unless given.
        later: the feasible actions of the days after today; those of the instance unless given.

    Raises:
        ConfigError: the programme has an end, an argument is out of range, dynamics do not fit the
            instance or, for the average, an arm can stay in different parts of its states for ever.

    Attributes:
        program: of the window.
        relaxation: of all days to come.
        discount: by which both are planned.
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
        members = models_of(instance, dynamics)
        if not instance.endless:
            raise ConfigError(
                "EndlessPlanner needs a programme without an end: give endless=True, or use "
                "FluidPlanner"
            )
        self.instance, self.discount = instance, planning_discount(instance.discount)
        if instance.averaged:
            refuse_several_classes(instance)
        models, self.units = in_units(members, self.discount)
        self.settings = settings or SolverSettings(gap=1e-4)
        steps = checks.whole_number(window, "window", least=1)
        self._sorted = LevelMaximiser(instance, self.settings) if is_priced(instance) else None
        if self._sorted is not None:
            steps = 1
        self.later = instance.actions if later is None else later
        self.program = FluidProgram(
            models,
            self.later,
            steps,
            self.settings,
            integral_first=True,
            first=instance.actions,
            discount=self.discount,
        )
        self._mean = mean_dynamics(models)
        self.relaxation = EndlessProgram(self._mean, self.later, self.discount, self.settings)
        self._outlook = EndlessOutlook(models, instance.actions, self.discount)
        self._average: float | None = None
        self._spent = time.perf_counter() - started  # counts as the first decision's

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,)}, or with "belief" (arms, states), as `FluidPlanner.plan`.

        Discounted: value and bound are discounted returns of all days. Average: the bound is that
        of the long-run average per day, and the value is what it leaves after what the action loses
        against the plan's prices. The gap is measured from the default action in the window.

        Raises:
            WorldplanError: the observation is not one of the instance.
        """
        started = time.perf_counter()
        start = belief_of(self.instance, observation)
        spent, self._spent = self._spent, 0.0
        limit = self.program.session.settings.time_limit - spent
        if self.instance.averaged:
            with suppress(SolverFailed):
                self._average_bound(AVERAGE_SHARE * limit)
        remaining = limit - (time.perf_counter() - started)
        try:
            tail, limited = self.tail(start, WHOLE_SHARE * remaining), False
        except SolverFailed:
            tail, limited = self._default_tail(), True
        if self._sorted is not None:
            return self._best_of_sorted(start, tail, limited, started)
        steps, later = self.program.steps, tail.table[1]
        zero = self._outlook.window(start, steps, later)
        zero += self.discount**steps * float(tail.constant[1])
        remaining = limit - (time.perf_counter() - started)
        solution = self.program.solve(start, steps + 1, tail, zero=zero, time_limit=remaining)
        if solution.x is None:
            weights = self._one_step_gain(start, later)
            useful = np.count_nonzero(weights > 1e-6)
            action = self.instance.actions.fill(np.argsort(-weights, kind="stable")[:useful])
        else:
            action = np.rint(solution.x[self.program.first_action]).astype(np.int8)
        status, value = solution.status, solution.value
        bound = min(self._outlook.free(start), np.inf if limited else solution.bound)
        without = limited or solution.x is None
        if without:
            status, value = "time_limit", self._outlook.first(action, start)
        bound = max(bound, value)
        gap = 0.0 if status == "optimal" else missing_share(value, bound, zero)
        shown, proven = self._shown(value, bound, start, tail, without)
        return Decision(action, shown, proven, status, time.perf_counter() - started, gap=gap)

    def _best_of_sorted(
        self, start: Floats, tail: ValueTables, limited: bool, started: float
    ) -> Decision:
        """The decision where sorting finds the best action of a window of one step.

        Args:
            start: (arms, states) distribution of today's states.
            tail: values of the states after today.
            limited: they are those of the default action, as the relaxation took too long.
            started: when the decision began, of `time.perf_counter`.
        """
        assert self._sorted is not None
        found = self._sorted.maximise(self.action_table(start, tail))
        value = self._outlook.first(found.action, start) if limited else float(found.value or 0.0)
        bound = self._outlook.free(start) if limited else value
        shown, proven = self._shown(value, bound, start, tail, limited)
        status, gap = ("time_limit", None) if limited else ("optimal", 0.0)
        seconds = time.perf_counter() - started
        return Decision(found.action, shown, proven, status, seconds, gap=gap)

    @property
    def additive(self) -> bool:
        """Whether a decision maximises the sum of `action_table` over the arms."""
        return self._sorted is not None

    def action_table(self, start: Floats, tail: ValueTables) -> Floats:
        """Planned values (arms, levels) of today's actions, whose sum is the value of a joint one.

        Args:
            start: (arms, states) distribution of today's states.
            tail: of `tail`.
        """
        today = level_values(self.program.dynamics, start, tail.table[1], self.discount)
        return today + self.discount * float(tail.constant[1]) / len(today)

    def tail(self, start: Floats, time_limit: float | None = None) -> ValueTables:
        """Values of the states after the window: the same with 1, 2, ... steps to go.

        Args:
            start: (arms, states) distribution of today's states.
            time_limit: seconds; that of the settings unless given.

        Raises:
            SolverFailed: the solver ran out of time before it had a solution.
        """
        mixed = (1 - MIXED) * start + MIXED * self._mean.uniform
        solution = self.relaxation.solve(mixed, time_limit=time_limit)
        return self._constantly(*self.relaxation.later_values(solution))

    def offset(self, start: Floats, tail: ValueTables, time_limit: float | None = None) -> float:
        """What is added to a planned value so that it is a value of this class.

        Args:
            start: (arms, states) distribution of today's states.
            tail: of `tail`.
            time_limit: seconds; that of the settings unless given.

        Raises:
            SolverFailed: the solver ran out of time before it had the bound of the average.
        """
        if not self.instance.averaged:
            return self.units.endless_total(0.0)
        relaxed = float((tail.table[1] * start).sum()) + float(tail.constant[1])
        return self._average_bound(time_limit) - self.units.unit * relaxed

    def _shown(
        self, value: float, bound: float, start: Floats, tail: ValueTables, limited: bool
    ) -> tuple[float | None, float | None]:
        """Value and bound in the unit of the rewards; None where the solver had no time for it."""
        if self.instance.averaged and self._average is None:
            return None, None
        offset = self.offset(start, tail)
        own = self.units.unit * value + offset
        if self.instance.averaged:
            most = self._average_bound()
            return (None, most) if limited else (own, max(most, own))
        return own, self.units.unit * bound + offset

    def _average_bound(self, time_limit: float | None = None) -> float:
        """Bound on the long-run average reward per step; it does not depend on the first state.

        Args:
            time_limit: seconds; that of the settings unless given.

        Raises:
            SolverFailed: the solver ran out of time before it had a bound.
        """
        if self._average is None:
            program = EndlessProgram(self._mean, self.later, 1.0, self.settings)
            solution = program.solve(self._mean.uniform, time_limit=time_limit)
            if solution.x is None:
                raise SolverFailed("no bound of the average in time: raise solver.time_limit")
            self._average = self.units.unit * solution.bound + float(self.units.low.sum())
        return self._average

    def _constantly(self, table: Floats, constant: float) -> ValueTables:
        steps = self.program.steps + 2
        tables, constants = np.repeat(table[None], steps, 0), np.full(steps, constant)
        tables[0], constants[0] = 0.0, 0.0
        return ValueTables(tables, constants)

    def _default_tail(self) -> ValueTables:
        """Values of the default action, where the relaxation took too long."""
        return self._constantly(self._outlook.default_table, 0.0)

    def _one_step_gain(self, start: Floats, later: Floats) -> Floats:
        """Gain of the strongest level over none, (components,), with `later` (arms, states)."""
        model = self.program.dynamics[0]
        table = level_values([model], start, later, self.discount)
        gain: Floats = table[:, -1] - table[:, 0]
        return gain if model.effect is None else gain @ model.effect


def refuse_several_classes(instance: BanditInstance) -> None:
    """Refuse arms whose average depends on the first state, whatever is done.

    Raises:
        ConfigError: names the first such arm.
    """
    model = instance.dynamics
    moves = model.transition * used_levels(model)[:, :, None, None]
    several = np.flatnonzero(~has_one_class(moves.max(1)))
    if len(several):
        raise ConfigError(
            f"arm '{instance.label(int(several[0]))}' can stay in one part of its states or in "
            "another for ever, so that its long-run average depends on today's state: discount "
            "(programme.discount 0.99), or choose myopic"
        )
