"""Quality metrics of unified-planning in, metrics here out, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Lifted,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
)
from worldplan.world_models.numeric.metrics import TOTAL_TIME, Metric
from worldplan.world_models.numeric.normal_forms import plus
from worldplan.world_models.numeric.products import Product, Term
from worldplan.world_models.pddl.expressions import ExpressionReader

if TYPE_CHECKING:
    from unified_planning.model import FNode, PlanQualityMetric, Problem
    from unified_planning.model.metrics import MinimizeActionCosts


def with_quality(
    model: NumericModel, converted: NumericProblem, problem: Problem, where: str
) -> tuple[NumericModel, NumericProblem]:
    """A model and a problem with the metric of the unified-planning problem that they come from.

    Args:
        model: the model.
        converted: the problem.
        problem: the unified-planning problem.
        where: what errors name.

    Raises:
        DatasetError: several metrics, or one that has no counterpart here.
    """
    metrics = list(problem.quality_metrics)
    if not metrics:
        return model, converted
    if len(metrics) > 1:
        raise DatasetError(f"{where}: {len(metrics)} quality metrics: keep one")
    metric = metrics[0]
    if metric.is_minimize_action_costs():
        return _with_action_costs(model, converted, metric, where)
    steps = metric.is_minimize_sequential_plan_length() or metric.is_minimize_makespan()
    if steps:
        expression = Linear(((TOTAL_TIME, 1),))
    elif (
        metric.is_minimize_expression_on_final_state()
        or metric.is_maximize_expression_on_final_state()
    ):
        expression = ExpressionReader(f"{where}: metric", {}).affine(metric.expression)
    else:
        raise DatasetError(f"{where}: the metric '{metric}' has no counterpart here: remove it")
    maximized = metric.is_maximize_expression_on_final_state()
    return model, replace(
        converted, metric=Metric("maximize" if maximized else "minimize", expression)
    )


def _with_action_costs(
    model: NumericModel, converted: NumericProblem, metric: MinimizeActionCosts, where: str
) -> tuple[NumericModel, NumericProblem]:
    """The model with a further function, from 0 on, that each action increases by its cost."""
    words = model.vocabulary
    names = ("total-cost" if n == 0 else f"total-cost-{n}" for n in count())
    name = next(n for n in names if n not in words.functions and n not in words.predicates)
    costs = {str(action.name): cost for action, cost in metric.costs.items() if cost is not None}
    actions = {
        key: _dearer(action, name, costs.get(key, metric.default), where)
        for key, action in model.actions.items()
    }
    vocabulary = replace(words, functions={**words.functions, name: ()})
    initial = State(converted.initial.atoms, {**converted.initial.values, (name,): 0})
    return NumericModel(vocabulary, actions, model.detail), replace(
        converted, initial=initial, metric=Metric("minimize", Linear((((name,), 1),)))
    )


def _dearer(action: NumericAction, name: str, cost: FNode | None, where: str) -> NumericAction:
    """The action with an effect that increases function `name` by a cost."""
    if cost is None:
        return action
    positions = {parameter: number for number, (parameter, _) in enumerate(action.parameters)}
    reader = ExpressionReader(f"{where}: cost of action '{action.name}'", positions)
    after = plus(Linear((((name,), 1),)), reader.affine(cost))
    return replace(action, effects=(*action.effects, ((name,), after)))


def quality_of(metric: Metric, problem: Problem) -> PlanQualityMetric:
    """The quality metric of a unified-planning problem that has the metric's value.

    Args:
        metric: the metric.
        problem: the unified-planning problem, which has the metric's fluents and objects.

    Raises:
        ConfigError: the metric has fluents and `TOTAL_TIME`, or the latter with another factor
            than 1.
    """
    from unified_planning.model import metrics

    if metric == Metric("minimize", Linear(((TOTAL_TIME, 1),))):
        return metrics.MinimizeSequentialPlanLength(problem.environment)
    if TOTAL_TIME in metric.expression.fluents and not problem.has_fluent(TOTAL_TIME[0]):
        raise ConfigError(
            "unified-planning has no metric that adds (total-time) to fluents: use a fluent that "
            "every action increases by 1"
        )
    total = _node(problem, metric.expression.terms, metric.expression.constant)
    kind = (
        metrics.MinimizeExpressionOnFinalState
        if metric.sense == "minimize"
        else metrics.MaximizeExpressionOnFinalState
    )
    return kind(total, problem.environment)


def _node(problem: Problem, terms: Iterable[tuple[Term, Rational]], constant: Rational) -> FNode:
    """A sum over ground fluents in unified-planning's form."""
    manager = problem.environment.expression_manager

    def fluent_node(lifted: Lifted) -> FNode:
        name, *arguments = map(str, lifted)
        objects = [manager.ObjectExp(problem.object(argument)) for argument in arguments]
        return manager.FluentExp(problem.fluent(name), objects)

    parts = [manager.Real(Fraction(constant))]
    for term, coefficient in terms:
        factors = term.factors if isinstance(term, Product) else (term,)
        node = manager.Times(manager.Real(Fraction(coefficient)), *map(fluent_node, factors))
        for divisor in term.divisors if isinstance(term, Product) else ():
            node = manager.Div(node, _node(problem, *divisor))
        parts.append(node)
    return manager.Plus(parts)
