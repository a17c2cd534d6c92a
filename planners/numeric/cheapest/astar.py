"""A* over the states of a task: cheapest plans, with a lower bound at every moment.

States wait in the order of `paid so far + weight * bound of what is still to pay`. With weight 1
the least sum over all waiting states bounds every plan that is not known yet. A state that comes up
is expanded only if its bound is below the cost of the best plan; a state that is reached again at a
lower cost is expanded again. Costs may be negative: goal states are expanded like others, and the
search ends where no waiting state can lead to a better plan.

Sources: Hart, Nilsson and Raphael 1968; with a weight above 1 until a plan is found, then with less
(anytime weighted A*, Hansen and Zhou, JAIR 2007).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from worldplan.planners.numeric.cheapest.lower_bounds import LowerBounds
from worldplan.planners.numeric.cheapest.repetition import Repetition
from worldplan.planners.numeric.task.budget import SearchLimits
from worldplan.planners.numeric.task.rules import Form, defined_value
from worldplan.planners.numeric.task.task import GroundTask, Node
from worldplan.world_models.exact.numbers import Rational


class NegativeCycle(Exception):
    """A way that lowers the metric and can be repeated without end; ends a search from within.

    Args:
        prefix: numbers of the actions that lead to the beginning of the way.
        cycle: numbers of the actions of the way.
        gain: by how much the cycle lowers the metric.
    """

    def __init__(self, prefix: list[int], cycle: list[int], gain: Rational) -> None:
        super().__init__("the metric has no best value")
        self.prefix, self.cycle, self.gain = prefix, cycle, gain


@dataclass(slots=True)
class Reached:
    """The cheapest known way to a state.

    Args:
        node: the state.
        key: of the state, by which states with plans of the same costs are one.
        cost: sum of all costs on the way.
        paid: sum of the costs that never fall.
        before: the state before, or None.
        action: number of the last action, or -1.
    """

    node: Node
    key: Hashable
    cost: Rational
    paid: Rational
    before: Reached | None
    action: int

    def plan(self) -> list[int]:
        """Numbers of the actions on the way."""
        actions = []
        at: Reached | None = self
        while at is not None and at.before is not None:
            actions.append(at.action)
            at = at.before
        return actions[::-1]


class CheapestSearch:
    """The state of a search that can be continued with another weight.

    Args:
        task: the task, made with costs.
        bounds: its lower bounds.
        key: states with the same key have plans of the same costs.

    Attributes:
        best: numbers of the actions of the best plan so far, or None.
        best_cost: its added cost.
        bound: no plan adds less than this; -inf where nothing is proven.
        expanded: number of expanded states.
        dead: keys of states from which the goal is unreachable.
    """

    def __init__(
        self, task: GroundTask, bounds: LowerBounds, key: Callable[[Node], Hashable]
    ) -> None:
        assert task.metric is not None, "the task is not made with costs"
        self.task, self.bounds, self.key = task, bounds, key
        self.best: list[int] | None = None
        self.best_cost: Rational | float = math.inf
        self.bound: Rational | float = -math.inf
        self.expanded = 0
        self.dead: set[Hashable] = set()
        self._repetition = Repetition(task, bounds)
        self._rest = bounds.rest - task.metric.start  # the bound of what does not count as paid

    def know(self, plan: list[int]) -> None:
        """Take a valid plan as the best one if it is better."""
        node = self.task.initial
        cost: Rational = 0
        for number in plan:
            cost += _cost(self.bounds.costs[number], node)
            after = self.task.apply(number, node)
            assert after is not None, "the plan is not applicable"
            node = after
        self._take(plan, cost)

    def run(self, weight: int, limits: SearchLimits) -> None:
        """Search until no better plan can exist; then `bound` is `best_cost`.

        Args:
            weight: of the bound of what is still to be paid; with 1, `bound` rises on the way.
            limits: limits of time and memory.

        Raises:
            LimitReached: a limit is reached; the attributes stay true.
            NegativeCycle: the metric may have no best value.
        """
        start = Reached(self.task.initial, self.key(self.task.initial), 0, 0, None, -1)
        best_to: dict[Hashable, Reached] = {start.key: start}
        if self.task.is_goal(start.node):
            self._take([], 0)
        waiting: list[_Entry] = [(0, 0, 0, 0, False, start)]
        generated = 0
        while waiting:
            limits.check()
            _, _, _, least, is_own, way = heapq.heappop(waiting)
            if weight == 1:
                self._raise_bound(self._rest + least)
            if self._rest + least >= self.best_cost:
                if weight == 1:
                    return
                continue
            if best_to[way.key] is not way:
                continue
            if not is_own:
                still = self.bounds.still_to_pay(way.node)
                if still == math.inf:
                    continue
                least = max(least, way.paid + still)
                order = way.paid + weight * (least - way.paid)
                if (waiting and order > waiting[0][0]) or self._rest + least >= self.best_cost:
                    generated += 1
                    heapq.heappush(waiting, (order, -way.paid, -generated, least, True, way))
                    continue
            self.expanded += 1
            for child in self._children(way, best_to):
                generated += 1
                # what is still to be paid falls by no more than the step costs
                below = max(least, child.paid)
                order = child.paid + weight * (below - child.paid)
                heapq.heappush(waiting, (order, -child.paid, -generated, below, False, child))
        self._raise_bound(math.inf)

    def _children(self, way: Reached, best_to: dict[Hashable, Reached]) -> list[Reached]:
        """The successors of a state that are reached more cheaply than before, which are stored."""
        children = []
        for number, node in self.task.successors(way.node):
            key = self.key(node)
            if key in self.dead:
                continue
            cost = way.cost + _cost(self.bounds.costs[number], way.node)
            before = best_to.get(key)
            if before is not None and before.cost <= cost:
                continue
            paid = way.paid + _cost(self.bounds.paid[number], way.node)
            child = Reached(node, key, cost, paid, way, number)
            if self.bounds.may_fall and (before is not None or self._rest == -math.inf):
                self._check_cycle(child)
            best_to[key] = child
            if self.task.is_goal(node):
                self._take(child.plan, cost)
            children.append(child)
        return children

    def _check_cycle(self, way: Reached) -> None:
        """Check that the last part of a way does not lower the metric again and again.

        Raises:
            NegativeCycle: it does.
        """
        at, cycle = way, [way.action]
        while at.before is not None:
            at = at.before
            if at.cost > way.cost and self._repetition.possible(at.node, way.node):
                raise NegativeCycle(at.plan(), cycle[::-1], at.cost - way.cost)
            cycle.append(at.action)

    def _take(self, plan: list[int] | Callable[[], list[int]], cost: Rational) -> None:
        if cost < self.best_cost:
            self.best, self.best_cost = plan() if callable(plan) else plan, cost

    def _raise_bound(self, bound: Rational | float) -> None:
        self.bound = max(self.bound, min(bound, self.best_cost))


# (order, -paid, -number of its generation, lower bound of what is paid in the end, whether that is
# the state's own bound and not the one of the state before, way)
_Entry = tuple[Rational | float, Rational, int, Rational | float, bool, Reached]


def _cost(form: Form, node: Node) -> Rational:
    """The value of a cost in a state where the action is applicable."""
    value = defined_value(form, node[1])
    assert value is not None, "a cost reads an undefined fluent"
    return value
