"""The precision that makes rounded numbers affine again: suggested from the data, never applied.

A program that computes in floating point writes 0.30000000000000004 for 0.3. Exact learning takes
it literally: the effect is not affine, or has a slope such as 0.9999999999999994. Where the numbers
lie near multiples of 10^-N, and rounding to them repairs the effects, N is suggested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from worldplan.world_models.action_model.action_learner import ActionLearner
from worldplan.world_models.action_model.learner import ActionModelLearner
from worldplan.world_models.action_model.numeric_effects import (
    NumericTransitions,
    Refuted,
    learn_numerics,
)
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.numeric.domain import Lifted, Linear
from worldplan.world_models.numeric.precision import FLOAT_ERROR, rounded

MOST_SUGGESTED = 15  # decimals; floating point has no more
NEAR_AFFINE = 1e-6  # relative residual of an effect that is affine but for rounding

Effects = tuple[tuple[Lifted, Linear], ...]


@dataclass(frozen=True)
class PrecisionAdvice:
    """What a declared precision would mend.

    Args:
        decimals: the suggested number of decimals; None if none mends anything.
        mended: actions whose effects are affine, or as declared, with these decimals only.
        artefacts: learned actions whose slopes or constants are rounding errors, each with one of
            these numbers.
        largest: the largest change of a number by rounding to `decimals`.
        beyond: actions whose effects are affine up to rounding that no number of decimals mends,
            each with the largest error.
    """

    decimals: int | None
    mended: tuple[str, ...] = ()
    artefacts: tuple[tuple[str, float], ...] = ()
    largest: Rational = 0
    beyond: tuple[tuple[str, float], ...] = ()

    def texts(self) -> dict[str, str]:
        """What to say of each action."""
        option = f"--decimals {self.decimals}"
        texts = dict.fromkeys(self.mended, f"by rounding only: {option} makes it affine")
        texts |= {
            name: f"has numbers such as {number!r}, from rounding: {option} removes them"
            for name, number in self.artefacts
        }
        return texts | {
            name: f"affine up to {error:.1e}, and no number of decimals makes it exact (a slope "
            "such as 1/3 has none, and 0.9 needs more at every step)"
            for name, error in self.beyond
        }

    def summary(self) -> str:
        """The suggestion in one sentence; "" without one."""
        if self.decimals is None:
            return ""
        every = "every action" if not self.beyond else "the other actions"
        return (
            f"suggestion: --decimals {self.decimals} makes {every} free of rounding; it changes "
            f"the numbers by at most {float(self.largest):.2g}, and is not applied unless given"
        )


def advise_precision(learner: ActionModelLearner) -> PrecisionAdvice | None:
    """The smallest number of decimals that makes every action affine, or None if rounding is not
    what is wrong.

    Args:
        learner: the observations.
    """
    actions = {name: entry for name, entry in learner.learners.items() if entry.rows}
    values = _values(actions.values())
    if not any(Fraction(value).denominator > 1 for entry in values.values() for value in entry):
        return None
    raw = {name: _effects(entry, None) for name, entry in actions.items()}
    broken = [name for name, effects in raw.items() if effects is None]
    best: tuple[int, tuple[str, ...]] | None = None
    fine, coarse = _candidates(values)
    for decimals in [*fine, *coarse] if broken else fine[:1]:
        if decimals in coarse and not _keeps_changes(actions, decimals):
            continue
        effects = {name: _effects(actions[name], decimals) for name in broken}
        mended = tuple(name for name in broken if effects[name] is not None)
        if best is None or len(mended) > len(best[1]):
            best = decimals, mended
        if len(mended) == len(broken):
            break
    left = [name for name in broken if best is None or name not in best[1]]
    beyond = [(name, _float_error(actions[name])) for name in left]
    near = tuple((name, error) for name, error in beyond if error is not None)
    if best is None:
        return PrecisionAdvice(None, beyond=near) if near else None
    decimals, mended = best
    whole = [name for name in actions if name not in broken]
    artefacts = tuple(
        (name, number)
        for name in whole
        if decimals in fine
        and (number := _artefact(raw[name], _effects(actions[name], decimals))) is not None
    )
    if not (mended or artefacts):
        return PrecisionAdvice(None, beyond=near) if near else None
    return PrecisionAdvice(decimals, mended, artefacts, _largest(values, decimals), near)


def _values(actions: Iterable[ActionLearner]) -> dict[str, set[Rational]]:
    """The observed values of each function."""
    values: dict[str, set[Rational]] = {}
    for action in actions:
        for pair in action.pairs():
            for row in pair:
                for fluent, value in zip(action.fluents, row, strict=True):
                    if value is not None:
                        values.setdefault(str(fluent[0]), set()).add(value)
    return values


def _candidates(values: Mapping[str, set[Rational]]) -> tuple[list[int], list[int]]:
    """Numbers of decimals to try.

    Returns:
        Those that move numbers by errors of floating point only; and those that move them by more,
        but by at most a quarter of the last decimal. Both in increasing order.
    """
    fine, coarse = [], []
    for decimals in range(MOST_SUGGESTED + 1):
        largest = {name: _move(entry, decimals) for name, entry in values.items()}
        if not any(largest.values()):
            break
        if all(
            largest[name] <= FLOAT_ERROR * max(abs(Fraction(value)) for value in entry)
            for name, entry in values.items()
        ):
            fine.append(decimals)
        elif max(largest.values()) <= Fraction(1, 4 * 10**decimals):
            coarse.append(decimals)
    return fine, coarse


def _move(values: set[Rational], decimals: int) -> Fraction:
    """The largest change of a value by rounding."""
    step = Fraction(1, 10**decimals)
    return max(abs(Fraction(value) - rounded(value, step)) for value in values)


def _largest(values: Mapping[str, set[Rational]], decimals: int) -> Rational:
    return max(_move(entry, decimals) for entry in values.values())


def _keeps_changes(actions: Mapping[str, ActionLearner], decimals: int) -> bool:
    """Whether the changes that rounding makes 0 are small beside those of the same function that it
    keeps.
    """
    step = Fraction(1, 10**decimals)
    lost: dict[str, Fraction] = {}
    kept: dict[str, Fraction] = {}
    for action in actions.values():
        for before, after in action.pairs():
            for fluent, x, y in zip(action.fluents, before, after, strict=True):
                if x is None or y is None or x == y:
                    continue
                name, change = str(fluent[0]), abs(Fraction(y) - x)
                if rounded(x, step) == rounded(y, step):
                    lost[name] = max(lost.get(name, change), change)
                else:
                    kept[name] = min(kept.get(name, change), change)
    return all(name in kept and 100 * change <= kept[name] for name, change in lost.items())


def _effects(action: ActionLearner, decimals: int | None) -> Effects | None:
    """The effects that an action's rounded numbers have; None if they are not affine, or not as
    declared.
    """
    step = None if decimals is None else Fraction(1, 10**decimals)
    rows: dict[Point, Point] = {}
    for before, after in action.pairs():
        row, label = _rounded_row(before, step), _rounded_row(after, step)
        if rows.setdefault(row, label) != label:
            return None
    data = NumericTransitions(action.name, action.parameters, tuple(action.fluents), rows)
    try:
        numerics = learn_numerics(data, action.declaration, lambda _: "")
    except Refuted:
        return None
    return None if numerics.refuted else numerics.effects


def _rounded_row(row: Point, step: Rational | None) -> Point:
    if step is None:
        return row
    return tuple(value if value is None else rounded(value, step) for value in row)


def _artefact(raw: Effects | None, mended: Effects | None) -> float | None:
    """A number of the raw effects that rounding changes; None if it changes none."""
    if raw is None or mended is None or raw == mended:
        return None
    numbers = [_numbers(effects) for effects in (raw, mended)]
    different = [number for number in numbers[0] if number not in numbers[1]]
    return float(different[0]) if different else None


def _numbers(effects: Effects) -> list[Rational]:
    """Slopes, then constants."""
    slopes = [coefficient for _, after in effects for _, coefficient in after.terms]
    return slopes + [after.constant for _, after in effects]


def _float_error(action: ActionLearner) -> float | None:
    """The largest residual of affine effects in floating point, if it is of the size of rounding;
    None otherwise.
    """
    pairs = action.pairs()
    defined = [
        i for i in range(len(action.fluents)) if all(None not in (x[i], y[i]) for x, y in pairs)
    ]
    before = np.array([[float(x[i]) for i in defined] for x, _ in pairs])
    after = np.array([[float(y[i]) for i in defined] for _, y in pairs])
    scale = np.abs(before).max(axis=0)
    columns = np.hstack([before / np.where(scale > 0, scale, 1.0), np.ones((len(pairs), 1))])
    weights, *_ = np.linalg.lstsq(columns, after - before, rcond=None)
    residual = np.abs(columns @ weights - (after - before)).max(axis=0)
    allowed = NEAR_AFFINE * np.maximum(np.abs(after).max(axis=0), scale)
    return float(residual.max()) if (residual <= allowed).all() else None
