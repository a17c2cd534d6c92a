"""Columns that single precision cannot hold: large numbers with small changes, such as seconds
since 1970 (1.7e9, where float32 has steps of 128) or map coordinates.

A column of observations is lost in float32 if rounding makes an error of more than 1 % of its
change from a row to the next (root mean square over the rows), or of its standard deviation. A
column below 1000 whose standard deviation is under 1e-6 of its size counts as constant: simulators
compute such numbers with rounding errors of that kind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.on_disk.rows import chunks

if TYPE_CHECKING:
    from worldplan.world_models.data.transitions import Transitions

_log = logging.getLogger(__name__)
_LOST = 0.01  # rounding error relative to the change
_USELESS = 0.2  # here training in float32 is no use
_LARGE, _CONSTANT = 1e3, 1e-6
_COARSE = 4.0  # steps between numbers in float32
_NOISE = 1e-13  # of float64, relative to the numbers


def is_double(column: Any) -> bool:
    """Whether an array holds numbers that float32 may not hold: float64, or wide whole numbers."""
    kind, size = column.dtype.kind, column.dtype.itemsize
    return (kind == "f" and size > 4) or (kind in "iu" and size > 2)


def needs_double(observation: Any, next_observation: Any) -> bool:
    """Whether the observations of a dataset must be kept in double precision.

    Args:
        observation: (n, o), of any type.
        next_observation: (n, o), of any type.

    Raises:
        DatasetError: a column is lost in float32, and one of the two arrays is float32 already.
    """
    arrays = [_numbers(value) for value in (observation, next_observation)]
    now, following = arrays
    if now is None or following is None or now.shape != following.shape or not len(now):
        return False
    doubles = [is_double(array) for array in (now, following)]
    if not any(doubles):
        return False
    if all(doubles):
        return bool(rounding(now, following).lost(_LOST).any())
    lost = rounding(now if doubles[0] else following, None).lost(_LOST)
    if lost.any():
        raise DatasetError(
            f"column observation[{lost.argmax()}] is lost in float32, and only one of observation "
            f"({now.dtype}) and next_observation ({following.dtype}) has more: write both as "
            "float64"
        )
    return False


def check_single(given: Mapping[str, Any]) -> None:
    """Check that actions and rewards, which are kept in float32, do not vanish there.

    Args:
        given: action (n, a), reward (n,) and cost (n,) as they were before rounding, or None.

    Raises:
        DatasetError: names the column.
    """
    for name, value in given.items():
        if value is None or not is_double(np.asarray(value)):
            continue
        rows = np.asarray(value).reshape(len(value), -1)
        lost = rounding(rows, None).lost(_LOST)
        if lost.any():
            place = int(lost.argmax())
            where = f"{name}[{place}]" if np.ndim(value) == 2 else name
            raise DatasetError(
                f"column {where}: its differences vanish in float32 (numbers of about "
                f"{abs(float(rows[0, place])):.3g}): subtract a constant from it"
            )


def warn_of_coarse(data: Transitions, source: str) -> None:
    """Warn of columns of observations that a file holds in float32, with changes as small as the
    steps between such numbers: what they were before is not in the file.

    Args:
        data: the transitions.
        source: of the data, for the message.
    """
    if is_double(data.observation):
        return
    largest = np.maximum(data.observation.max(0), -data.observation.min(0))
    for place in np.flatnonzero(largest >= _LARGE).tolist():
        step, square = float(np.spacing(largest[place])), 0.0
        for part in chunks(len(data)):
            before = data.observation[part, place].astype(np.float64)
            square += float(np.square(data.next_observation[part, place] - before).sum())
        if 0 < square < len(data) * (_COARSE * step) ** 2:
            _log.warning(
                "%s: column observation[%d] holds numbers of about %.3g in float32, in steps of "
                "%.3g, and its changes are about as small: write it in float64, or subtract an "
                "offset before",
                source,
                place,
                largest[place],
                step,
            )


def single_precision(data: Transitions, purpose: str) -> Transitions:
    """The same data with observations in float32, for learners that work in it.

    Args:
        data: the transitions.
        purpose: what needs it, for the message, such as "policies are trained".

    Raises:
        DatasetError: a column's changes vanish in float32.
    """
    if not is_double(data.observation):
        return data
    lost = rounding(data.observation, data.next_observation).lost(_USELESS)
    if lost.any():
        place = int(lost.argmax())
        size = abs(float(data.observation[0, place]))
        raise DatasetError(
            f"column observation[{place}]: numbers of about {size:.3g}, whose changes vanish in "
            f"float32, in which {purpose}: subtract an offset from this column, in the data and in "
            "the environment (gymnasium.wrappers.TransformObservation), or leave it out of both"
        )
    return replace(
        data,
        observation=data.observation.astype(np.float32),
        next_observation=data.next_observation.astype(np.float32),
    )


def offsets(data: Transitions) -> list[float] | None:
    """A number near the middle of each column of the observations, (o,), that a learner should
    subtract from it in double precision: 0 for columns that float32 holds; None if it holds all.
    """
    if not is_double(data.observation):
        return None
    lost = rounding(data.observation, data.next_observation).lost(_LOST)
    middle = (data.observation.min(0) + data.observation.max(0)) / 2
    numbers: list[float] = np.where(lost, middle, 0.0).tolist()
    return numbers


@dataclass
class Rounding:
    """Sums over rows for each column (size,) of an array: squares of the rounding error in float32,
    of deviations from the first row, of changes and of the errors of changes.
    """

    count: int
    largest: np.ndarray
    error: np.ndarray
    deviation: np.ndarray
    square: np.ndarray
    change: np.ndarray
    change_error: np.ndarray

    def lost(self, share: float) -> np.ndarray:
        """(size,) bool: where the rounding error is more than `share` of the change or of the
        standard deviation.
        """
        mean = self.deviation / self.count
        std = np.sqrt(np.maximum(self.square / self.count - mean**2, 0.0))
        error, change, change_error = (
            np.sqrt(total / self.count) for total in (self.error, self.change, self.change_error)
        )
        varies = std > np.where(self.largest >= _LARGE, _NOISE, _CONSTANT) * self.largest
        lost = (error > share * std) | (
            (change_error > share * change) & (change > _NOISE * self.largest)
        )
        result: np.ndarray = varies & lost & (self.largest < np.finfo(np.float32).max)
        return result


def rounding(rows: np.ndarray, following: np.ndarray | None) -> Rounding:
    """What rounding to float32 does to rows (n, size), and to their changes to the rows `following`
    (n, size).
    """
    width = rows.shape[1]
    totals = Rounding(len(rows), *(np.zeros(width) for _ in range(6)))
    first = rows[:1].astype(np.float64)
    with np.errstate(all="ignore"):  # what is not finite is reported later, with its row
        for part in chunks(len(rows)):
            exact = rows[part].astype(np.float64)
            error = exact.astype(np.float32) - exact
            totals.largest = np.maximum(totals.largest, np.abs(exact).max(0))
            totals.error += np.square(error).sum(0)
            totals.deviation += (exact - first).sum(0)
            totals.square += np.square(exact - first).sum(0)
            if following is not None:
                after = following[part].astype(np.float64)
                change_error = (after.astype(np.float32) - after) - error
                totals.change += np.square(after - exact).sum(0)
                totals.change_error += np.square(change_error).sum(0)
    return totals


def _numbers(value: Any) -> np.ndarray | None:
    """The value as a matrix (n, size) of numbers, or None if it is none."""
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.ndim == 2 and array.dtype.kind in "biuf" else None
