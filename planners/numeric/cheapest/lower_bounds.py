"""Lower bounds of the metric of whole plans, exact and safe: what A* orders its states by.

The metric is split in two. *Paid* parts never fall along any plan: the number of steps, and each
fluent whose weighted change is never negative in the box of all reachable states. What is paid up
to a state is added up exactly, and `LandmarkCut` bounds what is still to be paid. The other fluents
may rise and fall, so only their values after the plan count: they are bounded by the box, narrowed
by the conditions of the goal. Such a bound may be infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from math import lcm

from worldplan.planners.numeric.cheapest.landmark_cut import LandmarkCut
from worldplan.planners.numeric.cheapest.relaxation import Relaxation
from worldplan.planners.numeric.task.intervals import Bound, Interval, contract, form_interval
from worldplan.planners.numeric.task.rules import Form
from worldplan.planners.numeric.task.step_costs import StepMetric
from worldplan.planners.numeric.task.task import GroundTask, Node
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground

GRID = 10**6  # bounds of costs without a common denominator are multiples of 1 / GRID


class LowerBounds:
    """Lower bounds of a task that was made `with_costs`.

    Args:
        task: the task.
        check: called often during the compilation; it ends the compilation by raising.

    Attributes:
        costs: form of what each action adds to the signed metric.
        paid: form of the part of it that is never negative.
        rest: bound of the signed metric in the last state without what is paid; -inf if there is
            none.
        least: what one application of each action pays at least.
        may_fall: whether an action may lower the signed metric.
    """

    def __init__(self, task: GroundTask, check: Callable[[], None] = lambda: None) -> None:
        assert task.metric is not None, "the task is not made with costs"
        self.relaxation = Relaxation.of(task, check)
        inside = self.relaxation.inside
        falling = {
            fluent
            for changes, box in zip(task.changes, inside, strict=True)
            for fluent, form in changes.items()
            if box is not None and form_interval(form, box)[0] < 0
        }
        self.costs = [_sum(changes.values()) for changes in task.changes]
        self.paid = [
            _sum(form for fluent, form in changes.items() if fluent not in falling)
            for changes in task.changes
        ]
        self.may_fall = any(
            box is not None and form_interval(form, box)[0] < 0
            for form, box in zip(self.costs, inside, strict=True)
        )
        self.rest = _rest(task, task.metric, falling, self.relaxation)
        self.least = [
            0 if box is None else _finite(form_interval(form, box)[0])
            for form, box in zip(self.paid, inside, strict=True)
        ]
        self._cut = LandmarkCut(self.relaxation, self.least)
        self._unit = common_denominator(task, self.paid)
        self._known: dict[Node, Rational | float] = {}

    @property
    def evaluated(self) -> int:
        """Number of evaluated states."""
        return len(self._known)

    def still_to_pay(self, node: Node) -> Rational | float:
        """A lower bound of what is still to be paid; infinite if the goal is unreachable."""
        bound = self._known.get(node)
        if bound is None:
            bound = self._known[node] = self._safe(self._cut(node))
        return bound

    def _safe(self, bound: float) -> Rational | float:
        """The bound, rounded up to a multiple of the costs' unit; without a unit rounded down."""
        if bound == math.inf:
            return bound
        if self._unit is None:
            return Fraction(math.floor(Fraction(bound) * GRID), GRID)
        units = math.ceil(Fraction(bound) * self._unit)
        return Fraction(units, self._unit) if self._unit > 1 else units


def _sum(forms: Iterable[Form]) -> Form:
    """The sum of forms."""
    terms: dict[int, Rational] = {}
    constant: Rational = 0
    for form, added in forms:
        constant += added
        for place, coefficient in form:
            terms[place] = terms.get(place, 0) + coefficient
    return tuple((place, c) for place, c in sorted(terms.items()) if c), constant


def _finite(bound: Bound) -> Rational:
    """A bound that is at least 0 as a number: 0 where it is infinite."""
    return 0 if isinstance(bound, float) else max(bound, 0)


def common_denominator(task: GroundTask, forms: Iterable[Form]) -> int | None:
    """A number that makes all costs integers; None if there is none."""
    numbers: list[Rational] = []
    for terms, constant in forms:
        if terms and not task.is_integral:
            return None
        numbers += [constant, *(coefficient for _, coefficient in terms)]
    return lcm(*(Fraction(number).denominator for number in numbers))


def _rest(
    task: GroundTask, metric: StepMetric, falling: set[Ground | None], relaxation: Relaxation
) -> Rational | float:
    """The attribute `rest`."""
    if None in falling:  # the number of steps, which has no bound
        return -math.inf
    box: list[Interval] | None = contract(task.goal_conditions, relaxation.box)
    total: Rational | float = metric.start
    for fluent in falling:
        assert fluent is not None
        weight = metric.weights[fluent]
        total -= weight * metric.values[fluent]
        place = task.fluents.get(fluent)
        if place is None or box is None:
            return -math.inf
        low = form_interval((((place, weight),), 0), box)[0]
        if isinstance(low, float):
            return -math.inf
        total += low
    return total
