"""The numeric precondition and effects of one action, learned from the numbers before and after it.

`LearnedNumerics` of the declared class, or of a weaker class if the data contradict the declared
one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from worldplan.world_models.action_model.attempts import first_candidate, weaker_classes
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

Reading = tuple[tuple[int, ...], list[Rational], Rational, AffineMap]
# (positions of the explaining fluents, coefficients, constant, affine hull of their values)


class Refuted(Exception):
    """The data contradict every class that may be used."""


@dataclass(frozen=True)
class NumericTransitions:
    """The observed numbers of one action.

    Args:
        action: its name.
        parameters: (name, type) pairs.
        fluents: the lifted fluents over its parameters and constants.
        rows: values after the action by values before it, both in the order of `fluents`; None
            stands for an undefined fluent.
    """

    action: str
    parameters: tuple[tuple[str, str], ...]
    fluents: tuple[Lifted, ...]
    rows: Mapping[Point, Point]

    def text(self, fluent: int) -> str:
        """The name of a fluent, given by position, for messages and declarations."""
        return fluent_text(self.fluents[fluent], self.parameters)


@dataclass(frozen=True)
class LearnedNumerics:
    """The learned numeric part of an action.

    Args:
        comparisons: equations that the precondition needs.
        regions: the sets of the precondition.
        effects: (changed fluent, its next value) pairs.
        refuted: why the declared class was replaced by a weaker one; "" if it was not.
    """

    comparisons: tuple[Comparison, ...]
    regions: tuple[Region, ...]
    effects: tuple[tuple[Lifted, Linear], ...]
    refuted: str = ""


@dataclass(frozen=True)
class _Change:
    """The change of a fluent.

    Args:
        fluent: its position.
        readings: the affine maps that explain it, one for each set of fluents that it may depend
            on.
    """

    fluent: int
    readings: list[Reading]


def check_declaration(declaration: Declaration, names: Mapping[str, int], action: str) -> None:
    """Check that a declaration names fluents of the action only.

    Args:
        declaration: the declaration.
        names: the position of each fluent of the action.
        action: for messages.

    Raises:
        ConfigError: it names another fluent.
    """
    fluent_blocks(declaration, names, action)
    for changed, dependencies in (declaration.effect_fluents or {}).items():
        resolve([changed, *dependencies], names, action)


def learn_numerics(
    data: NumericTransitions, declaration: Declaration, refuting: Callable[[LearnedNumerics], str]
) -> LearnedNumerics:
    """The numeric part in the declared class, or in a weaker class if the data contradict the
    declared one.

    A fluent that is undefined before some transition is left out: the precondition cannot contain
    it.

    Args:
        data: the observed numbers.
        declaration: the declared class.
        refuting: maps a candidate to evidence against it (a failed action that it accepts), or to
            "".

    Raises:
        Refuted: no affine effect explains the data, or the action failed and succeeded in the same
            state. The message names the fluent.
        ConfigError: the declaration names a fluent that the action does not have.
    """
    defined = [i for i in range(len(data.fluents)) if all(row[i] is not None for row in data.rows)]
    for i in range(len(data.fluents)):
        if i not in defined and any(row[i] != label[i] for row, label in data.rows.items()):
            raise Refuted(
                f"({data.text(i)}) changes although it is not defined before every observation of "
                "the action"
            )
    undefined = next(
        (i for i in defined if any(label[i] is None for label in data.rows.values())), None
    )
    if undefined is not None:
        raise Refuted(f"({data.text(undefined)}) is defined before and not after the action")
    declaration = without_undefined(
        declaration, {data.text(i) for i in range(len(data.fluents)) if i not in defined}
    )
    rows = {
        tuple(row[i] for i in defined): tuple(label[i] for i in defined)
        for row, label in data.rows.items()
    }
    transitions = NumericTransitions(
        data.action, data.parameters, tuple(data.fluents[i] for i in defined), rows
    )
    changes, reason = _learn_changes(transitions, declaration)
    attempts = weaker_classes(declaration, reason)
    candidate, reasons = first_candidate(
        [*attempts, replace(attempts[-1], preconditions="finite")],
        lambda attempt: _in_class(transitions, attempt, changes),
        refuting,
        reason,
    )
    if candidate is None:
        raise Refuted(
            "it succeeded and failed in the same state, so the state lacks something: "
            f"{reasons[-1]}"
        )
    return replace(candidate, refuted="; ".join(reasons))


def without_undefined(declaration: Declaration, undefined: set[str]) -> Declaration:
    """The declaration without the fluents that the data leave undefined.

    Args:
        declaration: the declaration.
        undefined: names of these fluents.

    Raises:
        Refuted: a change is declared to depend on such a fluent.
    """
    effects = declaration.effect_fluents
    for changed, dependencies in (effects or {}).items():
        if lost := undefined.intersection(dependencies):
            raise Refuted(
                f"({changed}) is declared to depend on ({min(lost)}), which is not defined before "
                "every observation of the action"
            )
    return replace(
        declaration,
        directions={
            name: sign for name, sign in declaration.directions.items() if name not in undefined
        },
        groups=tuple(
            tuple(name for name in group if name not in undefined) for group in declaration.groups
        ),
        precondition_fluents=_kept(declaration.precondition_fluents, undefined),
        effect_fluents=effects
        if effects is None
        else {name: depends for name, depends in effects.items() if name not in undefined},
    )


def _kept(names: tuple[str, ...] | None, undefined: set[str]) -> tuple[str, ...] | None:
    return None if names is None else tuple(name for name in names if name not in undefined)


def _learn_changes(data: NumericTransitions, declaration: Declaration) -> tuple[list[_Change], str]:
    """The change of every fluent in the declared class; or in the affine class, with the reason.

    Raises:
        Refuted: a change is not affine in the action's fluents.
    """
    changes, unexplained = _fit(data, declaration)
    if unexplained is None:
        return changes, ""
    named = f"({data.text(unexplained)})"
    if declaration.effects == "affine" and declaration.effect_fluents is None:
        raise Refuted(f"the effect on {named} is not affine in the action's fluents")
    changes, not_affine = _fit(data, Declaration())
    if not_affine is not None:
        raise Refuted(
            f"the effect on ({data.text(not_affine)}) is not affine in the action's fluents"
        )
    return changes, f"the effect on {named} is not as declared"


def _fit(data: NumericTransitions, declaration: Declaration) -> tuple[list[_Change], int | None]:
    """The change of every fluent, by each allowed support that explains it.

    Returns:
        The changes and None; or [] and the first fluent, by position, whose change no allowed
        support explains.
    """
    names = {data.text(i): i for i in range(len(data.fluents))}
    fluents_by_support: dict[tuple[int, ...], list[int]] = {}
    for i, name in enumerate(names):
        for support in supports(declaration, names, data.action, name):
            fluents_by_support.setdefault(support, []).append(i)
    readings: dict[int, list[Reading]] = {i: [] for i in range(len(data.fluents))}
    for support, labels in fluents_by_support.items():
        hull = AffineMap(len(support), len(labels))
        unexplained: set[int] = set()
        for row, after in data.rows.items():
            point = tuple(row[i] for i in support)
            change = tuple(after[i] - row[i] for i in labels)
            if not hull.explains(point, change):
                unexplained.update(hull.add(point, change))
        for k, i in enumerate(labels):
            if k not in unexplained:
                readings[i].append((support, *hull.explanation(k), hull))
    declared = declaration.effect_fluents
    for i, name in enumerate(names):
        unlisted = declared is not None and name not in declared
        if not readings[i] or (
            unlisted and any(after[i] != row[i] for row, after in data.rows.items())
        ):
            return [], i
    return [_Change(i, fluent_readings) for i, fluent_readings in readings.items()], None


def _in_class(
    data: NumericTransitions, declaration: Declaration, changes: Sequence[_Change]
) -> LearnedNumerics:
    """The numeric part in one class, for changes that are already learned."""
    names = {data.text(i): i for i in range(len(data.fluents))}
    if declaration.preconditions == "finite":
        all_fluents = FluentBlock(tuple(range(len(data.fluents))), (0,) * len(data.fluents))
        regions = [Region(data.fluents, SeenPoints(frozenset(data.rows)))] if data.fluents else []
        return LearnedNumerics(
            _determined(data, changes, [all_fluents]), tuple(regions), _effects(data, changes)
        )
    allowed_blocks = fluent_blocks(declaration, names, data.action)
    regions = [
        Region(tuple(data.fluents[i] for i in block.fluents), block.shape(data.rows))
        for block in allowed_blocks
    ]
    return LearnedNumerics(
        _determined(data, changes, allowed_blocks), tuple(regions), _effects(data, changes)
    )


def _determined(
    data: NumericTransitions, changes: Sequence[_Change], allowed: Sequence[FluentBlock]
) -> tuple[Comparison, ...]:
    """Equations that restrict the precondition to states where the data determine every change.

    The values of each support must lie in the affine hull of the observed ones. Where several
    supports explain a change, their predictions must agree. Equations implied by a region are left
    out.

    Args:
        data: the observed numbers.
        changes: the change of every fluent.
        allowed: the blocks of the regions.
    """
    equations: dict[Comparison, None] = {}
    for change in changes:
        if _implied({i for support, *_ in change.readings for i in support}, allowed):
            continue
        for support, coefficients, constant, hull in change.readings:
            if not _implied(set(support), allowed):
                for normal, b in hull.equations():
                    equations[_equation(data, dict(zip(support, normal, strict=True)), -b)] = None
            first_support, first_coefficients, first_constant, _ = change.readings[0]
            difference: dict[int, Rational] = dict(
                zip(first_support, first_coefficients, strict=True)
            )
            for i, coefficient in zip(support, coefficients, strict=True):
                difference[i] = difference.get(i, 0) - coefficient
            if any(difference.values()) or first_constant != constant:
                equations[_equation(data, difference, first_constant - constant)] = None
    return tuple(equations)


def _implied(fluents: set[int], allowed: Sequence[FluentBlock]) -> bool:
    """Whether one region confines these fluents to the affine hull of their observed values."""
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
    """The equation sum of coefficient * fluent + constant = 0."""
    terms = tuple(
        (data.fluents[i], coefficient)
        for i, coefficient in sorted(coefficients.items())
        if coefficient
    )
    return Comparison(Linear(terms, constant), "=")


def _effects(
    data: NumericTransitions, changes: Sequence[_Change]
) -> tuple[tuple[Lifted, Linear], ...]:
    """(changed fluent, its next value) of each fluent that changes."""
    effects = []
    for change in changes:
        support, coefficients, constant, _ = change.readings[0]
        if constant or any(coefficients):
            after = next_value(data.fluents, change.fluent, support, coefficients, constant)
            effects.append((data.fluents[change.fluent], after))
    return tuple(effects)


def next_value(
    fluents: Sequence[Lifted],
    changed: int,
    support: Sequence[int],
    coefficients: Sequence[Rational],
    constant: Rational,
) -> Linear:
    """The next value of a fluent from its change.

    Args:
        fluents: the fluents of the action.
        changed: the position of the fluent.
        support: positions of the fluents that its change depends on.
        coefficients: of the support, in the change.
        constant: of the change.
    """
    weights: dict[int, Rational] = {changed: 1}
    for i, coefficient in zip(support, coefficients, strict=True):
        weights[i] = exact(weights.get(i, 0) + coefficient)
    terms = tuple((fluents[i], weight) for i, weight in sorted(weights.items()) if weight)
    return Linear(terms, constant)
