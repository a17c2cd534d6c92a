"""Models with bounded errors, and their reduction to exact models.

A robust plan works for every true initial state within the noise of the observed one, and for every
effect within its error interval. Each uncertain fluent f is replaced by its ends "f-low" and
"f-high": a condition must hold at its worst corner, an effect moves both ends by interval
arithmetic. This is a sound over-approximation, and an ordinary exact model: every planner, and the
exact check of plans, work in it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Lifted,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.normal_forms import IMPOSSIBLE
from worldplan.world_models.numeric.products import Product, Term, term_fluents

Errors = Mapping[Lifted, tuple[Rational, Rational]]
MOST_HALF_SPACES = 400  # of a region; one with more is replaced by a smaller one inside it


@dataclass(frozen=True)
class BoundedModel:
    """Actions over true numbers, which are known up to bounds only.

    Args:
        model: the actions: preconditions that true numbers must satisfy, and effects.
        errors: for each action and changed fluent, the least and the greatest difference of the
            true next value from the one that the effect gives.
        noise: bounds of the numbers of a problem's initial state.

    Raises:
        DatasetError: a part of another type, or an error of a fluent without an effect.
    """

    model: NumericModel
    errors: Mapping[str, Errors]
    noise: Noise

    def __post_init__(self) -> None:
        checks.of_type(self.model, "model", NumericModel, error=DatasetError)
        checks.of_type(self.errors, "errors", Mapping, error=DatasetError)
        checks.of_type(self.noise, "noise", Noise, error=DatasetError)
        for name, errors in self.errors.items():
            action = self.model.actions.get(name)
            for fluent, (low, high) in errors.items():
                if action is None or fluent not in dict(action.effects) or low > high:
                    raise DatasetError(
                        f"errors['{name}'][{fluent}] is ({low}, {high}): give the least and the "
                        "greatest error of an effect of the model"
                    )

    @property
    def vocabulary(self) -> Vocabulary:
        """The declarations of the domain."""
        return self.model.vocabulary

    @property
    def detail(self) -> Mapping[str, Any]:
        """Where the model comes from."""
        return self.model.detail

    def robust(self, problem: NumericProblem) -> tuple[NumericModel, NumericProblem]:
        """The exact model of the ends of all intervals, and the problem in it; a plan of it works
        for every value within the bounds.

        Raises:
            DatasetError: another type, or an action needs exact values that are not exact.
        """
        checks.of_type(problem, "problem", NumericProblem, error=DatasetError)
        ends = _Ends(self)
        return ends.model(), ends.problem(problem)


def exact_pair(
    model: NumericModel | BoundedModel, problem: NumericProblem
) -> tuple[NumericModel, NumericProblem]:
    """A model and a problem as they are; with bounded errors, their robust form."""
    return model.robust(problem) if isinstance(model, BoundedModel) else (model, problem)


class _Ends:
    """Replaces uncertain fluents by the ends of their intervals."""

    def __init__(self, bounded: BoundedModel) -> None:
        self.bounded, self.source = bounded, bounded.model
        names = {*self.source.vocabulary.functions, *self.source.vocabulary.predicates}
        self.ends: dict[str, tuple[str, str]] = {}
        uncertain = self._uncertain()
        for name in self.source.vocabulary.functions:
            if name in uncertain:
                suffix = ""
                while {f"{name}-low{suffix}", f"{name}-high{suffix}"} & names:
                    suffix += "-x"
                self.ends[name] = f"{name}-low{suffix}", f"{name}-high{suffix}"

    def _uncertain(self) -> set[str]:
        """Functions with noise, with an error in an effect, or changed by such functions."""
        found = {name for name in self.source.vocabulary.functions if self.bounded.noise.of(name)}
        found |= {str(f[0]) for errors in self.bounded.errors.values() for f in errors}
        while True:
            more = {
                str(target[0])
                for action in self.source.actions.values()
                for target, after in action.effects
                if any(fluent[0] in found for fluent in after.fluents)
            }
            if more <= found:
                return found
            found |= more

    def model(self) -> NumericModel:
        """The model of the ends."""
        vocabulary = self.source.vocabulary
        functions: dict[str, tuple[str, ...]] = {}
        for name, kinds in vocabulary.functions.items():
            functions |= dict.fromkeys(self.ends.get(name, (name,)), kinds)
        actions = {name: self._action(action) for name, action in self.source.actions.items()}
        return NumericModel(
            replace(vocabulary, functions=functions), actions, dict(self.source.detail)
        )

    def problem(self, problem: NumericProblem) -> NumericProblem:
        """The problem, whose initial values are known up to the noise."""
        values: dict[Ground, Rational] = {}
        for fluent, value in problem.initial.values.items():
            margin = self.bounded.noise.of(fluent[0])
            if fluent[0] in self.ends:
                low, high = self.ends[fluent[0]]
                values[low, *fluent[1:]] = value - margin
                values[high, *fluent[1:]] = value + margin
            else:
                values[fluent] = value
        goal = Goal(
            problem.goal.positive,
            problem.goal.negative,
            tuple(self._comparisons(problem.goal.comparisons)),
        )
        metric = problem.metric
        if metric is not None:  # its worst value within the bounds
            worst = self._end(metric.expression, 1 if metric.sign > 0 else 0)
            metric = replace(metric, expression=worst)
        initial = State(problem.initial.atoms, values)
        return replace(problem, initial=initial, goal=goal, metric=metric)

    def _action(self, action: NumericAction) -> NumericAction:
        comparisons = self._comparisons(action.comparisons)
        regions = []
        for region in action.regions:
            if not any(fluent[0] in self.ends for fluent in region.fluents):
                regions.append(region)
            else:
                comparisons += self._inside(region)
        effects: list[tuple[Lifted, Linear]] = []
        errors = self.bounded.errors.get(action.name, {})
        for target, after in action.effects:
            if target[0] not in self.ends:
                effects.append((target, after))
                continue
            low, high = errors.get(target, (0, 0))
            for end, error, name in zip(
                (0, 1), (low, high), self.ends[str(target[0])], strict=True
            ):
                bound = self._end(after, end)
                moved = Linear(bound.terms, bound.constant + error)
                effects.append(((name, *target[1:]), moved))
        return replace(
            action,
            comparisons=tuple(dict.fromkeys(comparisons)),
            regions=tuple(regions),
            effects=tuple(effects),
        )

    def _end(self, expression: Linear, end: int) -> Linear:
        """The least (0) or greatest (1) value of an expression over the box of its fluents.

        Raises:
            DatasetError: a product has a factor that is known up to bounds only.
        """
        terms: list[tuple[Term, Rational]] = []
        for term, coefficient in expression.terms:
            if isinstance(term, Product):
                for fluent in term_fluents(term):
                    if fluent[0] in self.ends:
                        raise DatasetError(
                            f"({fluent[0]}) is known up to a noise bound only and stands in a "
                            "product: declare the bound 0 for it, or write the sum without it"
                        )
                terms.append((term, coefficient))
                continue
            name = str(term[0])
            if name in self.ends:
                name = self.ends[name][end if coefficient > 0 else 1 - end]
            terms.append(((name, *term[1:]), coefficient))
        return Linear(tuple(terms), expression.constant)

    def _comparisons(self, comparisons: Iterable[Comparison]) -> list[Comparison]:
        """Conditions that hold if, and only if, the given ones hold in the whole box."""
        worst = []
        for comparison in comparisons:
            worst.append(Comparison(self._end(comparison.expression, 0), comparison.relation))
            fluents = comparison.expression.fluents
            if comparison.relation == "=" and any(fluent[0] in self.ends for fluent in fluents):
                worst[-1] = Comparison(worst[-1].expression, ">=")
                worst.append(Comparison(_negated(self._end(comparison.expression, 1)), ">="))
        return worst

    def _inside(self, region: Region) -> list[Comparison]:
        """Conditions under which the whole box lies in a region."""
        if not isinstance(region.shape, Polyhedron):
            return [IMPOSSIBLE]  # a finite set contains no box
        sides = region.shape.half_spaces(MOST_HALF_SPACES)
        worst = []
        for normal, b in sides.inequalities:
            terms = zip(region.fluents, (-a for a in normal), strict=True)
            worst.append(Comparison(Linear(tuple((f, a) for f, a in terms if a), b), ">="))
        for normal, b in sides.equalities:
            terms = zip(region.fluents, normal, strict=True)
            worst.append(Comparison(Linear(tuple((f, a) for f, a in terms if a), -b), "="))
        return self._comparisons(worst)


def _negated(expression: Linear) -> Linear:
    return Linear(tuple((fluent, -c) for fluent, c in expression.terms), -expression.constant)
