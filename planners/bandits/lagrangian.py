"""Fluid bound and index planner for very many arms under a plain budget.

One price per step replaces the coupling constraint, so no linear program over all arms is needed.
In the fluid program of a plain `Budget` set, one row per step couples the arms. With a price
lambda_t on that row, the program separates into single arms:

    V(lambda) = sum_j V_j(lambda) + budget * sum_t lambda_t

bounds the return of every policy for any prices (weak duality), and its minimum over the prices is
the optimum of the fluid program. V_j is one backward recursion, computed for all arms at once. The
prices are found by a level bundle method (Lemarechal, Nemirovski, Nesterov 1995) whose master
program has one column per step and one per group of arms. Memory and time grow linearly with the
number of arms.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.session import Lock, missing_share
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.fixed import budget_of
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.arm_recursions import ArmPolicies, ArmRecursions, FixedPulls
from worldplan.planners.bandits.bound import Bound, refuse_endless
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
from worldplan.planners.bandits.price_cuts import Cuts, Master
from worldplan.planners.bandits.units import in_units
from worldplan.planners.base import Decision, Planner

ITERATIONS = 500  # of the bundle method, at most
KNOWN_SHARE = 0.5  # of the time limit: the search from the start distribution, before the first
LEVEL = 0.5  # target of an iteration, between the proven minimum (0) and the best value so far (1)
MEMORY = 32 * 2**20  # bytes of arm policies kept to start the next solve


@dataclass(frozen=True)
class Prices:
    """Prices of a pull, and the interval that they prove: lower <= fluid optimum <= bound.

    Args:
        prices: (steps,) price of a pull at each remaining step, discounted to the first one.
        bound: upper bound on the return of every policy.
        lower: lower bound on the fluid optimum.
        gain: (arms, states) what a pull at the first step is worth beyond its price.
        limited: the time limit ended the search for prices.
        zero: return of the default action at every step.
    """

    prices: Floats
    bound: float
    lower: float
    gain: Floats
    limited: bool
    zero: float


@dataclass(frozen=True)
class _Known:
    """What a solve leaves for others.

    Args:
        prices: (steps,) in units of the largest spread of rewards.
        policies: of the arms, those that gave a new cut.
    """

    prices: Floats
    policies: tuple[ArmPolicies, ...]


class LagrangianBound(Bound):
    """Upper bound on the expected return of every policy, for a plain budget and many arms.

    The result equals that of `worldplan.planners.bandits.fluid.FluidBound` up to `gap`. It is a
    valid bound even if the search for prices is cut off. Every solve starts from the prices and the
    arm policies of one solve for the instance's distribution of first states, which comes before
    the first solve. So the result does not depend on what was solved before.

    Args:
        instance: a programme whose action set is a `Budget`, also one of which `Fixed` fixes arms,
            without several interventions per arm.
        settings: solver of the master program, and the time limit of a solve.
        steps: longest window; the horizon unless given.
        gap: the search for prices stops at this gap, relative to what the bound is above the
            return of the default action or, if that is larger, to the largest spread of an arm's
            rewards.
        dynamics: another model than the instance's.
        later: the action set of the days after the first one, a budget too; that of the instance,
            without what is fixed on the first day only, unless given.

    Raises:
        ConfigError: another action set, several interventions per arm, dynamics that do not fit the
            instance, or `steps` or `gap` out of range.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        steps: int | None = None,
        gap: float = 1e-6,
        dynamics: ArmDynamics | None = None,
        later: ActionSet | None = None,
    ) -> None:
        members, late = models_of(instance, dynamics)[:1], instance.late
        refuse_endless(instance, "the Lagrangian bound", "use EndlessBound and EndlessPlanner")
        (model,), self._units = in_units(members, instance.discount, late)
        today = budget_of(instance.actions)
        after = today if later is None else budget_of(later)
        unfit = model.effect is not None or model.levels != 2
        if today is None or after is None or unfit:
            raise ConfigError(
                "the Lagrangian bound needs a plain budget and arms that are pulled or not: "
                "use the fluid bound and planner instead"
            )
        self.instance, self.gap = instance, checks.number(gap, "gap", least=0, below=1)
        self.today, self._later = today, after.budget
        self._fixed = FixedPulls(today.lower == 1, today.upper == 0, after.never)
        self.steps = checked_steps(steps, "steps") or instance.horizon
        if late is not None and self.steps < instance.horizon:
            raise ConfigError(
                f"steps is {self.steps}: arms with ends of their own need the whole horizon "
                f"({instance.horizon}): leave steps out, or use the fluid bound"
            )
        self._settings = settings or SolverSettings()
        self._arms = ArmRecursions(model, instance.discount, late)
        self._states = model.states
        self._known: _Known | None = None
        self._lock = Lock()

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states)."""
        start = checked_distribution(self.instance, start)
        return self.solve(start, checked_steps(steps_left, "steps_left")).bound

    def solve(
        self, start: Floats, steps_left: int | None = None, *, time_limit: float | None = None
    ) -> Prices:
        """The best prices for first states with the distribution `start`.

        Args:
            start: (arms, states), rows one-hot for a known state.
            steps_left: steps to the end of the episode; at most `steps` are looked ahead.
            time_limit: seconds; that of the settings unless given.
        """
        with self._lock:
            started = time.perf_counter()
            limit = self._settings.time_limit if time_limit is None else time_limit
            if self._known is None:
                initial = np.ascontiguousarray(self.instance.initial.T)
                half = started + KNOWN_SHARE * limit
                self._known = self._search(initial, self.steps, None, half)[1]
        left = self.steps if steps_left is None else min(steps_left, self.steps)
        mass = np.ascontiguousarray(np.asarray(start, dtype=float).T)
        found = self._search(mass, left, self._known, started + limit)[0]
        self.limited = self.limited or found.limited
        return found

    def _search(
        self, mass: Floats, left: int, known: _Known | None, deadline: float
    ) -> tuple[Prices, _Known]:
        """Search for the best prices.

        Args:
            mass: (states, arms) distribution of each arm's first state.
            left: steps to look ahead.
            known: of another solve for at least as many steps, to start from.
            deadline: on `time.perf_counter`.

        Returns:
            The prices, and what another solve can start from.
        """
        first = known is None  # no day's own search: no arm is forced
        fixed = self._fixed.later() if first else self._fixed
        budgets = [self._later if first else self.today.budget, *[self._later] * (left - 1)]
        budget = np.array([float(each.most) for each in budgets])
        # In units of the largest spread of rewards. Above `high` no arm is pulled, below its
        # negative every arm is.
        high = np.arange(left, 0, -1.0) + 1e-6
        low = np.where([each.least > 0 for each in budgets], -high, 0.0)
        cuts, prices = Cuts([], []), high / 4
        always = np.broadcast_to(self.instance.actions.default() > 0, (left, *mass.shape))
        zero = float(self._arms.follow(always, mass)[0].sum())
        if known is not None:
            prices = known.prices[len(known.prices) - left :]
            for policies in known.policies:
                own = policies[len(policies) - left :].copy()
                own[0] = fixed.pulls(own[0], 0)
                cuts.add(*self._arms.follow(own, mass))
        entry = self.steps * self._states * self._arms.arms  # bytes
        kept: deque[ArmPolicies] = deque(maxlen=min(100, max(8, MEMORY // entry)))
        best, best_gain, centre, lower, repeats = np.inf, np.zeros(0), prices, -np.inf, 0
        limited = False
        for _ in range(ITERATIONS):
            value, gain, policies = self._arms.best(prices, fixed)
            total = float((value * mass).sum() + budget @ prices)
            if total < best:
                best, best_gain, centre = total, gain, prices
            if cuts.add(*self._arms.follow(policies, mass)):
                kept.append(policies)
                repeats = 0
            else:
                repeats += 1
            master = Master(cuts, budget, low, high, self._settings)
            minimum, lowest = master.minimum(deadline)
            lower = max(lower, minimum)
            closed = best - lower <= self.gap * max(best - zero, 1.0)
            limited = not closed and (not len(lowest) or time.perf_counter() > deadline)
            if closed or limited:
                break
            if repeats > 1:  # no new cut at the cuts' minimum: only the solver's tolerance is left
                break
            nearest = (
                lowest
                if repeats
                else master.nearest(centre, lower + LEVEL * (best - lower), deadline)
            )
            if nearest is None:
                break
            prices = np.clip(nearest, low, high)
        scale = self._arms.scale
        bound, lower, zero = (
            self._units.total(total * scale, left) for total in (best, lower, zero)
        )
        scale *= self._units.unit
        result = Prices(centre * scale, bound, lower, best_gain.T * scale, limited, zero)
        return result, _Known(centre, tuple(kept))


class LagrangianPlanner(Planner):
    """Pulls the arms whose pull is worth most beyond its price, at the optimal prices.

    The index of arm j is Q_j(s_j, 1) - Q_j(s_j, 0) at the prices of the remaining steps. Of the
    `budget` arms with the largest indices, those are pulled whose index plus today's price is
    positive. (At the optimal prices the last few arms within the budget have an index of about
    zero.) `Decision.bound` bounds the return of every policy, and `Decision.value` the return of
    every policy that begins with the action.

    Args:
        instance: as in `LagrangianBound`.
        dynamics: another model than the instance's, or an ensemble, whose mean is planned for.
        settings: solver of the master program, and the time limit of a decision.
        gap: relative gap at which the search for prices stops.
        later: as in `LagrangianBound`.

    Raises:
        ConfigError: another action set than `Budget`, or several interventions per arm.
    """

    value_words = "gained over no visit today, by the prices of the days that remain"

    def __init__(
        self,
        instance: BanditInstance,
        dynamics: Dynamics = None,
        settings: SolverSettings | None = None,
        *,
        gap: float = 1e-4,
        later: ActionSet | None = None,
    ) -> None:
        models = models_of(instance, dynamics)
        self.instance = instance
        self._last: tuple[tuple[bytes, int], Prices] | None = None
        self._bound = LagrangianBound(
            instance,
            settings,
            gap=gap,
            dynamics=mean_dynamics(models) if len(models) > 1 else models[0],
            later=later,
        )

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}, or with "belief" (arms, states).

        With a belief, the bound holds for every policy that does not see today's open states.

        Raises:
            WorldplanError: the observation is not one of the instance.
        """
        started = time.perf_counter()
        prices, index = self._index(observation)
        within = self._bound.today
        action = within.best(index + prices.prices[0])
        # what a pull is worth where today's states are seen, which `prices.bound` allows
        belief = belief_of(self.instance, observation)
        low, high = within.lower[:, None] == 1, within.upper[:, None] == 0
        best = np.where(low, prices.gain, np.where(high, 0.0, np.maximum(prices.gain, 0.0)))
        own = np.where(low[:, 0], index, np.where(high[:, 0], 0.0, np.maximum(index, 0.0)))
        seen = (best * belief).sum(-1)
        bound = prices.bound - float((seen - own).sum())
        # less what the action leaves out or takes at a loss at these prices
        value = prices.bound - float((seen - index * action).sum())
        search = missing_share(prices.lower, prices.bound, prices.zero)
        detail = {"prices": prices.prices.tolist(), "gap": search}
        gap = missing_share(value, bound, prices.zero)
        status = "time_limit" if prices.limited else "heuristic"
        seconds = time.perf_counter() - started
        return Decision(action, value, bound, status, seconds, detail, gap=gap)

    def action_values(self, observation: Any, *, time_limit: float | None = None) -> Floats:
        """Zero for no pull, and what a pull is worth before today's price, (arms, 2).

        Args:
            observation: as in `plan`.
            time_limit: seconds; that of the settings unless given.
        """
        prices, index = self._index(observation, time_limit)
        # the price is the same for all arms, so the order is that of the index
        gain = index + prices.prices[0]
        return np.stack([np.zeros_like(gain), gain], axis=1)

    def _index(self, observation: Any, time_limit: float | None = None) -> tuple[Prices, Floats]:
        """The optimal prices, and the gain of each arm's pull beyond today's price, (arms,)."""
        belief = belief_of(self.instance, observation)
        left = steps_left_of(self.instance, observation)
        key = (belief.tobytes(), left)
        if self._last is not None and self._last[0] == key:
            prices = self._last[1]  # of the decision whose reasons are found
        else:
            prices = self._bound.solve(belief, left, time_limit=time_limit)
            self._last = None if prices.limited else (key, prices)
        return prices, (prices.gain * belief).sum(-1)
