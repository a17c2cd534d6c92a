"""An action's numeric precondition and effects from the numbers before and after it, within a
declared class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from worldplan.world_models.action_model.hypothesis_classes import (
    Declaration,
    FluentBlock,
    SeenPoints,
    fluent_blocks,
    fluent_text,
    resolve,
    supports,
)
from worldplan.world_models.exact.affine import AffineMap
from worldplan.world_models.exact.numbers import Point, Rational, exact
from worldplan.world_models.numeric.domain import Comparison, Lifted, Linear, Region


class Refuted(Exception):
    """The data contradict every class that was allowed."""


@dataclass(frozen=True)
class NumericTransitions:
    """Numbers before an action (None: not defined) and after it, in the order of `fluents`."""

    action: str
    parameters: tuple[tuple[str, str], ...]
    fluents: tuple[Lifted, ...]
    rows: Mapping[Point, Point]

    def text(self, fluent: int) -> str:
        """A fluent's name for messages and declarations."""
        return fluent_text(self.fluents[fluent], self.parameters)


@dataclass(frozen=True)
class LearnedNumerics:
    """What was learned; `refuted` says why a declared class was given up, if it was."""

    comparisons: tuple[Comparison, ...]
    regions: tuple[Region, ...]
    effects: tuple[tuple[Lifted, Linear], ...]
    refuted: str = ""

    @staticmethod
    def check(declaration: Declaration, names: Mapping[str, int], action: str) -> None:
        """Raise ConfigError for a declaration that names fluents the action has not."""
        fluent_blocks(declaration, names, action)
        for changed, dependencies in (declaration.effect_fluents or {}).items():
            resolve([changed, *dependencies], names, action)


@dataclass(frozen=True)
class _Change:
    """A fluent's change, once for each set of fluents it may depend on: (those fluents,
    coefficients, constant, hull's equations).
    """

    fluent: int
    readings: list[tuple[tuple[int, ...], list[Rational], Rational, AffineMap]]


def learn_numerics(
    data: NumericTransitions, declaration: Declaration, refuting: Callable[[LearnedNumerics], str]
) -> LearnedNumerics:
    """The rules of the declared class, or of a weaker one where the data contradict it.

    Args:
        data: what was seen; a fluent that is undefined somewhere is left out, since the
            precondition cannot mention it.
        declaration: the class.
        refuting: evidence against rules (a failed action they accept), "" if there is none.

    Raises:
        Refuted: no affine effect explains the data (names the fluent), or an action failed and
            succeeded on the same state.
    """
    used = [i for i in range(len(data.fluents)) if all(row[i] is not None for row in data.rows)]
    for i in range(len(data.fluents)):
        if i not in used and any(row[i] != label[i] for row, label in data.rows.items()):
            raise Refuted(
                f"({data.text(i)}) changes although it is not defined before every observation of the action"
            )
    undefined = next(
        (i for i in used if any(label[i] is None for label in data.rows.values())), None
    )
    if undefined is not None:
        raise Refuted(f"({data.text(undefined)}) is defined before and not after the action")
    declaration = _without(
        declaration, {data.text(i) for i in range(len(data.fluents)) if i not in used}
    )
    rows = {
        tuple(row[i] for i in used): tuple(label[i] for i in used)
        for row, label in data.rows.items()
    }
    kept = NumericTransitions(
        data.action, data.parameters, tuple(data.fluents[i] for i in used), rows
    )
    changes, given_up = _learn_changes(kept, declaration)
    reasons = [given_up] if given_up else []
    if given_up:
        declaration = replace(declaration, effects="affine", effect_fluents=None)
    convex = replace(declaration, preconditions="convex", precondition_fluents=None, directions={})
    attempts = [declaration, convex, replace(convex, preconditions="finite")]
    for i, attempt in enumerate(attempts):
        if attempt in attempts[:i]:
            continue
        rules = _rules(kept, attempt, changes)
        evidence = refuting(rules)
        if not evidence:
            return replace(rules, refuted="; ".join(reasons))
        reasons.append(f"the precondition is not as declared ({attempt.preconditions}): {evidence}")
    raise Refuted(
        f"it succeeded and failed in the same state, so the state lacks something: {reasons[-1]}"
    )


def _without(declaration: Declaration, gone: set[str]) -> Declaration:
    """The declaration without fluents that the data leave undefined. Raises Refuted if a change was
    declared to depend on one.
    """
    effects = declaration.effect_fluents
    for changed, dependencies in (effects or {}).items():
        if lost := gone.intersection(dependencies):
            raise Refuted(
                f"({changed}) is declared to depend on ({min(lost)}), which is not defined before every observation of the action"
            )
    return replace(
        declaration,
        directions={
            name: sign for name, sign in declaration.directions.items() if name not in gone
        },
        groups=tuple(
            tuple(name for name in group if name not in gone) for group in declaration.groups
        ),
        precondition_fluents=_kept(declaration.precondition_fluents, gone),
        effect_fluents=effects
        if effects is None
        else {name: depends for name, depends in effects.items() if name not in gone},
    )


def _kept(names: tuple[str, ...] | None, gone: set[str]) -> tuple[str, ...] | None:
    return None if names is None else tuple(name for name in names if name not in gone)


