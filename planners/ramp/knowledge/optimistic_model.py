"""An optimistic action model: the most general preconditions that fit all successes and failures.

The safe model allows an action only where successes prove that it is applicable. The optimistic
model allows it except where failures speak against it (`failure_rules`). If several preconditions
fit, each becomes a variant of the action, and the planner may use all variants. Executing an
optimistic plan either reaches the goal or yields a failure that refutes some variants: optimism in
the face of uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.failure_rules import Condition, Failure, most_general_rules
from worldplan.planners.ramp.knowledge.views import View
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Ground,
    Lifted,
    Linear,
    NumericAction,
    NumericModel,
    Region,
    ground,
)

MAX_VARIANTS = 12  # per action
VARIANT = "~"  # stands between an action's name and the number of its variant
Offer = tuple[Ground, frozenset[Ground]]  # call and atoms of a view in a visited state


@dataclass(frozen=True)
class AllBut:
    """The set of all points except some."""

    points: frozenset[Point]
    dimension: int

    def contains(self, point: Point) -> bool:
        """Exact membership of a point (dimension,)."""
        return point not in self.points

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """(lower, upper) bound per coordinate: there are none."""
        return [(None, None)] * self.dimension


def optimistic_model(experience: Experience) -> NumericModel:
    """The optimistic variants of every action that ever succeeded; their effects are those of the
    safe model. `without_variant` gives the action of a variant.
    """
    safe = experience.model()
    successes: dict[str, list[View]] = {name: [] for name in safe.actions}
    failures: dict[str, list[View]] = {name: [] for name in safe.actions}
    for before, after in experience.outcomes:
        if before.call[0] in safe.actions:
            (failures if after is None else successes)[before.call[0]].append(before)
    offers: dict[str, list[Offer]] = {name: [] for name in safe.actions}
    for call, atoms in experience.offered:
        offers.setdefault(call[0], []).append((call, atoms))
    actions = {
        variant.name: variant
        for name, action in safe.actions.items()
        for variant in _variants(
            action, experience.views.fluents(name), successes[name], failures[name], offers[name]
        )
    }
    vocabulary = replace(
        safe.vocabulary, actions={name: action.parameters for name, action in actions.items()}
    )
    return NumericModel(vocabulary, actions)


def without_variant(call: Ground) -> Ground:
    """The ground action of a ground variant; any other ground action itself."""
    return (call[0].partition(VARIANT)[0], *call[1:])


def _variants(
    action: NumericAction,
    fluents: Sequence[Lifted],
    successes: list[View],
    failures: list[View],
    offers: list[Offer],
) -> list[NumericAction]:
    literals = [Condition(atom, 1) for atom in sorted(action.positive, key=str)] + [
        Condition(atom, -1) for atom in sorted(action.negative, key=str)
    ]
    # learned actions apply to different objects only: failures with an object twice do not count
    failed = [
        (_true_atoms(action, view.call, view.atoms), view.values)
        for view in failures
        if _injective(view.call)
    ]
    # A literal that holds wherever the environment offers the action says which objects the action
    # can be called with. No failure can refute it, so it always stays a precondition.
    offered = [_true_atoms(action, call, atoms) for call, atoms in offers if _injective(call)]
    required = [
        literal for literal in literals if not any(literal.excludes(atoms, ()) for atoms in offered)
    ]
    bounds = []
    for i in range(len(fluents)):
        values = [value for view in successes if (value := view.values[i]) is not None]
        if len(values) == len(successes):
            bounds += [Condition(None, 1, i, min(values)), Condition(None, -1, i, max(values))]
    rules, unexplained = most_general_rules([*bounds, *literals], failed, MAX_VARIANTS)
    regions = _exceptions(fluents, successes, unexplained)
    return [
        _variant(action, number, fluents, [*required, *rule], regions)
        for number, rule in enumerate(rules)
    ]


def _variant(
    action: NumericAction,
    number: int,
    fluents: Sequence[Lifted],
    conditions: Sequence[Condition],
    regions: tuple[Region, ...],
) -> NumericAction:
    literals = [(each.atom, each.sign) for each in conditions if each.atom is not None]
    return replace(
        action,
        name=f"{action.name}{VARIANT}{number}",
        positive=frozenset(atom for atom, sign in literals if sign > 0),
        negative=frozenset(atom for atom, sign in literals if sign < 0),
        comparisons=tuple(
            _comparison(fluents[condition.fluent], condition)
            for condition in conditions
            if condition.fluent is not None
        ),
        regions=regions,
    )


def _injective(call: Ground) -> bool:
    return len(set(call)) == len(call)


def _true_atoms(action: NumericAction, call: Ground, atoms: frozenset[Ground]) -> frozenset[Lifted]:
    """The atoms of the action's precondition that are true in a view."""
    return frozenset(
        atom for atom in action.positive | action.negative if ground(atom, call[1:]) in atoms
    )


def _comparison(fluent: Lifted, bound: Condition) -> Comparison:
    """sign * fluent - sign * end >= 0, or > 0 if strict."""
    expression = Linear(((fluent, bound.sign),), -bound.sign * bound.end)
    return Comparison(expression, ">" if bound.strict else ">=")


def _exceptions(
    fluents: Sequence[Lifted], successes: list[View], unexplained: list[Failure]
) -> tuple[Region, ...]:
    """Excludes the fluent values of unexplained failures, unless a success had the same values."""
    failed = {values for _, values in unexplained if None not in values}
    excluded = failed - {view.values for view in successes}
    points = frozenset(tuple(value for value in values if value is not None) for values in excluded)
    return (Region(tuple(fluents), AllBut(points, len(fluents))),) if points else ()
