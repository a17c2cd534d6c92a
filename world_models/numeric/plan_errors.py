"""Why a plan does not work: the step that cannot be taken with the condition that fails, or the
part of the goal that is not reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    BrokenPlan,
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
    run_plan,
)


def plan_fault(model: NumericModel, problem: NumericProblem, plan: Sequence[Ground]) -> str | None:
    """What is wrong with a plan, carried out exactly; None if it reaches the goal."""
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
    """Every condition of an action that does not hold, in words; empty if it can be taken."""
    same = [(object_for(a, binding), object_for(b, binding)) for a, b in action.distinct]
    found = [f"two of its objects are both '{a}'" for a, b in same if a == b]
    found += [
        f"({_text(atom)}) is false"
        for atom in sorted(ground(one, binding) for one in action.positive)
        if atom not in state.atoms
    ]
    found += [
        f"({_text(atom)}) is true"
        for atom in sorted(ground(one, binding) for one in action.negative)
        if atom in state.atoms
    ]
    found += [
        _comparison(one, binding, state)
        for one in action.comparisons
        if not one.holds(binding, state.values)
    ]
    return found + [
        _region(one, binding, state)
        for one in action.regions
        if not one.holds(binding, state.values)
    ]


def unmet_goals(goal: Goal, state: State) -> list[str]:
    """Every part of a goal that a state does not satisfy, in words."""
    found = [f"({_text(atom)}) is false" for atom in sorted(goal.positive - state.atoms)]
    found += [f"({_text(atom)}) is true" for atom in sorted(goal.negative & state.atoms)]
    return found + [
        _comparison(one, (), state) for one in goal.comparisons if not one.holds((), state.values)
    ]


def _comparison(comparison: Comparison, binding: Ground, state: State) -> str:
    fluents = [ground(fluent, binding) for fluent, _ in comparison.expression.terms]
    parts = [
        _part(coefficient, f"({_text(fluent)})")
        for fluent, (_, coefficient) in zip(fluents, comparison.expression.terms, strict=True)
    ]
    if constant := comparison.expression.constant:
        parts.append(f"{'-' if constant < 0 else '+'} {abs(constant)}")
    total = " ".join(parts).removeprefix("+ ") or "0"
    return f"{total} {comparison.relation} 0 does not hold: {_values(fluents, state)}"


def _part(coefficient: Rational, fluent: str) -> str:
    factor = "" if abs(coefficient) == 1 else f"{abs(coefficient)} * "
    return f"{'-' if coefficient < 0 else '+'} {factor}{fluent}"


def _region(region: Region, binding: Ground, state: State) -> str:
    fluents = [ground(fluent, binding) for fluent in region.fluents]
    outside = []
    for fluent, (low, high) in zip(fluents, region.shape.bounds(), strict=True):
        value = state.values.get(fluent)
        if value is not None and (
            (low is not None and value < low) or (high is not None and value > high)
        ):
            limits = (
                f"at least {low}"
                if high is None
                else f"at most {high}"
                if low is None
                else f"{low} to {high}"
                if low != high
                else f"{low}"
            )
            outside.append(f"({_text(fluent)}) is {value}, learned is {limits}")
    return "; ".join(outside) or f"outside the learned region: {_values(fluents, state)}"


def _values(fluents: Sequence[Ground], state: State) -> str:
    return (
        ", ".join(
            f"({_text(one)}) is {state.values.get(one, 'not defined')}"
            for one in dict.fromkeys(fluents)
        )
        or "it never can"
    )


def _text(names: Ground) -> str:
    return " ".join(names)
