"""Fluid bound over the convex hull of the action set, by column generation.

The fluid relaxation (`fluid`) confines each step's expected action to the *linear relaxation* of
the action set. For routes and other sets with a weak relaxation, that allows far too much. Here the
expected action lies in the convex hull of the feasible actions a_p (Dantzig and Wolfe 1960):

    a_t = sum_p w_tp a_p        sum_p w_tp = 1        w >= 0

The master program knows some of the actions. Its price of a pull, lambda_tj, is the dual value of
the row that couples arm j to a_t. The set's own MILP finds the action of the largest price,

    h(lambda_t) = max  lambda_t @ a  over the feasible actions a,

which becomes a column of the master program. For *any* prices,

    bound(lambda) = sum_j V_j(lambda_j) + sum_t d^t h(lambda_t)

bounds the return of every policy with the discount d (Lagrange; Farley 1990). V_j is one backward
recursion of arm j, which pays lambda_tj for a pull; prices are those of their own step. h is
replaced by the MILP's proven bound. So a search that ends early still ends with a bound.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.session import Lock
from worldplan.milp.sets.base import Action
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bound import Bound, gained, refuse_endless
from worldplan.planners.bandits.coupling import ValueTables
from worldplan.planners.bandits.fluid import FluidProgram
from worldplan.planners.bandits.hull_master import Master, Pool
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.observations import (
    checked_distribution,
    checked_steps,
)
from worldplan.planners.bandits.units import SPREAD, in_units, of_counting

PRICING_GAP = 1e-3  # relative gap of the MILPs; the bound takes their proven bounds
SMOOTHING = 0.2  # weight of the best prices so far in the next ones (Wentges 1997)
STRIDE = 3  # a round prices every third step: neighbouring steps have similar prices
ROUNDS = 1000
ROOM = 64  # actions of the first master program; doubled when they do not suffice


@dataclass(frozen=True)
class HullPrices:
    """Prices of pulls, and the interval that they prove: lower <= hull optimum <= bound.

    Args:
        prices: (steps, arms) price of a pull at each remaining step, in the value of that step.
        support: (steps,) proven upper bound of `prices[t] @ a` over the feasible actions.
        bound: upper bound on the return of every policy.
        lower: lower bound on the fluid optimum over the hull; no bound of the best policy.
        limited: the time limit ended the search.
    """

    prices: Floats
    support: Floats
    bound: float
    lower: float
    limited: bool


@dataclass(frozen=True)
class _Known:
    """What the search from the instance's start distribution leaves for other starts."""

    found: HullPrices
    actions: tuple[Action, ...]
    master: Master | None
    basis: Any
    slack: float


