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
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import SolverFailed
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bound import Bound, refuse_endless
from worldplan.planners.bandits.fluid_program import FluidProgram as FluidProgram
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
from worldplan.planners.bandits.units import Outlook, in_units, of_counting
from worldplan.planners.base import Decision, Planner

WHOLE_SHARE = 0.7  # of the time limit: the linear program to the end of the episode


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
        members = models_of(instance, None)
        refuse_endless(instance, "the fluid bound", "use EndlessBound")
        models, self._units = in_units(members, instance.discount, instance.late)
        self.program = FluidProgram(
            models,
            instance.actions,
            checked_steps(steps, "steps") or instance.horizon,
            settings or SolverSettings(),
            discount=instance.discount,
            late=instance.late,
        )

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states).

        Raises:
            ConfigError: `steps_left` is no whole number of at least 1.
            DatasetError: `start` is no distribution for each arm.
            SolverFailed: the solver ran out of time before it had a bound.
        """
        start = checked_distribution(self.instance, start)
        left = checked_steps(steps_left, "steps_left") or self._longest
        if self.instance.ends is not None:
            left = min(left, self.instance.horizon)
        solution = self.program.solve(start, left)
        if solution.x is None:
            raise SolverFailed(
                f"no fluid bound within {self.program.session.settings.time_limit:g} s: "
                "raise solver.time_limit"
            )
        self.limited = self.limited or solution.status == "time_limit"
        return self._units.total(solution.bound, min(left, self.program.steps), left)

    @property
    def _longest(self) -> int:
        """Steps to the end of an episode, or of a longer window."""
        return max(self.program.steps, self.instance.horizon)


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
        members, late = models_of(instance, dynamics), instance.late
        refuse_endless(instance, "FluidPlanner", "use EndlessPlanner")
        models, self.units = in_units(members, instance.discount, late)
        settings = settings or SolverSettings(gap=1e-4)
        self.instance = instance
        steps = min(checks.whole_number(window, "window", least=1), instance.horizon)
        today, later = instance.actions, instance.actions if later is None else later
        discount, mean = instance.discount, [mean_dynamics(models)]
        self.program = FluidProgram(
            models,
            later,
            steps,
            settings,
            integral_first=True,
            first=today,
            discount=discount,
            late=late,
        )
        self.relaxation = (
            FluidProgram(
                mean, later, instance.horizon, settings, first=today, discount=discount, late=late
            )
            if steps < instance.horizon
            else None
        )
        self._outlook = Outlook(models, instance.actions, instance.horizon, discount, late)
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
        weights = self._one_step_gain(start, left)
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

    def _one_step_gain(self, start: Floats, left: int) -> Floats:
        """Gain in the next reward of the strongest level over none, (components,)."""
        model = self.program.dynamics[0]
        reward = of_counting(model.one_step(), self.program.late, left)
        table = np.einsum("jks,js->jk", reward, start)
        gain: Floats = table[:, -1] - table[:, 0]
        return gain if model.effect is None else gain @ model.effect
