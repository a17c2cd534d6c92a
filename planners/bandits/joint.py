"""Bound for arms that several interventions reach together: joint chains of groups of arms.

Arms with the same interventions always have the same level. The fluid relaxation lets each of them
choose its own mixture of levels in each of its states, as if the others were elsewhere. Here the
arms of a group, and the groups of a block, are one chain over their joint states, so that only the
blocks are coupled in expectation.

With a price lambda_tbc for c interventions on block b at step t, and the discount d,

    bound(lambda) = sum_b V_b(lambda_b) + sum_t d^t h(lambda_t)
    h(lambda_t)   = max sum_b lambda_tb,c_b  over the numbers c_b that the budget allows

bounds the return of every policy, for any prices (Lagrange). V_b is a backward recursion over the
joint states of block b, in which c interventions cost lambda_tbc, and h a knapsack. With a single
block the bound is the optimum of all policies. The prices are found by `level_method.minimise`.
"""

from __future__ import annotations

import time

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.session import Lock
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bound import Bound, gained, refuse_endless
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.group_values import GroupTable, group_table
from worldplan.planners.bandits.hull import return_of
from worldplan.planners.bandits.joint_blocks import (
    Block,
    joined_prices,
    joint_blocks,
    structure_of,
)
from worldplan.planners.bandits.level_method import Minimum, minimise
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.observations import (
    checked_distribution,
    checked_steps,
)
from worldplan.planners.bandits.units import in_units, of_counting

STATES = 4096  # joint states of a block, at most
STEP = 0.05  # of the rewards' spread in one step, by which an iteration lowers the bound at most
ROUGH = 10  # times the gap, at which the prices of steps and groups suffice as a start