def _learn_changes(data: NumericTransitions, declaration: Declaration) -> tuple[list[_Change], str]:
    """Every fluent's change by the declared class, or by the affine one and the reason why. Raises
    Refuted.
    """
    changes, wrong = _fit(data, declaration)
    if wrong is None:
        return changes, ""
    named = f"({data.text(wrong)})"
    if declaration.effects == "affine" and declaration.effect_fluents is None:
        raise Refuted(f"the effect on {named} is not affine in the action's fluents")
    changes, still_wrong = _fit(data, Declaration())
    if still_wrong is not None:
        raise Refuted(
            f"the effect on ({data.text(still_wrong)}) is not affine in the action's fluents"
        )
    return changes, f"the effect on {named} is not as declared"


def _fit(data: NumericTransitions, declaration: Declaration) -> tuple[list[_Change], int | None]:
    """Changes by every allowed support that explains them; the first fluent that none explains, if
    any.
    """
    names = {data.text(i): i for i in range(len(data.fluents))}
    wanted: dict[tuple[int, ...], list[int]] = {}
    for i, name in enumerate(names):
        for support in supports(declaration, names, data.action, name):
            wanted.setdefault(support, []).append(i)
    readings: dict[int, list] = {i: [] for i in range(len(data.fluents))}
    for support, labels in wanted.items():
        hull = AffineMap(len(support), len(labels))
        bad: set[int] = set()
        for row, after in data.rows.items():
            point = tuple(row[i] for i in support)
            change = tuple(after[i] - row[i] for i in labels)
            if not hull.explains(point, change):
                bad.update(hull.add(point, change))
        for k, i in enumerate(labels):
            if k not in bad:
                readings[i].append((support, *hull.explanation(k), hull))
    declared = declaration.effect_fluents
    for i, name in enumerate(names):
        unlisted = declared is not None and name not in declared
        if not readings[i] or (
            unlisted and any(after[i] != row[i] for row, after in data.rows.items())
        ):
            return [], i
    return [_Change(i, found) for i, found in readings.items()], None


def _rules(
    data: NumericTransitions, declaration: Declaration, changes: Sequence[_Change]
) -> LearnedNumerics:
    names = {data.text(i): i for i in range(len(data.fluents))}
    if declaration.preconditions == "finite":
        everything = FluentBlock(tuple(range(len(data.fluents))), (0,) * len(data.fluents))
        regions = [Region(data.fluents, SeenPoints(frozenset(data.rows)))] if data.fluents else []
        return LearnedNumerics(
            _determined(data, changes, [everything]), tuple(regions), _effects(data, changes)
        )
    allowed = fluent_blocks(declaration, names, data.action)
    regions = [
        Region(tuple(data.fluents[i] for i in block.fluents), block.shape(data.rows))
        for block in allowed
    ]
    return LearnedNumerics(
        _determined(data, changes, allowed), tuple(regions), _effects(data, changes)
    )


def _determined(
    data: NumericTransitions, changes: Sequence[_Change], allowed: Sequence[FluentBlock]
) -> tuple[Comparison, ...]:
    """Equations that keep to states where what was seen settles every change, as far as no region
    implies them.

    A support's values must lie in the affine hull of those seen; and where several supports explain
    a change, all must agree.
    """
    found: dict[Comparison, None] = {}
    for change in changes:
        if _implied({i for support, *_ in change.readings for i in support}, allowed):
            continue
        for support, coefficients, constant, hull in change.readings:
            if not _implied(set(support), allowed):
                for normal, b in hull.equations():
                    found[_equation(data, dict(zip(support, normal, strict=True)), -b)] = None
            first_support, first_coefficients, first_constant, _ = change.readings[0]
            difference: dict[int, Rational] = dict(
                zip(first_support, first_coefficients, strict=True)
            )
            for i, coefficient in zip(support, coefficients, strict=True):
                difference[i] = difference.get(i, 0) - coefficient
            if any(difference.values()) or first_constant != constant:
                found[_equation(data, difference, first_constant - constant)] = None
    return tuple(found)


def _implied(fluents: set[int], allowed: Sequence[FluentBlock]) -> bool:
    """Whether one region keeps these fluents in the affine hull of what was seen."""
    return (
        any(
            all(
                i in block.fluents and not block.directions[block.fluents.index(i)] for i in fluents
            )
            for block in allowed
        )
        or not fluents
    )


def _equation(
    data: NumericTransitions, coefficients: Mapping[int, Rational], constant: Rational
) -> Comparison:
    terms = tuple(
        (data.fluents[i], coefficient)
        for i, coefficient in sorted(coefficients.items())
        if coefficient
    )
    return Comparison(Linear(terms, constant), "=")


def _effects(
    data: NumericTransitions, changes: Sequence[_Change]
) -> tuple[tuple[Lifted, Linear], ...]:
    """Each changed fluent's next value."""
    effects = []
    for change in changes:
        support, coefficients, constant, _ = change.readings[0]
        if constant or any(coefficients):
            weights: dict[int, Rational] = {change.fluent: 1}
            for i, coefficient in zip(support, coefficients, strict=True):
                weights[i] = exact(weights.get(i, 0) + coefficient)
            terms = tuple(
                (data.fluents[i], weight) for i, weight in sorted(weights.items()) if weight
            )
            effects.append((data.fluents[change.fluent], Linear(terms, constant)))
    return tuple(effects)
