"""Bold guesses at what each action needs, that fit all its successes and failures: for deciding
what to try.

A safe model allows only what was as good as seen. A guess allows everything except for what
failures speak against (`threshold_rules`). Where several rules would do, each becomes a variant of
the action, and the planner may use them all. Trying a plan of guesses therefore either reaches the
goal or yields a failure that rules some of them out: optimism in the face of uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.failure_rules import Condition, Failure, boldest_rules
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


@dataclass(frozen=True)
class AllBut:
    """Every point except some."""

    points: frozenset[Point]
    dimension: int

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        return point not in self.points

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """No coordinate has any."""
        return [(None, None)] * self.dimension


VARIANTS = 12  # guesses kept per action
VARIANT = "~"  # stands between an action's name and the number of a guess
Offer = tuple[Ground, frozenset[Ground]]


def optimistic_model(experience: Experience) -> NumericModel:
    """Guesses at every action whose effects are known; they do what the action of the safe model
    does. For names, see `certain`.
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
        guess.name: guess
        for name, action in safe.actions.items()
        for guess in _guesses(
            action, experience.views.fluents(name), successes[name], failures[name], offers[name]
        )
    }
    words = replace(
        safe.vocabulary, actions={name: action.parameters for name, action in actions.items()}
    )
    return NumericModel(words, actions)


def certain(call: Ground) -> Ground:
    """The action that a call of a guess tries."""
    return (call[0].partition(VARIANT)[0], *call[1:])


def _guesses(
    action: NumericAction,
    fluents: Sequence[Lifted],
    successes: list[View],
    failures: list[View],
    offers: list[Offer],
) -> list[NumericAction]:
    literals = [Condition(atom, 1) for atom in sorted(action.positive, key=str)] + [
        Condition(atom, -1) for atom in sorted(action.negative, key=str)
    ]
    failed = [
        (_truth(action, view.call, view.atoms), view.values)
        for view in failures
        if _injective(view.call)
    ]
    # a condition that holds wherever the environment offers the action is part of how to call it
    truths = [_truth(action, call, atoms) for call, atoms in offers if _injective(call)]
    needed = [one for one in literals if not any(one.excludes(truth, ()) for truth in truths)]
    ends = []
    for i in range(len(fluents)):
        seen = [value for view in successes if (value := view.values[i]) is not None]
        if len(seen) == len(successes):
            ends += [Condition(None, 1, i, min(seen)), Condition(None, -1, i, max(seen))]
    rules, unexplained = boldest_rules([*ends, *literals], failed, VARIANTS)
    regions = _exceptions(fluents, successes, unexplained)
    return [
        _variant(action, number, fluents, [*needed, *rule], regions)
        for number, rule in enumerate(rules)
    ]


def _variant(
    action: NumericAction,
    number: int,
    fluents: Sequence[Lifted],
    conditions: Sequence[Condition],
    regions: tuple[Region, ...],
) -> NumericAction:
    return replace(
        action,
        name=f"{action.name}{VARIANT}{number}",
        positive=frozenset(one.atom for one in conditions if one.atom is not None and one.sign > 0),
        negative=frozenset(one.atom for one in conditions if one.atom is not None and one.sign < 0),
        comparisons=tuple(
            _comparison(fluents[one.fluent], one) for one in conditions if one.fluent is not None
        ),
        regions=regions,
    )


def _injective(call: Ground) -> bool:
    return len(set(call)) == len(call)


def _truth(action: NumericAction, call: Ground, atoms: frozenset[Ground]) -> frozenset[Lifted]:
    return frozenset(
        atom for atom in action.positive | action.negative if ground(atom, call[1:]) in atoms
    )


def _comparison(fluent: Lifted, one: Condition) -> Comparison:
    return Comparison(
        Linear(((fluent, one.sign),), -one.sign * one.end), ">" if one.strict else ">="
    )


def _exceptions(
    fluents: Sequence[Lifted], successes: list[View], unexplained: list[Failure]
) -> tuple[Region, ...]:
    """Numbers at which it failed for no simple reason, unless it succeeded with the same ones too."""
    defined = {values for _, values in unexplained if None not in values} - {
        view.values for view in successes
    }
    points = frozenset(tuple(value for value in values if value is not None) for values in defined)
    return (Region(tuple(fluents), AllBut(points, len(fluents))),) if points else ()
