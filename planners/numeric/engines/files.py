"""PDDL files for the planners of others, from a model and a problem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem, State
from worldplan.world_models.pddl.writing import FACET_BUDGET, write_domain, write_problem


def write_files(
    model: NumericModel,
    problem: NumericProblem,
    domain_file: Path,
    problem_file: Path,
    *,
    facet_budget: int = FACET_BUDGET,
) -> tuple[str, ...]:
    """Write a domain, and a problem without its metric; returns the actions with a narrowed region.

    Args:
        model: the actions; regions are written as half-spaces.
        problem: objects, initial state and goal. Its name and the domain's are replaced, since they
            may be no PDDL names.
        domain_file: written.
        problem_file: written.
        facet_budget: as in `write_domain`.

    Raises:
        ConfigError: a name is no PDDL name, or a region cannot be written.
    """
    vocabulary = replace(model.vocabulary, name="model")
    narrowed = write_domain(
        replace(model, vocabulary=vocabulary), domain_file, facet_budget=facet_budget
    )
    task = replace(problem, name="task", initial=_decimal(problem.initial), metric=None)
    write_problem(task, vocabulary, problem_file)
    return tuple(sorted(narrowed))


def uses_regions(model: NumericModel) -> bool:
    """Whether an action has a learned region, which is many comparisons in the files."""
    return any(action.regions for action in model.actions.values())


def names_of(model: NumericModel, problem: NumericProblem) -> set[str]:
    """Every name that the files contain."""
    vocabulary = model.vocabulary
    return {
        *vocabulary.types,
        *vocabulary.predicates,
        *vocabulary.functions,
        *vocabulary.actions,
        *problem.objects,
    }


def _decimal(state: State) -> State:
    """The state with the nearest decimal for each value that has no finite decimal.

    The planners accept no quotient as an initial value, and would round it in any case.
    """

    def near(value: Rational) -> Rational:
        rest = value.denominator
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        return value if rest == 1 else exact(float(value))

    return State(state.atoms, {fluent: near(value) for fluent, value in state.values.items()})
