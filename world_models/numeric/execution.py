"""Plans executed exactly in a model."""

from __future__ import annotations

from collections.abc import Sequence

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Ground,
    NumericModel,
    NumericProblem,
    State,
)
from worldplan.world_models.numeric.forms import atom, collection


class BrokenPlan(DatasetError):
    """A plan that cannot be executed in a model; the message names the step and the reason."""


def run_plan(model: NumericModel, problem: NumericProblem, plan: Sequence[Ground]) -> list[State]:
    """Every state along a plan, from the initial one on, computed exactly.

    Args:
        model: the actions.
        problem: objects and initial state; its goal is ignored.
        plan: ground actions.

    Raises:
        BrokenPlan: an unknown action, objects of the wrong number or type, or a precondition that
            does not hold.
        DatasetError: an argument of another type.
    """
    checks.of_type(model, "model", NumericModel, error=DatasetError)
    checks.of_type(problem, "problem", NumericProblem, error=DatasetError)
    states = [problem.initial]
    for number, call in enumerate(collection(plan, "plan"), 1):
        name, *binding = atom(call, f"step {number} of the plan")
        where = f"step {number}, ({' '.join((name, *binding))})"
        if name not in model.actions:
            raise BrokenPlan(f"{where}: the model has no action '{name}'")
        action = model.actions[name]
        if len(binding) != len(action.parameters):
            raise BrokenPlan(f"{where}: the action takes {len(action.parameters)} objects")
        for argument, (_, expected) in zip(binding, action.parameters, strict=True):
            kind = problem.objects.get(argument)
            if kind is None:
                raise BrokenPlan(f"{where}: '{argument}' is not an object of the problem")
            if not model.vocabulary.is_a(kind, expected):
                raise BrokenPlan(f"{where}: '{argument}' is a {kind}, not a {expected}")
        if not action.applicable(tuple(binding), states[-1]):
            raise BrokenPlan(f"{where}: the precondition does not hold")
        states.append(action.successor(tuple(binding), states[-1]))
    return states


def is_valid(model: NumericModel, problem: NumericProblem, plan: Sequence[Ground]) -> bool:
    """Whether a plan can be executed exactly and ends in a goal state."""
    try:
        return problem.goal.holds(run_plan(model, problem, plan)[-1])
    except BrokenPlan:
        return False


def plan_cost(model: NumericModel, problem: NumericProblem, plan: Sequence[Ground]) -> Rational:
    """The exact value of the problem's metric after a plan; without a metric the number of actions.

    Raises:
        BrokenPlan: the plan cannot be executed.
        DatasetError: a fluent of the metric has no value.
    """
    if problem.metric is None:
        return len(plan)
    return problem.metric.value(run_plan(model, problem, plan)[-1].values, len(plan))
