"""Fluid bound and index planner for very many arms under a plain budget, by one price per step
instead of a linear program.

The fluid program of a plain `Budget` set ties the arms by one row per step. With a price lambda_t
on that row it falls apart into single arms: V(lambda) = sum_j V_j(lambda) + budget * sum_t lambda_t
bounds every policy for any prices (weak duality), and its minimum is the optimum of the linear
program. V_j is one backward recursion, done for all arms at once; the prices are found by a level
bundle method (Lemarechal, Nemirovski, Nesterov 1995) whose master program has one column per step
and per group of arms. Memory and time grow linearly with the number of arms.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.program import Program
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings, open_session, relative_gap
from worldplan.planners.bandits.fluid import mean_dynamics, one_hot
from worldplan.planners.bandits.level_maximiser import best_of_budget
from worldplan.planners.base import Decision, Planner

GROUPS = (
    20  # the master sees the value of so many groups of arms: more make fewer rounds, each dearer
)
ROUNDS = 500
LEVEL = 0.5  # aim between the proven minimum (0) and the best prices so far (1)
MEMORY = 32 * 2**20  # bytes of arm policies kept to start the next solve

Policy = NDArray[np.bool_]  # (steps, states, arms): pull or not


@dataclass(frozen=True)
class Prices:
    """Prices of a pull at each step to come, and what they prove: lower <= fluid optimum <= bound.

    `gain` (arms, states) is what a pull now is worth beyond its price.
    """

    prices: Floats
    bound: float
    lower: float
    gain: Floats


@dataclass
class _Cuts:
    """Arm policies' rewards (groups,) and pulls (steps, groups) from one start law: V(lambda) >=
    reward - pulls @ lambda + budget.
    """

    reward: list[Floats]
    pulls: list[Floats]

    def add(self, reward: Floats, pulls: Floats) -> bool:
        """Add a policy; False if it is there already."""
        if any(
            np.array_equal(reward, known) and np.array_equal(pulls, held)
            for known, held in zip(self.reward, self.pulls, strict=True)
        ):
            return False
        self.reward.append(reward)
        self.pulls.append(pulls)
        return True


class _Arms:
    """All arms at once; the arm is the last axis, so that each step is a few passes over contiguous
    numbers.
    """

    def __init__(self, model: ArmDynamics) -> None:
        self.law = np.ascontiguousarray(
            model.transition.transpose(1, 2, 3, 0)
        )  # (2, states, next states, arms)
        reward = model.one_step().transpose(1, 2, 0)
        self.scale = float(np.ptp(reward, axis=(0, 1)).max()) or 1.0
        self.reward = np.ascontiguousarray(reward / self.scale)  # (2, states, arms)
        self.groups = np.unique(
            np.linspace(0, model.arms, min(GROUPS, model.arms) + 1).astype(int)[:-1]
        )

    def best(self, prices: Floats) -> tuple[Floats, Floats, Policy]:
        """Value (states, arms) and gain of a pull (states, arms) at the first step, and the best
        policy.
        """
        value = np.zeros(self.reward.shape[1:])
        gain = value
        policy = np.zeros((len(prices), *value.shape), bool)
        for step in range(len(prices) - 1, -1, -1):
            worth = self.reward + np.einsum("kstj,tj->ksj", self.law, value)
            gain = worth[1] - worth[0] - prices[step]
            policy[step] = gain > 0
            value = worth[0] + np.maximum(gain, 0.0)
        return value, gain, policy

    def follow(self, policy: Policy, law: Floats) -> tuple[Floats, Floats]:
        """Reward (groups,) and expected pulls (steps, groups) of a policy from the start law
        (states, arms).
        """
        earned, pulls = np.zeros(law.shape[1]), np.zeros((len(policy), len(self.groups)))
        for step, pulled in enumerate(policy):
            active = law * pulled
            rest = law - active
            earned += (self.reward[0] * rest + self.reward[1] * active).sum(0)
            pulls[step] = np.add.reduceat(active.sum(0), self.groups)
            law = np.einsum("stj,sj->tj", self.law[0], rest) + np.einsum(
                "stj,sj->tj", self.law[1], active
            )
        return np.add.reduceat(earned, self.groups), pulls


class _Master:
    """The cuts as a linear program in the prices and one value per group; solved twice, for the
    minimum and for the next prices.
    """

    def __init__(
        self, cuts: _Cuts, budget: int, lower: Floats, upper: Floats, settings: SolverSettings
    ) -> None:
        steps, groups = cuts.pulls[0].shape
        self.budget = budget
        program = Program()
        self.prices = program.add_columns(steps, lower, upper)
        self.value = program.add_columns(groups, -np.inf)
        self.distance = program.add_columns(1)
        pulls = np.concatenate([pulls.T for pulls in cuts.pulls])
        groupwise = sparse.csr_array(np.tile(np.eye(groups), (len(cuts.reward), 1)))
        program.add_rows(
            (self.prices, sparse.csr_array(pulls)),
            (self.value, groupwise),
            lower=np.concatenate(cuts.reward),
        )
        unit, far = sparse.eye_array(steps), np.ones((steps, 1))
        self.above = program.add_rows((self.prices, unit), (self.distance, -far)).index
        self.below = program.add_rows((self.prices, unit), (self.distance, far)).index
        self.level = program.add_rows(
            (self.prices, np.full((1, steps), float(budget))), (self.value, np.ones((1, groups)))
        ).index
        self.session = open_session(program, settings)

    def minimum(self) -> tuple[float, Floats]:
        """Lower bound of V over all prices, and the prices that attain it."""
        self.session.set_cost(self.prices, np.full(len(self.prices), -float(self.budget)))
        self.session.set_cost(self.value, -np.ones(len(self.value)))
        solution = self.session.solve()
        return (
            (-np.inf, np.zeros(0))
            if solution.x is None
            else (-solution.value, solution.x[self.prices])
        )

    def nearest(self, centre: Floats, level: float) -> Floats | None:
        """The prices nearest to `centre` (largest difference of one price) where the cuts allow a
        value of at most `level`.
        """
        for columns, cost in ((self.prices, 0.0), (self.value, 0.0), (self.distance, -1.0)):
            self.session.set_cost(columns, np.full(len(columns), cost))
        self.session.set_row_bounds(self.above, -np.inf, centre)
        self.session.set_row_bounds(self.below, centre, np.inf)
        self.session.set_row_bounds(self.level, -np.inf, level)
        try:
            solution = self.session.solve()
        except InfeasibleActionSet:  # the level is as good as the minimum: rounding only
            return None
        return None if solution.x is None else solution.x[self.prices]


class LagrangianBound:
    """Upper bound on the expected return of every policy, by start state, for a plain budget and
    any number of arms.

    The same figure as `worldplan.planners.bandits.fluid.FluidBound`, to the `gap` at which the
    search for prices stops (relative to the figure, or to the largest spread of an arm's rewards if
    that is more); what is returned is a valid bound whenever it stops. Solves of the same object
    start from the prices and policies of the last.

    Raises ConfigError for another action set than `Budget`, or arms with several interventions.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        steps: int | None = None,
        gap: float = 1e-6,
        dynamics: ArmDynamics | None = None,
    ) -> None:
        model = instance.dynamics if dynamics is None else dynamics
        if type(instance.actions) is not Budget or model.effect is not None or model.levels != 2:
            raise ConfigError(
                "the Lagrangian bound needs a plain budget and arms that are pulled or not: use the fluid bound and planner instead"
            )
        self.instance, self.gap = instance, gap
        self.budget: Budget = instance.actions
        self.steps = steps or instance.horizon
        self._settings = settings or SolverSettings()
        self._arms = _Arms(model)
        self._states = model.states
        self._prices = np.zeros(0)
        self._policies: deque[Policy] = deque(
            maxlen=min(100, max(8, MEMORY // (self.steps * model.states * model.arms)))
        )

    def from_state(self, state: Ints, steps_left: int | None = None) -> float:
        """Bound on the return from a joint state (arms,)."""
        return self.from_distribution(one_hot(state, self._states), steps_left)

    def from_distribution(self, law: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return when the first states have the law (arms, states)."""
        return self.solve(law, steps_left).bound

    def solve(self, law: Floats, steps_left: int | None = None) -> Prices:
        """The best prices from the start law (arms, states), over min(steps, steps_left) steps."""
        began, limit = time.perf_counter(), self._settings.time_limit
        left = self.steps if steps_left is None else min(steps_left, self.steps)
        start = np.ascontiguousarray(np.asarray(law, dtype=float).T)
        high = (
            np.arange(left, 0, -1.0) + 1e-6
        )  # in units of the largest spread of rewards: nobody pulls above, everybody below its negative
        low = -high if self.budget.least else np.zeros(left)
        cuts = _Cuts([], [])
        for policy in self._policies:
            if len(policy) >= left:
                cuts.add(*self._arms.follow(policy[-left:], start))
        known = len(self._prices) >= left
        prices = self._prices[len(self._prices) - left :] if known else high / 4
        best, best_gain, centre, lower, repeats = np.inf, np.zeros(0), prices, -np.inf, 0
        for _ in range(ROUNDS):
            value, gain, policy = self._arms.best(prices)
            total = float((value * start).sum() + self.budget.most * prices.sum())
            if total < best:
                best, best_gain, centre = total, gain, prices
            if cuts.add(*self._arms.follow(policy, start)):
                self._policies.append(policy)
                repeats = 0
            else:
                repeats += 1
            master = _Master(cuts, self.budget.most, low, high, self._settings)
            found, lowest = master.minimum()
            lower = max(lower, found)
            if (
                not len(lowest)
                or best - lower <= self.gap * max(abs(best), 1.0)
                or time.perf_counter() - began > limit
            ):
                break
            if (
                repeats > 1
            ):  # nothing new at the cuts' minimum either: the rest of the gap is the solver's tolerance
                break
            nearest = lowest if repeats else master.nearest(centre, lower + LEVEL * (best - lower))
            if nearest is None:
                break
            prices = np.clip(nearest, low, high)
        self._prices = centre
        scale = self._arms.scale
        return Prices(centre * scale, best * scale, lower * scale, best_gain.T * scale)


class LagrangianPlanner(Planner):
    """Pull the arms whose pull is worth most beyond its price, at the optimal prices of the steps
    to come.

    The index of arm j is Q_j(s_j, 1) - Q_j(s_j, 0) at those prices. The `budget` arms with the
    largest index are pulled, among those whose index is positive or whose pull would at least pay
    at no price today (at the optimum the last few arms within the budget are indifferent to the
    price). `Decision.bound` bounds the return of every policy.

    Args:
        dynamics: another model than the instance's, or an ensemble, whose mean is planned for.
        gap: relative gap at which the prices are good enough.
    """

    def __init__(
        self,
        instance: BanditInstance,
        dynamics: ArmDynamics | Sequence[ArmDynamics] | None = None,
        settings: SolverSettings | None = None,
        *,
        gap: float = 1e-4,
    ) -> None:
        models = (
            [instance.dynamics]
            if dynamics is None
            else [dynamics]
            if isinstance(dynamics, ArmDynamics)
            else list(dynamics)
        )
        self.instance = instance
        self._bound = LagrangianBound(
            instance,
            settings,
            gap=gap,
            dynamics=mean_dynamics(models) if len(models) > 1 else models[0],
        )

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}."""
        began = time.perf_counter()
        state = np.asarray(observation["state"])
        left = int(observation.get("steps_left", self.instance.horizon))
        found = self._bound.solve(one_hot(state, self.instance.dynamics.states), left)
        index = found.gain[np.arange(len(state)), state]
        action = best_of_budget(
            index + found.prices[0], self._bound.budget
        )  # the price is the same for all: the order is the index's
        detail = {"prices": found.prices.tolist(), "gap": relative_gap(found.lower, found.bound)}
        return Decision(action, None, found.bound, "heuristic", time.perf_counter() - began, detail)