class HullBound(Bound):
    """Upper bound on the expected return of every policy, over the convex hull of the action set.

    The search for prices is made once, from the instance's start distribution. Another start begins
    with what it found, and searches on until the gap. Every call has the solver's time limit; a
    bound at the time limit is valid, but larger. Where the first search was cut off, later calls
    take its prices as they are, or the linear relaxation's bound where that is smaller.

    Args:
        instance: the programme.
        settings: the solver, and the time limit of a search.
        gap: at which a search stops, relative to the gain of the bound over the set's default
            action.
        refine: search on for every other start. Without it, another start takes the prices of the
            first search, or the linear relaxation's bound where that is smaller: the mean over
            starts of the instance's distribution is nearly as tight, and takes far less time.

    Raises:
        ConfigError: an argument of another type or out of range, or several interventions per arm.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        gap: float = 1e-3,
        refine: bool = True,
    ) -> None:
        members, late = models_of(instance, None), instance.late
        refuse_endless(instance, "bound hull", "choose auto or fluid")
        models, self._units = in_units(members, instance.discount, late)
        if instance.dynamics.effect is not None:
            raise ConfigError(
                "the hull bound is not defined for several interventions per arm: "
                "use the fluid bound or the joint bound"
            )
        if not 0 < checks.number(gap, "gap") < 1:
            raise ConfigError(f"gap is {gap:g}: give a number between 0 and 1, such as 0.001")
        self.instance, self.gap, self.model = instance, gap, models[0]
        self.refine = checks.truth(refine, "refine")
        self.settings = settings or SolverSettings()
        self._fluid = FluidProgram(
            models,
            instance.actions,
            instance.horizon,
            self.settings,
            discount=instance.discount,
            late=late,
        )
        self.pricing = LinearProblem(
            instance.actions, settings=replace(self.settings, gap=PRICING_GAP)
        )
        self._known: _Known | None = None
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": None}  # a copy searches again: a basis is not copied

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states).

        Raises:
            ConfigError: `steps_left` is no whole number of at least 1.
            DatasetError: `start` is no distribution for each arm.
            SolverFailed: the solver ran out of time before it had a bound.
        """
        checked = checked_distribution(self.instance, start)
        return self.solve(checked, checked_steps(steps_left, "steps_left")).bound

    def solve(self, start: Floats | None = None, steps_left: int | None = None) -> HullPrices:
        """Prices for first states with the distribution `start`, and their bound.

        Args:
            start: (arms, states); the instance's start distribution unless given.
            steps_left: steps to the end of the episode, at most the horizon.

        Raises:
            SolverFailed: the solver ran out of time before it had a bound.
        """
        with self._lock:
            if self._known is None:
                self._known = self._first_search()
                self.limited, self.slack = self._known.found.limited, self._known.slack
            known, horizon = self._known, self.instance.horizon
            left = min(horizon, steps_left or horizon)
            if start is None and left == horizon:
                found = known.found
            else:
                found = self._search_on(self.instance.initial if start is None else start, left)
                self.limited = self.limited or found.limited
        return replace(
            found,
            prices=found.prices * self._units.unit,
            support=found.support * self._units.unit,
            bound=self._units.total(found.bound, left),
            lower=self._units.total(found.lower, left),
        )

    def value_tables(self) -> ValueTables:
        """Separable upper bound of the value, from the prices for the start distribution."""
        found = self.solve()
        discount = self.instance.discount
        table = _values(self.instance.dynamics, found.prices, self.instance.late, discount)[::-1]
        constant = [0.0]
        for support in found.support[::-1].tolist():
            constant.append(support + discount * constant[-1])
        return ValueTables(table.copy(), np.array(constant))

    # ---- the search

    def _first_search(self) -> _Known:
        """Search from the linear relaxation's prices, for the instance's start distribution."""
        deadline = time.perf_counter() + self.settings.time_limit
        start, steps = self.instance.initial, self.instance.horizon
        relaxed = self._fluid.solve(start, steps)
        prices = own_step_prices(self._fluid.pull_prices(relaxed), self.instance.discount)
        search = _Search(self, start, prices, deadline)
        search.price(search.prices, range(steps))
        search.bound = min(search.bound, relaxed.bound)
        search.run(None, None)
        slack = max(0.0, search.bound - search.lower) / gained(search.bound, search.floor)
        pool = tuple(search.pool.actions)
        return _Known(search.found(), pool, search.master, search.basis, slack)

    def _search_on(self, start: Floats, left: int) -> HullPrices:
        """Search for another start, from what the first search left."""
        assert self._known is not None
        known = self._known.found
        deadline = time.perf_counter() + self.settings.time_limit
        search = _Search(self, start, known.prices[-left:], deadline, known.support[-left:])
        if known.limited or not self.refine:
            relaxed = self._fluid.solve(start, left)
            bound = relaxed.bound if relaxed.x is not None else np.inf
            return replace(search.found(), bound=min(search.bound, bound), limited=known.limited)
        search.pool = Pool(self._known.actions)
        search.run(self._known.master, self._known.basis)
        return search.found()