class JointBound(Bound):
    """Upper bound on the expected return of every policy for interventions that work together.

    The search for prices is made once, from the instance's start distribution, within the solver's
    time limit; the bound of another start takes these prices, or the fluid bound where it is
    smaller.

    Args:
        instance: a plain budget of interventions; those of a group reach the same arms, and no
            others do.
        settings: the solver, and the time limit of a search.
        gap: at which the search stops, relative to the gain of the bound over the default action.
        states: joint states of a block, at most: the more, the tighter and the slower.

    Raises:
        ConfigError: an argument of another type or out of range, an instance of another structure,
            or a group with more joint states.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        gap: float = 1e-3,
        states: int = STATES,
    ) -> None:
        (model,), self._units = in_units(
            models_of(instance, None), instance.discount, instance.late
        )
        refuse_endless(instance, "bound joint", "choose auto or fluid")
        structure = structure_of(instance)
        if structure is None:
            raise ConfigError(
                "the joint bound needs a plain budget of interventions, each of which reaches one "
                "group of arms: use the fluid bound"
            )
        if not 0 < checks.number(gap, "gap") < 1:
            raise ConfigError(f"gap is {gap:g}: give a number between 0 and 1, such as 0.001")
        limit = checks.whole_number(states, "states", least=1)
        largest = max((model.states ** len(arms) for arms, _ in structure.groups), default=1)
        if largest > limit:
            raise ConfigError(
                f"a group of arms has {largest} joint states, states is {limit}: "
                "raise it, or use the fluid bound"
            )
        self.instance, self.gap, self._model = instance, gap, model
        self._settings, self._idle = settings or SolverSettings(), structure.idle
        late = instance.late
        self._groups = joint_blocks(model, structure, instance.actions, 1, late)
        self._blocks = joint_blocks(model, structure, instance.actions, limit, late)
        self._spare = structure.spare
        self._fluid = FluidBound(instance, self._settings)
        self._prices: list[Floats] | None = None  # of each block, (steps, totals)
        self._group_prices: list[Floats] = []  # of each group, likewise
        self._lock = Lock()

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states).

        Raises:
            ConfigError: `steps_left` is no whole number of at least 1.
            DatasetError: `start` is no distribution for each arm.
            SolverFailed: the solver ran out of time before it had a bound.
        """
        start = checked_distribution(self.instance, start)
        steps = checked_steps(steps_left, "steps_left") or self.instance.horizon
        left = min(steps, self.instance.horizon)
        with self._lock:
            if self._prices is None:
                self._prices = self._search_blocks()
        planned = self._bound(start, [price[-left:] for price in self._prices])
        return min(self._units.total(planned, left), self._fluid.from_distribution(start, left))

    def group_values(self) -> list[GroupTable]:
        """Action values of each group of arms at the prices for the start distribution.

        Raises:
            SolverFailed: as in `from_distribution`.
        """
        with self._lock:
            if not self._group_prices:
                deadline = time.perf_counter() + self._settings.time_limit
                self._group_prices = self._search_groups(deadline)
        return [
            group_table(block, price, self.instance.discount)
            for block, price in zip(self._groups, self._group_prices, strict=True)
        ]

    # ---- the search

    def _search_groups(self, deadline: float) -> list[Floats]:
        """Prices (steps, totals) of each group, for the instance's start distribution.

        First one price per step and intervention, then prices of each group.
        """
        steps, parts = self.instance.horizon, self._groups
        totals = np.concatenate([np.tile(part.totals, steps) for part in parts])
        every = np.concatenate([np.repeat(np.arange(steps), len(x.totals)) for x in parts])
        spread = sparse.csr_array(
            (totals.astype(float), (np.arange(len(every)), every)), shape=(len(every), steps)
        )
        found = self._minimise(parts, np.zeros(steps), spread, deadline)
        return self._search_from(parts, _split(spread @ found.point, parts, steps), deadline)

    def _search_blocks(self) -> list[Floats]:
        """Prices (steps, totals) of each block, from those of its groups."""
        deadline = time.perf_counter() + self._settings.time_limit
        if not self._group_prices:
            self._group_prices = self._search_groups(deadline)
        joined = joined_prices(self._group_prices, self._groups, self._blocks)
        return self._search_from(self._blocks, joined, deadline)

    def _search_from(
        self, parts: list[Block], prices: list[Floats], deadline: float
    ) -> list[Floats]:
        """Search on from prices (steps, totals) of each part."""
        point = np.concatenate([price.ravel() for price in prices])
        unit = sparse.csr_array(sparse.identity(len(point)))
        found = self._minimise(parts, point, unit, deadline)
        if parts is self._blocks:
            self.limited = found.limited
            self.slack = max(0.0, found.value - found.lower) / gained(found.value, self._floor())
        return _split(found.point, parts, self.instance.horizon)

    def _floor(self) -> float:
        """Expected return of the default action, without the arms that nothing reaches."""
        steps, start, instance = self.instance.horizon, self.instance.initial, self.instance
        default = instance.actions.default()
        floor = return_of(self._model, start, default, steps, instance.late, instance.discount)
        return floor - self._idle_return(start, steps)

    def _minimise(
        self, parts: list[Block], point: Floats, spread: sparse.csr_array, deadline: float
    ) -> Minimum:
        """The least bound over the points whose prices are `spread @ point`."""
        steps, start = self.instance.horizon, self.instance.initial
        floor = self._floor()
        masses = [part.start(start) for part in parts]

        def oracle(at: Floats) -> tuple[Floats, sparse.csr_array]:
            values, gradients = self._cuts(_split(spread @ at, parts, steps), parts, masses)
            return values, sparse.csr_array(gradients @ spread)

        gap = self.gap * (
            1 if spread.shape[0] == spread.shape[1] and parts is self._blocks else ROUGH
        )

        def enough(value: float, lower: float) -> bool:
            return value - lower <= gap * gained(value, floor)

        largest = steps * float(np.ptp(self._model.one_step(), axis=(1, 2)).sum())
        step = STEP * largest / steps
        return minimise(oracle, point, largest, step, enough, deadline, self._settings)

    def _cuts(
        self, prices: list[Floats], parts: list[Block], masses: list[Floats]
    ) -> tuple[Floats, sparse.csr_array]:
        """Values and gradients of the blocks' values, then of the steps' knapsacks."""
        support, chosen = self._support(prices, parts)
        values, rows, discount = [], [], self.instance.discount
        later = discount ** np.arange(len(support))[:, None]
        for block, price, mass in zip(parts, prices, masses, strict=True):
            value, best = block.values(price, discount)
            values.append(float((value[-1] * mass).sum()))
            rows.append(-(later * block.follow(best, mass)).ravel())
        own = sparse.block_diag([row[None] for row in rows])
        indicators = [
            later * (np.arange(len(block.totals)) == choice[:, None])
            for block, choice in zip(parts, chosen, strict=True)
        ]
        knapsack = sparse.hstack(
            [sparse.block_diag([row[None] for row in part]) for part in indicators]
        )
        return np.append(values, later[:, 0] * support), sparse.csr_array(
            sparse.vstack([own, knapsack])
        )

    def _support(self, prices: list[Floats], parts: list[Block]) -> tuple[Floats, list[Ints]]:
        """The knapsack of each step at `prices`.

        Returns:
            Its values (steps,), and the place of each block's total, (steps,) each.
        """
        steps, budget = len(prices[0]), self.instance.actions.most
        value = np.full((steps, budget + 1), -np.inf)
        value[:, 0] = 0.0
        taken = []
        for block, price in zip(parts, prices, strict=True):
            options = np.full((len(block.totals), steps, budget + 1), -np.inf)
            for place, total in enumerate(block.totals):
                options[place, :, total:] = value[:, : budget + 1 - total] + price[:, [place]]
            taken.append(options.argmax(0))
            value = options.max(0)
        least = max(0, self.instance.actions.least - self._spare)
        used = least + value[:, least:].argmax(1)
        support, chosen = value[np.arange(steps), used], []
        for block, choice in zip(parts[::-1], taken[::-1], strict=True):
            place = choice[np.arange(steps), used]
            chosen.append(place)
            used = used - np.array(block.totals)[place]
        return support, chosen[::-1]

    def _bound(self, start: Floats, prices: list[Floats]) -> float:
        """The bound at `prices` of each block, (steps, totals), in planned rewards."""
        total, discount = self._idle_return(start, len(prices[0])), self.instance.discount
        for block, price in zip(self._blocks, prices, strict=True):
            total += float((block.values(price, discount)[0][-1] * block.start(start)).sum())
        later = discount ** np.arange(len(prices[0]))
        return total + float(later @ self._support(prices, self._blocks)[0])

    def _idle_return(self, start: Floats, steps: int) -> float:
        """Expected return of the arms that nothing reaches."""
        mass, total, late = start[self._idle], 0.0, self.instance.late
        late = None if late is None else late[self._idle]
        reward, kernel = self._model.one_step()[self._idle, 0], self._model.transition
        for step in range(steps):
            now = of_counting(reward, late, steps - step)
            total += self.instance.discount**step * float((mass * now).sum())
            mass = np.einsum("js,jst->jt", mass, kernel[self._idle, 0])
        return total


def _split(point: Floats, parts: list[Block], steps: int) -> list[Floats]:
    """The prices (steps, totals) of each part, which `point` holds one after the other."""
    ends = np.cumsum([steps * len(part.totals) for part in parts])[:-1]
    return [each.reshape(steps, -1) for each in np.split(point, ends)]


def suits(instance: BanditInstance) -> bool:
    """Whether the joint bound with its own limit of states suits an instance."""
    structure = structure_of(instance)
    if structure is None:
        return False
    largest = max(len(arms) for arms, _ in structure.groups)
    return bool(instance.dynamics.states**largest <= STATES)
