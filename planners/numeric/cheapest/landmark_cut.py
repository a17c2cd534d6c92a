"""Lower bounds of the cost to the goal: landmark cuts in the numeric delete relaxation.

A cut is a set of facts Z that contains a condition of the goal and no fact that is true. Take the
first moment at which a fact of Z becomes true along any plan. Every action before it was applied
while one of its preconditions, chosen once for all, was outside of Z. Where the fact is numeric,
its form has risen by its gap, so that over these actions

    sum of applications(action) * weight(action) >= 1,   weight = min(1, step / gap),

and where it is an atom, one of them was applied, with weight 1. The constraint with the largest
weight of each action over the facts of Z holds for every plan. Its dual value, the least
`cost / weight`, is added to the bound and paid out of the costs of its actions, until the goal
costs nothing: costs are never counted twice, so the bound is admissible (cost partitioning).

Sources: LM-cut (Helmert and Domshlak, ICAPS 2009); its numeric variants (Kuroiwa, Shleyfman,
Piacentini, Castro and Beck, JAIR 2022); steps of numeric conditions (Scala et al., JAIR 2020).
Preconditions are chosen by h_max, whose numeric facts cost `cost / weight`; any choice is sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldplan.planners.numeric.cheapest.relaxation import Relaxation
from worldplan.planners.numeric.task.task import Node
from worldplan.world_models.exact.numbers import Rational

# The sums here are floats: at most some thousand additions and products, each with a relative error
# of 2**-53. The bound is lowered by a share that is far above the sum of these errors.
ROUNDING = 1e-9
NOTHING = 1e-12  # a cost below this share of the largest cost counts as zero, which lowers bounds

# numbers are clipped to what floats can hold, always in the direction that lowers the bound
HUGE, LARGEST_COST, LEAST_WEIGHT = 1e300, 1e90, 1e-200

Flags = NDArray[np.bool_]


class LandmarkCut:
    """Lower bounds of the cost from a state to the goal.

    Args:
        relaxation: of the task.
        costs: of each action: a lower bound of the cost of one application, at least 0.
    """

    def __init__(self, relaxation: Relaxation, costs: Sequence[Rational]) -> None:
        self.relaxation = relaxation
        self._truth = relaxation.count  # a fact that is always true
        self._goal = relaxation.goal
        needs = [needs or [self._truth] for needs in relaxation.needs]
        self._needed = np.array([fact for facts in needs for fact in facts], dtype=np.intp)
        lengths = np.array([len(facts) for facts in needs], dtype=np.intp)
        self._first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.intp)
        self._of_action = np.repeat(np.arange(len(needs)), lengths)
        achievers = sorted(relaxation.achievers, key=lambda achiever: achiever.fact)
        self._fact = np.array([achiever.fact for achiever in achievers], dtype=np.intp)
        self._action = np.array([achiever.action for achiever in achievers], dtype=np.intp)
        self._step = np.array(
            [math.inf if a.step is None or a.step > HUGE else float(a.step) for a in achievers],
            dtype=float,
        )
        self._heads, self._starts = np.unique(self._fact, return_index=True)
        self._cost = np.array([float(min(cost, LARGEST_COST)) for cost in costs], dtype=float)

    def __call__(self, node: Node) -> float:
        """A lower bound of the cost to the goal; infinite if the goal is certainly unreachable."""
        if self._goal is None:
            return math.inf
        gaps = self.relaxation.gaps(node)
        missing = [fact for fact in self._goal if gaps[fact] != 0]
        if not missing:
            return 0.0
        gap = np.array([0.0 if g is None else float(min(g, HUGE)) for g in gaps], dtype=float)
        true = np.array([g == 0 for g in gaps] + [True])
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.minimum(1.0, self._step / gap[self._fact])
        weight[~np.isfinite(weight)] = 1.0  # of facts without a gap
        weight = np.maximum(weight, LEAST_WEIGHT)
        return self._bound(np.array(missing), true, weight)

    def _bound(self, goal: NDArray[np.intp], true: Flags, weight: NDArray[np.float64]) -> float:
        """The sum of the cuts' values.

        Args:
            goal: facts of the goal that are false.
            true: which facts are true (facts + 1,).
            weight: of each achiever (achievers,).
        """
        cost = self._cost.copy()
        least = NOTHING * max(1.0, float(cost.max(initial=0.0)))
        total = 0.0
        while True:
            fact_cost, chosen, reached = self._h_max(cost, true, weight)
            dearest = int(goal[np.argmax(fact_cost[goal])])
            if fact_cost[dearest] == math.inf:
                return math.inf
            if fact_cost[dearest] <= least:
                return max(0.0, total * (1 - ROUNDING) - least)
            cut = self._cut(dearest, chosen[self._action], reached[self._action], cost, true)
            weights = np.zeros(len(cost))
            np.maximum.at(weights, self._action[cut], weight[cut])
            in_cut = weights > 0
            value = float((cost[in_cut] / weights[in_cut]).min())
            total += value
            cost[in_cut] -= value * weights[in_cut]
            cost[cost < least] = 0.0

    def _h_max(
        self, cost: NDArray[np.float64], true: Flags, weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], Flags]:
        """Costs of facts by their dearest precondition.

        Returns:
            The cost of each fact (facts + 1,), the dearest precondition of each action (actions,),
            and which actions are reachable (actions,).
        """
        fact_cost = np.where(true, 0.0, math.inf)
        offer_cost = cost[self._action] / weight
        while True:
            values = fact_cost[self._needed]
            before = np.maximum.reduceat(values, self._first) if len(self._first) else np.zeros(0)
            if not len(self._heads):
                break
            cheapest = np.minimum.reduceat(before[self._action] + offer_cost, self._starts)
            lower = cheapest < fact_cost[self._heads]
            if not lower.any():
                break
            fact_cost[self._heads[lower]] = cheapest[lower]
        chosen = np.empty(len(self._first), dtype=np.intp)
        is_dearest = values == before[self._of_action]
        chosen[self._of_action[is_dearest]] = self._needed[is_dearest]
        return fact_cost, chosen, np.isfinite(before)

    def _cut(
        self,
        goal: int,
        chosen: NDArray[np.intp],
        usable: Flags,
        cost: NDArray[np.float64],
        true: Flags,
    ) -> NDArray[np.intp]:
        """The achievers that lead from outside of the goal's zone into it.

        The zone are the facts from which the goal costs nothing. Left of it are only the facts that
        true facts lead to without entering the zone.

        Args:
            goal: a fact of the goal.
            chosen: the chosen precondition of each achiever's action (achievers,).
            usable: whether that action is reachable (achievers,).
            cost: of the actions.
            true: which facts are true (facts + 1,).
        """
        zone = np.zeros(len(true), dtype=bool)
        zone[goal] = True
        free = np.flatnonzero(usable & (cost[self._action] == 0.0))
        while True:
            into = chosen[free[zone[self._fact[free]]]]
            if zone[into].all():
                break
            zone[into] = True
        left = true & ~zone
        edges = np.flatnonzero(usable & ~zone[self._fact])
        while True:
            reached = self._fact[edges[left[chosen[edges]]]]
            if left[reached].all():
                break
            left[reached] = True
        return np.flatnonzero(usable & zone[self._fact] & left[chosen])
