"""Why a plan is not valid: the step with the condition that fails, or the unmet part of
the goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.bounded import BoundedModel, exact_pair
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    ground,
    object_for,
)
from worldplan.world_models.numeric.execution import BrokenPlan, run_plan
from worldplan.world_models.numeric.products import Product, Term


def plan_fault(
    model: NumericModel | BoundedModel, problem: NumericProblem, plan: Sequence[Ground]
) -> str | None:
    """What is wrong with a plan, executed exactly; None if it is valid.

    In a model with bounded errors a plan is valid if it works for every value within the bounds.
    """
    model, problem = exact_pair(model, problem)
    state = problem.initial
    for number, call in enumerate(plan, 1):
        try:
            state = run_plan(model, replace(problem, initial=state), [call])[-1]
        except BrokenPlan as error:
            reason = str(error).split(": ", 1)[-1]
            if reason == "the precondition does not hold":
                reason = "; ".join(unmet_conditions(model.actions[call[0]], call[1:], state))
            return f"step {number}, ({' '.join(call)}): {reason}"
    missing = unmet_goals(problem.goal, state)
    return f"the goal is not reached: {'; '.join(missing)}" if missing else None


def unmet_conditions(action: NumericAction, binding: Ground, state: State) -> list[str]:
    """Every condition of an action that does not hold, in words; empty if it is applicable."""
    pairs = [(object_for(a, binding), object_for(b, binding)) for a, b in action.distinct]
    unmet = [f"two of its objects are both '{a}'" for a, b in pairs if a == b]
    positive = sorted(ground(atom, binding) for atom in action.positive)
    negative = sorted(ground(atom, binding) for atom in action.negative)
    unmet += [f"({_text(atom)}) is false" for atom in positive if atom not in state.atoms]
    unmet += [f"({_text(atom)}) is true" for atom in negative if atom in state.atoms]
    unmet += [
        _comparison(comparison, binding, state)
        for comparison in action.comparisons
        if not comparison.holds(binding, state.values)
    ]
    unmet += [
        _region(region, binding, state)
        for region in action.regions
        if not region.holds(binding, state.values)
    ]
    return unmet or [
        f"the next value of ({_text(ground(fluent, binding))}) is not defined: "
        + _values([ground(part, binding) for part in after.fluents], state)
        for fluent, after in action.effects
        if not after.has_value(binding, state.values)
    ]


def unmet_goals(goal: Goal, state: State) -> list[str]:
    """Every part of a goal that a state does not satisfy, in words."""
    unmet = [f"({_text(atom)}) is false" for atom in sorted(goal.positive - state.atoms)]
    unmet += [f"({_text(atom)}) is true" for atom in sorted(goal.negative & state.atoms)]
    return unmet + [
        _comparison(comparison, (), state)
        for comparison in goal.comparisons
        if not comparison.holds((), state.values)
    ]


def _comparison(comparison: Comparison, binding: Ground, state: State) -> str:
    """A comparison that does not hold, with the values of its fluents."""
    fluents = [ground(fluent, binding) for fluent in comparison.expression.fluents]
    parts = [
        _part(coefficient, term_text(term, binding))
        for term, coefficient in comparison.expression.terms
    ]
    if constant := comparison.expression.constant:
        parts.append(f"{'-' if constant < 0 else '+'} {abs(constant)}")
    total = " ".join(parts).removeprefix("+ ") or "0"
    return f"{total} {comparison.relation} 0 does not hold: {_values(fluents, state)}"


def term_text(term: Term, binding: Sequence[str]) -> str:
    """A term with its objects: "(fuel t1)", or "(distance a b) * (burn t1)"."""
    if not isinstance(term, Product):
        return f"({_text(ground(term, binding))})"
    text = " * ".join(term_text(factor, binding) for factor in term.factors) or "1"
    for terms, constant in term.divisors:
        parts = [_part(c, term_text(part, binding)) for part, c in terms]
        parts += [f"{'-' if constant < 0 else '+'} {abs(constant)}"] * bool(constant)
        text += f" / ({' '.join(parts).removeprefix('+ ')})"
    return text


def _part(coefficient: Rational, fluent: str) -> str:
    """A signed term of a sum."""
    factor = "" if abs(coefficient) == 1 else f"{abs(coefficient)} * "
    return f"{'-' if coefficient < 0 else '+'} {factor}{fluent}"


def _region(region: Region, binding: Ground, state: State) -> str:
    """The fluents outside the bounds of a region, or else all of its values."""
    fluents = [ground(fluent, binding) for fluent in region.fluents]
    outside = []
    for fluent, (low, high) in zip(fluents, region.shape.bounds(), strict=True):
        value = state.values.get(fluent)
        too_low = value is not None and low is not None and value < low
        too_high = value is not None and high is not None and value > high
        if too_low or too_high:
            outside.append(f"({_text(fluent)}) is {value}, learned is {_limits(low, high)}")
    return "; ".join(outside) or f"outside the learned region: {_values(fluents, state)}"


def _limits(low: Rational | None, high: Rational | None) -> str:
    if high is None:
        return f"at least {low}"
    if low is None:
        return f"at most {high}"
    return f"{low} to {high}" if low != high else f"{low}"


def _values(fluents: Sequence[Ground], state: State) -> str:
    values = [
        f"({_text(fluent)}) is {state.values.get(fluent, 'not defined')}"
        for fluent in dict.fromkeys(fluents)
    ]
    return ", ".join(values) or "it never can"


def _text(names: Ground) -> str:
    return " ".join(names)