class _Search:
    """One search for prices: the best so far, and the pool of actions.

    Args:
        of: the bound whose programs are solved.
        start: (arms, states) distribution of each arm's first state.
        prices: (steps, arms) to begin with.
        deadline: of `time.perf_counter()`.
        support: (steps,) known bounds of `prices[t] @ a`; the sets' own quick bounds unless given.
    """

    def __init__(
        self,
        of: HullBound,
        start: Floats,
        prices: Floats,
        deadline: float,
        support: Floats | None = None,
    ) -> None:
        self.of, self.start, self.deadline, self.steps = of, start, deadline, len(prices)
        actions = of.instance.actions
        self.pool = Pool([actions.default()])
        self.prices = prices.copy()
        self.support = actions.support(prices) if support is None else support.copy()
        self._latest, self._latest_support = self.prices.copy(), self.support.copy()
        self.bound, self.lower, self.limited = np.inf, -np.inf, False
        self._take(self.prices, self.support)
        instance = of.instance
        self.floor = return_of(
            of.model, start, actions.default(), self.steps, instance.late, instance.discount
        )
        self.master: Master | None = None
        self.basis: Any = None

    def found(self) -> HullPrices:
        """The best prices so far."""
        return HullPrices(self.prices, self.support, self.bound, self.lower, self.limited)

    def run(self, master: Master | None, basis: Any) -> None:
        """Alternate between the master program and pricing until the gap or the deadline."""
        self.master, self.basis = master, basis
        smoothing, quiet = SMOOTHING, 0
        for number in range(ROUNDS):
            prices = self._master_prices()
            if prices is None or time.perf_counter() > self.deadline:
                self.limited = not self._closed()
                return
            if self._closed() or quiet > 2 * STRIDE:  # only rounding is left
                return
            trial, before = smoothing * self.prices + (1 - smoothing) * prices, self.bound
            fresh = self.price(trial, range(number % STRIDE, self.steps, STRIDE))
            quiet = 0 if fresh or self.bound < before - 1e-9 * abs(before) else quiet + 1
            smoothing = 0.0 if quiet else SMOOTHING
        self.limited = not self._closed()

    def _closed(self) -> bool:
        return self.bound - self.lower <= self.of.gap * gained(self.bound, self.floor)

    def _master_prices(self) -> Floats | None:
        """The master program's prices (steps, arms); None if it ran out of time."""
        model, horizon = self.of.model, self.of.instance.horizon
        if self.master is None or len(self.pool.actions) > self.master.room:
            room = max(ROOM, 2 * len(self.pool.actions))
            size = self.of.instance.actions.size
            late, discount = self.of.instance.late, self.of.instance.discount
            self.master = Master(model, horizon, size, room, self.of.settings, late, discount)
            self.basis = None
        solved = self.master.solve(self.pool, self.start, self.steps, self.basis)
        if solved is None:
            return None
        self.lower, prices, self.basis = solved
        return own_step_prices(prices, self.of.instance.discount)

    def price(self, trial: Floats, steps: Iterable[int]) -> bool:
        """Price the actions of `steps` at the prices `trial` (steps, arms).

        Returns whether an action was found that is new to the pool.
        """
        fresh, priced = False, []
        for step in steps:
            remaining = self.deadline - time.perf_counter()
            if remaining <= 0:
                break
            solution = self.of.pricing.solve(trial[step], time_limit=remaining)
            self._latest[step], self._latest_support[step] = trial[step], solution.bound
            priced.append(step)
            if solution.x is not None:
                action = np.rint(solution.x[: self.of.pricing.size]).astype(np.int8)
                fresh = self.pool.add(action) or fresh
        mixed, support = self.prices.copy(), self.support.copy()
        mixed[priced], support[priced] = self._latest[priced], self._latest_support[priced]
        self._take(mixed, support)
        self._take(self._latest.copy(), self._latest_support.copy())
        return fresh

    def _take(self, prices: Floats, support: Floats) -> None:
        """Keep the prices (steps, arms) if their bound is the smallest so far."""
        discount = self.of.instance.discount
        value = _values(self.of.model, prices, self.of.instance.late, discount)[0]
        later = discount ** np.arange(len(support))
        total = float((value * self.start).sum() + later @ support)
        if total < self.bound:
            self.bound, self.prices, self.support = total, prices, support


def own_step_prices(discounted: Floats, discount: float) -> Floats:
    """Prices (steps, arms) in the value of their own step, of prices discounted to the first one.

    No price beyond what all later planned rewards of an arm can differ by changes anything; the
    limit keeps the solver's rounding small where the discount is.
    """
    steps = len(discounted)
    largest = SPREAD * np.arange(steps, 0, -1)[:, None]
    prices = discounted / np.maximum(discount ** np.arange(steps), 1e-30)[:, None]
    clipped: Floats = np.clip(prices, -largest, largest)
    return clipped


def _values(model: ArmDynamics, prices: Floats, late: Ints | None, discount: float) -> Floats:
    """Value of every arm at each step, if a pull costs `prices` (steps, arms).

    `late` (arms,) as in `worldplan.envs.bandits.ends`.

    Returns:
        (steps + 1, arms, states), zero at the end.
    """
    reward = model.one_step()  # (arms, levels, states)
    value = np.zeros((len(prices) + 1, model.arms, model.states))
    for step in range(len(prices) - 1, -1, -1):
        now = of_counting(reward, late, len(prices) - step)
        later = np.einsum("jkst,jt->jks", model.transition, value[step + 1])
        worth = now + discount * later
        value[step] = np.maximum(worth[:, 0], worth[:, 1] - prices[step][:, None])
    return value


def return_of(
    model: ArmDynamics,
    start: Floats,
    action: Action,
    steps: int,
    late: Ints | None = None,
    discount: float = 1.0,
) -> float:
    """Expected return of `action` at every step, from the distribution `start`."""
    arms, level, total, mass = np.arange(model.arms), model.level(action), 0.0, start
    reward, kernel = model.one_step()[arms, level], model.transition[arms, level]
    for step in range(steps):
        total += discount**step * float((mass * of_counting(reward, late, steps - step)).sum())
        mass = np.einsum("js,jst->jt", mass, kernel)
    return total
