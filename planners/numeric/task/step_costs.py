"""The metric of a problem as costs of single steps: what each ground action adds to it.

Every metric over the values after the plan is a sum over its steps: an action adds its weighted
changes of the metric's fluents, next value minus present value, which is a linear form of the state
before it. `(total-time)` adds its factor at every step. Less is always better here: the terms of a
metric that is maximised have the opposite sign. Without a metric every step costs 1.
"""

from __future__ import annotations

from collections.abc import Iterable

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.task.instances import Instance, changed_fluents
from worldplan.planners.numeric.task.rules import GroundForm, ground_form
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, NumericProblem
from worldplan.world_models.numeric.metrics import TOTAL_TIME
from worldplan.world_models.numeric.products import unplannable


class StepMetric:
    """The metric of a problem, by its changing parts.

    Args:
        problem: the problem.
        instances: its ground actions.

    Attributes:
        sign: 1, or -1 where the metric is maximised.
        start: the signed metric in the initial state.
        per_step: what every step adds, for its number.
        weights: signed coefficient of each fluent that changes.

    Raises:
        ConfigError: the metric is not linear in what changes.
    """

    def __init__(self, problem: NumericProblem, instances: Iterable[Instance]) -> None:
        instances = list(instances)
        self.changed = changed_fluents(instances)
        self.values = problem.initial.values
        metric = problem.metric
        self.sign = 1 if metric is None else metric.sign
        self.start: Rational = 0
        self.per_step: Rational = 1
        self.weights: dict[Ground, Rational] = {}
        if metric is not None:
            counted = {TOTAL_TIME} - self.values.keys()
            moving = self.changed | counted
            if reason := unplannable(metric.expression.terms, {name for name, *_ in moving}):
                raise ConfigError(
                    f"problem '{problem.name}': metric: {reason}, is not linear, so that nothing "
                    "can be proven about it: use --planner auto or search, which print its value"
                )
            self.start, self.per_step = self.sign * metric.value(self.values, 0), 0
            terms, _ = ground_form(metric.expression, (), self.values, moving)
            for fluent, coefficient in terms.items():
                if fluent in counted:
                    self.per_step += self.sign * coefficient
                else:
                    self.weights[fluent] = self.sign * coefficient
        self.reads = {
            fluent
            for instance in instances
            for terms, _ in self.changes(instance).values()
            for fluent in terms
        }

    def changes(self, instance: Instance) -> dict[Ground, GroundForm]:
        """The weighted change of each fluent of the metric by an instance."""
        changes: dict[Ground, GroundForm] = {}
        for target, number in instance.effects:
            weight = self.weights.get(target, 0)
            if not weight:
                continue
            after = instance.action.effects[number][1]
            next_terms, constant = ground_form(after, instance.binding, self.values, self.changed)
            terms: dict[Ground, Rational] = {target: -weight}
            for fluent, coefficient in next_terms.items():
                terms[fluent] = terms.get(fluent, 0) + weight * coefficient
            kept = {fluent: exact(c) for fluent, c in terms.items() if c}
            changes[target] = kept, exact(weight * constant)
        return changes
