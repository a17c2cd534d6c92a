"""Fluid bound by one price per class and step, for very many arms.

With a price lambda_tc on each pull of an arm of class c at step t, the fluid program separates:

    V(lambda) = sum_j V_j(lambda) + sum_t h_t(lambda_t)

V_j is the value of arm j alone, which pays for its pulls: one backward recursion for all arms at
once. h_t is the largest lambda_t @ n over the class counts n that the relaxed limits allow. V
bounds the return of every policy for any prices (weak duality). Its minimum is the optimum of the
fluid program, because the limits treat the arms of a class alike (see `limits`). The minimum is
found by cutting planes with a level set (`level_method`), with one function for each step and each
group of arms.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Indices
from worldplan.milp.session import Lock
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.arm_recursions import ArmRecursions, FixedPulls
from worldplan.planners.bandits.bound import Bound, refuse_endless
from worldplan.planners.bandits.classes.limits import ClassLimits
from worldplan.planners.bandits.level_method import minimise
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.observations import checked_distribution, checked_steps
from worldplan.planners.bandits.units import in_units

MOST_CLASSES = 40
GROUPS = 20  # of arms, each with its own cuts
KEPT = 12  # points of the first search whose cuts every other search begins with
KNOWN_SHARE = 0.5  # of the time limit: the first search, before the first decision


@dataclass(frozen=True)
class ClassPrices:
    """Prices, and the interval that they prove: lower <= fluid optimum <= bound.

    Args:
        prices: (steps, arms) price of a pull, discounted to the first step.
        bound: upper bound on the return of every policy.
        lower: lower bound on the fluid optimum.
        gain: (arms, states) what a pull at the first step is worth beyond its price.
        rest: the part of `bound` without any pull at the first step.
        limited: the time limit, or the solver's rounding, ended the search.
        zero: return of the default action at every step.
    """

    prices: Floats
    bound: float
    lower: float
    gain: Floats
    rest: float
    limited: bool
    zero: float


def suits_classes(instance: BanditInstance, later: ActionSet | None = None) -> bool:
    """Whether the limits of today and later treat the arms of few classes alike."""
    if instance.dynamics.effect is not None or instance.endless:
        return False
    days = ((instance.actions, True), (later or instance.actions, False))
    return all(
        len(ClassLimits(actions, today=today).counts) <= MOST_CLASSES for actions, today in days
    )


class ClassBound(Bound):
    """Upper bound on the expected return of every policy, for very many arms of few classes.

    The result equals that of `worldplan.planners.bandits.fluid.FluidBound` up to `gap`. It is valid
    even if the search for prices is cut off. Every search starts from the last prices of one search
    for the instance's distribution of first states, which comes before the first. So the result
    does not depend on what was solved before.

    Args:
        instance: a programme whose limits treat the arms of at most 40 classes alike, without
            several interventions per arm.
        settings: the solver, and the time limit of a search.
        gap: the search stops at this gap, relative to what the bound is above the return of the
            default action or, if that is larger, to the largest spread of an arm's rewards.
        dynamics: another model than the instance's.
        later: the feasible set of the days after the first one; that of the instance unless given.

    Raises:
        ConfigError: too many classes, several interventions per arm, no end, or an argument out of
            range.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        gap: float = 1e-4,
        dynamics: ArmDynamics | None = None,
        later: ActionSet | None = None,
    ) -> None:
        members, late = models_of(instance, dynamics)[:1], instance.late
        refuse_endless(instance, "the bound by classes", "use the fluid bound")
        (model,), self._units = in_units(members, instance.discount, late)
        if model.effect is not None:
            raise ConfigError(
                "the bound by classes needs arms that are pulled or not: use the fluid bound"
            )
        self.instance, self.gap = instance, checks.number(gap, "gap", least=0, below=1)
        self._settings = settings or SolverSettings()
        self._today = ClassLimits(instance.actions, today=True)
        self._later = ClassLimits(later or instance.actions, today=False)
        for limits in (self._today, self._later):
            if len(limits.counts) > MOST_CLASSES:
                raise ConfigError(
                    f"the limits tell {len(limits.counts)} classes of arms apart, more than "
                    f"{MOST_CLASSES}: use the fluid bound"
                )
        self._arms = ArmRecursions(model, instance.discount, late)
        out = (self._today.upper < 0.5, self._later.upper < 0.5)
        self._fixed = FixedPulls(self._today.lower > 0.5, *out)
        # arms of one class stand together, so that most of a group are of one class
        order = np.lexsort((self._today.labels, self._later.labels))
        groups = np.arange(model.arms) * min(GROUPS, model.arms) // model.arms
        self._group = np.empty(model.arms, np.int64)
        self._group[order] = groups
        self._known: list[Floats] | None = None  # prices of later days, (steps, classes) each
        self._lock = Lock()

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states)."""
        start = checked_distribution(self.instance, start)
        prices = self.solve(start, checked_steps(steps_left, "steps_left"))
        self.limited = self.limited or prices.limited
        return prices.bound

    def solve(
        self, start: Floats, steps_left: int | None = None, *, time_limit: float | None = None
    ) -> ClassPrices:
        """The best prices for first states with the distribution `start`.

        Args:
            start: (arms, states), rows one-hot for a known state.
            steps_left: steps to the end of the episode, at most the horizon.
            time_limit: seconds; that of the settings unless given.
        """
        horizon = self.instance.horizon
        left = horizon if steps_left is None else min(steps_left, horizon)
        with self._lock:
            started = time.perf_counter()
            limit = self._settings.time_limit if time_limit is None else time_limit
            if self._known is None:
                self._known = self._first_search(started + KNOWN_SHARE * limit)
        near = [prices[horizon - left :] for prices in self._known]
        days = [self._today, *[self._later] * (left - 1)]
        return self._search(days, self._fixed, start, near, started + limit)[0]

    def _first_search(self, deadline: float) -> list[Floats]:
        """Prices (steps, classes) near the best ones of a day on which nothing is fixed."""
        horizon, classes = self.instance.horizon, len(self._later.counts)
        begin = np.repeat(np.arange(horizon, 0, -1.0)[:, None] / 4, classes, axis=1)
        days, fixed = [self._later] * horizon, self._fixed.later()
        points = self._search(days, fixed, self.instance.initial, [begin], deadline)[1]
        return [point.reshape(horizon, classes) for point in points]

    def _search(
        self,
        days: list[ClassLimits],
        fixed: FixedPulls,
        start: Floats,
        near: list[Floats],
        deadline: float,
    ) -> tuple[ClassPrices, list[Floats]]:
        """Search for the best prices.

        Args:
            days: the limits of each step.
            fixed: pulls that are not free.
            start: (arms, states) distribution of each arm's first state.
            near: prices (steps, classes of later days) to start from, the best ones last.
            deadline: on `time.perf_counter`.

        Returns:
            The prices, and the last points of the search, the best one last.
        """
        left, mass = len(days), np.ascontiguousarray(np.asarray(start, float).T)
        problem = _Problem(self._arms, days, fixed, mass, self._group)
        always = np.broadcast_to(self.instance.actions.default() > 0, (left, *mass.shape))
        zero = float(self._arms.follow(always, mass)[0].sum())

        def enough(value: float, lower: float) -> bool:
            return value - lower <= self.gap * max(value - zero, 1.0)

        visited: deque[Floats] = deque(maxlen=KEPT)

        def oracle(point: Floats) -> tuple[Floats, sparse.csr_array]:
            visited.append(point)
            return problem.cuts(point)

        points = [self._point(days[0], prices) for prices in near]
        # in units of the largest spread of rewards: above, no arm is pulled
        radius = left + 1e-6
        settings = replace(self._settings, gap=0.0)
        found = minimise(
            oracle, points[-1], radius, left * len(start), enough, deadline, settings, points[:-1]
        )
        prices = problem.prices(found.point)
        gain = self._arms.best(prices, fixed)[1]
        pulled = float((np.where(fixed.pulls(gain > 0, 0), gain, 0.0) * mass).sum())
        rest = found.value - pulled - days[0].support(found.point[: len(days[0].counts)])[0]
        bound, lower, rest, zero = (
            self._units.total(total * self._arms.scale, left)
            for total in (found.value, min(found.lower, found.value), rest, zero)
        )
        scale = self._arms.scale * self._units.unit
        result = ClassPrices(
            prices * scale, bound, lower, gain.T * scale, rest, found.limited, zero
        )
        return result, [*list(visited)[:-1], found.point]

    def _point(self, today: ClassLimits, prices: Floats) -> Floats:
        """Prices (variables,) from those of the classes of later days, (steps, classes).

        A class of today has the mean price of its arms.
        """
        labels, own = today.labels, prices[0][self._later.labels]
        first = np.bincount(labels, own, len(today.counts)) / today.counts
        return np.concatenate([first, prices[1:].ravel()])


class _Problem:
    """The bound V of the prices of one search, and its cuts.

    Args:
        arms: the recursions.
        days: the limits of each step.
        fixed: pulls that are not free.
        mass: (states, arms) distribution of the first states.
        group: (arms,) group of each arm.
    """

    def __init__(
        self,
        arms: ArmRecursions,
        days: list[ClassLimits],
        fixed: FixedPulls,
        mass: Floats,
        group: Indices,
    ) -> None:
        self._arms, self._days, self._fixed, self._mass = arms, days, fixed, mass
        self._first = np.cumsum([0, *(len(day.counts) for day in days)])
        self._place = np.stack(  # (steps, arms) variable of each pull's price
            [first + day.labels for first, day in zip(self._first, days, strict=False)]
        )
        self._group, self._groups = group, int(group.max()) + 1
        self._cell = (group[None] * self._first[-1] + self._place).ravel()

    def prices(self, point: Floats) -> Floats:
        """Prices (steps, arms) of a point (variables,)."""
        prices: Floats = point[self._place]
        return prices

    def cuts(self, point: Floats) -> tuple[Floats, sparse.csr_array]:
        """Values and gradients of the groups of arms, then of the steps' limits."""
        value, _, policies = self._arms.best(self.prices(point), self._fixed)
        own = np.bincount(self._group, (value * self._mass).sum(0), self._groups)
        pulls = self._arms.pulls(policies, self._mass).ravel()
        shape = (self._groups, int(self._first[-1]))
        slopes = -np.bincount(self._cell, pulls, shape[0] * shape[1]).reshape(shape)
        best, rows = np.zeros(len(self._days)), np.zeros((len(self._days), shape[1]))
        for step, day in enumerate(self._days):
            part = slice(self._first[step], self._first[step + 1])
            best[step], rows[step, part] = day.support(point[part])
        return np.concatenate([own, best]), sparse.csr_array(np.vstack([slopes, rows]))
