"""The numeric precondition and effects of one action from noisy numbers: what is certain for every
true value within the declared bounds.

The precondition is the part of the hull that lies in the hull of the true points however the noise
fell (`worldplan.world_models.exact.erosion`). An effect is a short affine map with an error
interval that holds for every consistent affine map (`bounded_effects`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from worldplan.world_models.action_model.attempts import first_candidate, weaker_classes
from worldplan.world_models.action_model.bounded_effects import (
    Inconsistent,
    Interval,
    NoisyChanges,
    enclosures,
)
from worldplan.world_models.action_model.centre import centred
from worldplan.world_models.action_model.hypothesis_classes import (
    Declaration,
    FluentBlock,
    SeenPoints,
    fluent_blocks,
    supports,
)
from worldplan.world_models.action_model.numeric_effects import (
    LearnedNumerics,
    NumericTransitions,
    Refuted,
    next_value,
    without_undefined,
)
from worldplan.world_models.exact.erosion import box_corners, eroded
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.bounded import Errors
from worldplan.world_models.numeric.domain import Lifted, Linear, Region

FEW_CORNERS = 40  # up to this number, the corners of a certain region itself bound an effect


class NoiseTooSmall(Exception):
    """The declared bounds, or the declared class of effects, contradict the data; the message names
    the fluent.
    """


@dataclass(frozen=True)
class BoundedNumerics(LearnedNumerics):
    """The learned numeric part of an action.

    Args:
        errors: for each effect, the least and the greatest difference of the true next value from
            the learned one.
    """

    errors: Errors = field(default_factory=dict)


@dataclass(frozen=True)
class NoisyTransitions:
    """The observed numbers of one action, with their bounds.

    Args:
        exact: the numbers as in exact learning; its `rows` are not used.
        pairs: (numbers before, numbers after).
        margins: the bound of each fluent.
    """

    exact: NumericTransitions
    pairs: Sequence[tuple[Point, Point]]
    margins: tuple[Rational, ...]

    def text(self, fluent: int) -> str:
        """The name of a fluent, given by position."""
        return self.exact.text(fluent)

    def names(self) -> dict[str, int]:
        """Position of each fluent by name."""
        return {self.text(i): i for i in range(len(self.margins))}


def learn_bounded(
    data: NoisyTransitions, declaration: Declaration, refuting: Callable[[LearnedNumerics], str]
) -> BoundedNumerics:
    """The numeric part in the declared class, or in a weaker class if the data contradict the
    declared one.

    Args:
        data: the observed numbers.
        declaration: the declared class.
        refuting: maps a candidate to evidence against it, or to "".

    Raises:
        Refuted: no state is certain, or the action failed where the class says that it succeeds.
        NoiseTooSmall: no affine effect explains the data within the bounds.
        ConfigError: the declaration names a fluent that the action does not have.
    """
    data, declaration = _defined(data, declaration)
    learner = _Learner(data)
    changes, reason = learner.changes(declaration)
    candidate, reasons = first_candidate(
        weaker_classes(declaration, reason),
        lambda attempt: learner.candidate(attempt, changes),
        refuting,
        reason,
    )
    if candidate is None:
        raise Refuted(
            f"{reasons[-1]}, and with noisy numbers no weaker class accepts any state for certain"
        )
    return replace(candidate, refuted="; ".join(reasons))


@dataclass(frozen=True)
class _Change:
    """The enclosure of a fluent's change.

    Args:
        fluent: its position.
        support: positions of the fluents that the change depends on.
        coefficients: of the support.
        constant: of the change.
        error: least and greatest difference of the true change.
    """

    fluent: int
    support: tuple[int, ...]
    coefficients: list[Rational]
    constant: Rational
    error: tuple[Rational, Rational]


class _Learner:
    """Learns from the numbers of one action; certain regions are computed once for each set of
    fluents.
    """

    def __init__(self, data: NoisyTransitions) -> None:
        self.data = data
        self._regions: dict[tuple[tuple[int, ...], tuple[int, ...]], Polyhedron] = {}

    def region(self, fluents: tuple[int, ...], directions: tuple[int, ...]) -> Polyhedron:
        """The values of some fluents that are certainly in the hull of the true ones.

        Raises:
            Refuted: there are none.
        """
        key = fluents, directions
        if key not in self._regions:
            points = [tuple(before[i] for i in fluents) for before, _ in self.data.pairs]
            margins = [self.data.margins[i] for i in fluents]
            certain = eroded(points, margins, directions)
            if certain is None:
                raise Refuted(self._too_narrow(fluents, points))
            self._regions[key] = certain
        return self._regions[key]

    def _too_narrow(self, fluents: tuple[int, ...], points: Sequence[Point]) -> str:
        """Why no value is certain."""
        for i, column in zip(fluents, zip(*points, strict=True), strict=True):
            spread, margin = max(column) - min(column), self.data.margins[i]
            if margin and spread <= 2 * margin:
                return (
                    f"the observed values of ({self.data.text(i)}) spread by {float(spread):.3g} "
                    f"only, and the noise bound {float(margin):.3g} needs more than "
                    f"{float(2 * margin):.3g}: declare the bound 0 if the numbers are exact, or "
                    "precondition_fluents and effect_fluents without it, or give more states"
                )
        names = ", ".join(f"({self.data.text(i)})" for i in fluents)
        return (
            f"no values of {names} are certain within the noise bounds: give more states, smaller "
            "bounds, or declare which fluents matter"
        )

    def changes(self, declaration: Declaration) -> tuple[list[_Change], str]:
        """The change of every fluent in the declared class, or in the affine class with the reason.

        Raises:
            Refuted: no state is certain.
            NoiseTooSmall: a change is not affine within the bounds.
        """
        names = self.data.names()
        affine = Declaration()
        try:
            return [self._change(i, name, declaration) for name, i in names.items()], ""
        except NoiseTooSmall as error:
            if declaration.effects == "affine" and declaration.effect_fluents is None:
                raise
            reason = f"the effect is not as declared: {error}"
        return [self._change(i, name, affine) for name, i in names.items()], reason

    def _change(self, fluent: int, name: str, declaration: Declaration) -> _Change:
        """The enclosure of one change.

        Raises:
            Refuted: no state is certain.
            NoiseTooSmall: no allowed support explains the change within the bounds.
        """
        declared = declaration.effect_fluents
        if declared is not None and name not in declared:
            self._check_unchanged(fluent)
            return _Change(fluent, (), [], 0, (0, 0))
        allowed = supports(declaration, self.data.names(), self.data.exact.action, name)
        consistent: dict[tuple[int, ...], list[Interval]] = {}
        factors = []
        for support in allowed:
            try:
                consistent[support] = self._enclosed(fluent, support, self._corners(support))
            except Inconsistent as error:
                factors.append(error.factor)
        if not consistent:
            raise NoiseTooSmall(self._scatter(fluent, min(factors)))
        union = tuple(sorted({i for support in consistent for i in support}))
        corners = self._corners(union)
        lows, highs = [], []
        for support, values in consistent.items():
            if support != union:
                places = [union.index(i) for i in support]
                projected = [tuple(corner[p] for p in places) for corner in corners]
                values = self._enclosed(fluent, support, projected)
            lows.append([low for low, _ in values])
            highs.append([high for _, high in values])
        intervals = list(
            zip(map(min, zip(*lows, strict=True)), map(max, zip(*highs, strict=True)), strict=True)
        )
        return _Change(fluent, union, *centred(corners, intervals))

    def _corners(self, support: tuple[int, ...]) -> Sequence[Point]:
        """Points whose hull contains the certain values of the support."""
        if not support:
            return [()]
        certain = self.region(support, (0,) * len(support))
        if len(certain.points) <= max(FEW_CORNERS, 2 ** len(support)):
            return certain.points
        columns = [list(map(Fraction, column)) for column in zip(*certain.points, strict=True)]
        middle = tuple((min(column) + max(column)) / 2 for column in columns)
        return box_corners(middle, [(max(column) - min(column)) / 2 for column in columns])

    def _enclosed(
        self, fluent: int, support: tuple[int, ...], corners: Sequence[Point]
    ) -> list[Interval]:
        """Bounds of a fluent's change at the corners, for one support.

        Raises:
            Refuted: the data do not bound a slope.
            Inconsistent: the support does not explain the change.
        """
        margins = [self.data.margins[i] for i in support]
        own, bound = fluent in support, self.data.margins[fluent]
        # where the fluent is in the support, its next value is learned: its noise counts once
        labels = [after[fluent] - (0 if own else x[fluent]) for x, after in self.data.pairs]
        points = [tuple(before[i] for i in support) for before, _ in self.data.pairs]
        certain = self.region(support, (0,) * len(support)).points if support else [()]
        values = enclosures(
            NoisyChanges(points, labels, margins, bound if own else 2 * bound, certain), corners
        )
        if values is None:
            raise Refuted(self._too_narrow(support, points))
        if not own:
            return values
        place = support.index(fluent)
        return [
            (low - corner[place], high - corner[place])
            for corner, (low, high) in zip(corners, values, strict=True)
        ]

    def _check_unchanged(self, fluent: int) -> None:
        """Check that a fluent that is declared to stay does so within the bounds.

        Raises:
            NoiseTooSmall: it does not.
        """
        margin = self.data.margins[fluent]
        largest = max(abs(Fraction(after[fluent]) - x[fluent]) for x, after in self.data.pairs)
        if largest > 2 * margin:
            factor = float(largest / (2 * margin)) if margin else float("inf")
            raise NoiseTooSmall(self._scatter(fluent, factor))

    def _scatter(self, fluent: int, factor: float) -> str:
        """Why the bounds are refused."""
        margin = float(self.data.margins[fluent])
        enough = (
            f"at least about {margin * factor * 1.01:.3g} would be needed"
            if margin and factor < float("inf")
            else "its numbers are declared as exact"
        )
        return (
            f"the noise bound {margin:.3g} of ({self.data.text(fluent)}) is below the data's own "
            f"scatter ({enough}), or its effect is not affine"
        )

    def candidate(self, declaration: Declaration, changes: Sequence[_Change]) -> BoundedNumerics:
        """The numeric part for a class of preconditions.

        Raises:
            Refuted: no state is certain.
        """
        fluents, regions = self.data.exact.fluents, []
        blocks: list[FluentBlock] = []
        if declaration.preconditions == "finite" and fluents:
            if any(self.data.margins):
                raise Refuted(
                    "'finite' preconditions need exact numbers: declare the noise bound 0"
                )
            seen = frozenset(before for before, _ in self.data.pairs)
            regions = [Region(fluents, SeenPoints(seen))]
        else:
            blocks = fluent_blocks(declaration, self.data.names(), self.data.exact.action)
            for block in blocks:
                region = self.region(block.fluents, block.directions)
                regions.append(Region(tuple(fluents[i] for i in block.fluents), region))
        for support in dict.fromkeys(change.support for change in changes if change.support):
            if not any(self._confines(block, support) for block in blocks):
                region = self.region(support, (0,) * len(support))
                regions.append(Region(tuple(fluents[i] for i in support), region))
        effects, errors = self._effects(changes)
        return BoundedNumerics((), tuple(regions), effects, "", errors)

    def _confines(self, block: FluentBlock, support: tuple[int, ...]) -> bool:
        """Whether the region of a block allows values of the support in its certain region only.

        Both regions may be parts of the whole certain sets, so that this has to be tested.
        """
        signs = dict(zip(block.fluents, block.directions, strict=True))
        if any(signs.get(i, 1) for i in support):
            return False
        places = [block.fluents.index(i) for i in support]
        certain = self.region(support, (0,) * len(support))
        return all(
            certain.contains(tuple(point[place] for place in places))
            for point in self.region(block.fluents, block.directions).points
        )

    def _effects(
        self, changes: Sequence[_Change]
    ) -> tuple[tuple[tuple[Lifted, Linear], ...], dict[Lifted, tuple[Rational, Rational]]]:
        """(changed fluent, next value) pairs, and the errors of those that are not exact."""
        fluents, effects = self.data.exact.fluents, []
        errors: dict[Lifted, tuple[Rational, Rational]] = {}
        for change in changes:
            if not (any(change.coefficients) or change.constant or any(change.error)):
                continue
            after = next_value(
                fluents, change.fluent, change.support, change.coefficients, change.constant
            )
            effects.append((fluents[change.fluent], after))
            if any(change.error):
                errors[fluents[change.fluent]] = change.error
        return tuple(effects), errors


def _defined(
    data: NoisyTransitions, declaration: Declaration
) -> tuple[NoisyTransitions, Declaration]:
    """The fluents that are defined before every observation.

    Raises:
        Refuted: another fluent changes, or noise may hide that it does; or a fluent is undefined
            after the action.
    """
    exact = data.exact
    defined = [i for i in range(len(data.margins)) if all(x[i] is not None for x, _ in data.pairs)]
    declared = declaration.effect_fluents
    for i in set(range(len(data.margins))) - set(defined):
        for before, after in data.pairs:
            both = before[i] is not None and after[i] is not None
            stays = declared is not None and data.text(i) not in declared
            margin = 2 * data.margins[i] if stays else 0
            same = abs(Fraction(after[i]) - before[i]) <= margin if both else before[i] is after[i]
            if not same or (both and data.margins[i] and not stays):
                raise Refuted(
                    f"({data.text(i)}) is not defined before every observation of the action, and "
                    "changes, or noise may hide that it does: leave it out of effect_fluents"
                )
    for i in defined:
        if any(after[i] is None for _, after in data.pairs):
            raise Refuted(f"({data.text(i)}) is defined before and not after the action")
    lost = {data.text(i) for i in range(len(data.margins)) if i not in defined}
    pairs = [(tuple(x[i] for i in defined), tuple(y[i] for i in defined)) for x, y in data.pairs]
    kept = NumericTransitions(
        exact.action, exact.parameters, tuple(exact.fluents[i] for i in defined), {}
    )
    margins = tuple(data.margins[i] for i in defined)
    return NoisyTransitions(kept, pairs, margins), without_undefined(declaration, lost)
