"""The metric of a problem as costs of single steps: what each ground action adds to it.

Every metric over the values after the plan is a sum over its steps: an action adds its weighted
changes of the metric's fluents, next value minus present value, which is a linear form of the state
before it. `(total-time)` adds its factor at every step. Less is always better here: the terms of a
metric that is maximised have the opposite sign. Without a metric every step costs 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.task.instances import Instance, changed_fluents
from worldplan.planners.numeric.task.rules import place_form
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground, Linear, NumericProblem, ground
from worldplan.world_models.numeric.metrics import TOTAL_TIME
from worldplan.world_models.numeric.products import unplannable

Change = tuple[dict[Ground, Rational], Rational]  # coefficient of each fluent, constant


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
            for fluent, coefficient in self._linear(metric.expression, (), moving)[0].items():
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

    def changes(self, instance: Instance) -> dict[Ground, Change]:
        """The weighted change of each fluent of the metric by an instance."""
        changes: dict[Ground, Change] = {}
        for target, number in instance.effects:
            weight = self.weights.get(target, 0)
            if not weight:
                continue
            after = instance.action.effects[number][1]
            next_terms, constant = self._linear(after, instance.binding, self.changed)
            terms: dict[Ground, Rational] = {target: -weight}
            for fluent, coefficient in next_terms.items():
                terms[fluent] = terms.get(fluent, 0) + weight * coefficient
            kept = {fluent: coefficient for fluent, coefficient in terms.items() if coefficient}
            changes[target] = kept, weight * constant
        return changes

    def _linear(self, expression: Linear, binding: Ground, moving: Collection[Ground]) -> Change:
        """An expression over ground fluents, with those that do not move as numbers."""
        fluents = {lifted: ground(lifted, binding) for lifted in expression.fluents}
        places = {lifted: place for place, lifted in enumerate(fluents)}
        names = list(fluents.values())
        changing = frozenset(place for place, name in enumerate(names) if name in moving)
        values = [self.values.get(name) for name in names]
        form, constant = place_form(expression, places, values, changing)
        terms: dict[Ground, Rational] = {}
        for place, coefficient in form:
            terms[names[place]] = terms.get(names[place], 0) + coefficient
        return terms, constant
