"""Checks of the arguments of public constructors and functions.

Each check returns the argument in the form that the code needs, or raises one line that names the
argument, what it was and what it must be. Arrays come back as contiguous copies that cannot be
written to, so that a caller who changes an array afterwards changes nothing here.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError, DatasetError, WorldplanError
from worldplan.nearest import did_you_mean

T = TypeVar("T")
Shape = tuple[int | str, ...]
"""The sizes of an array's axes; a text names an axis of any size from 1 on: (3, "states")."""

SUM_TOLERANCE = 1e-6  # of the probabilities of a distribution


def shown(value: object) -> str:
    """A value in a message: one short line; of an array its shape and type."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array {value.shape} of {value.dtype}"
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "shape"):
        return f"a tensor {tuple(value.shape)} of {getattr(value, 'dtype', '?')}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a user's own __repr__
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def whole_number(
    value: Any,
    name: str,
    *,
    least: int | None = None,
    most: int | None = None,
    error: type[WorldplanError] = ConfigError,
) -> int:
    """The number as an int; no truth value and no float is taken for it.

    Args:
        value: what the caller gave.
        name: of the argument.
        least: smallest allowed number.
        most: largest allowed number.
        error: what is raised.

    Raises:
        WorldplanError: it is no whole number, or out of range; of the type `error`.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    is_whole = _is_number(value, numbers.Integral)
    if not is_whole or (least is not None and value < least) or (most is not None and value > most):
        raise error(f"{name} is {shown(value)}: give a whole number{_range(least, most)}")
    return int(value)


def number(
    value: Any,
    name: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    infinite: bool = False,
    error: type[WorldplanError] = ConfigError,
) -> float:
    """The number as a float.

    Args:
        value: what the caller gave.
        name: of the argument.
        least: smallest allowed number.
        above: the number must be greater.
        most: largest allowed number.
        below: the number must be smaller.
        infinite: whether an infinite number is taken.
        error: what is raised.

    Raises:
        WorldplanError: it is no real number, NaN, or out of range; of the type `error`.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    try:
        real = float(value) if _is_number(value, numbers.Real) else math.nan
    except OverflowError:
        real = math.nan
    if (
        math.isnan(real)
        or (math.isinf(real) and not infinite)
        or (least is not None and real < least)
        or (above is not None and real <= above)
        or (most is not None and real > most)
        or (below is not None and real >= below)
    ):
        limits = _range(least, most, above, below)
        raise error(
            f"{name} is {shown(value)}: give a {'' if infinite else 'finite '}number{limits}"
        )
    return real


def _is_number(value: Any, kind: type[Any]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _range(
    least: float | None,
    most: float | None,
    above: float | None = None,
    below: float | None = None,
) -> str:
    parts = [
        f"{word} {limit:.10g}"
        for word, limit in (
            ("of at least", least),
            ("above", above),
            ("at most", most),
            ("below", below),
        )
        if limit is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def truth(value: Any, name: str, *, error: type[WorldplanError] = ConfigError) -> bool:
    """The truth value.

    Raises:
        WorldplanError: it is neither True nor False; of the type `error`.
    """
    if not isinstance(value, bool | np.bool_):
        raise error(f"{name} is {shown(value)}: give True or False")
    return bool(value)


def choice(
    value: Any, name: str, allowed: Iterable[str], *, error: type[WorldplanError] = ConfigError
) -> str:
    """The name, which is one of those allowed.

    Raises:
        WorldplanError: it is none of them; of the type `error`.
    """
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        near = did_you_mean(value, names) if isinstance(value, str) else ""
        raise error(f"{name} is {shown(value)}{near}: choose {', '.join(names)}")
    return value


def of_type(
    value: T,
    name: str,
    kind: type[Any],
    *,
    remedy: str = "",
    error: type[WorldplanError] = ConfigError,
) -> T:
    """The object, which is of the type `kind`.

    Args:
        value: what the caller gave.
        name: of the argument.
        kind: its type.
        remedy: what to give, if the name of the type does not tell it.
        error: what is raised.

    Raises:
        WorldplanError: it is of another type; of the type `error`.
    """
    if not isinstance(value, kind):
        raise error(f"{name} is {shown(value)}: give {remedy or f'a {kind.__name__}'}")
    return value


def texts(
    value: Any, name: str, *, count: int | None = None, error: type[WorldplanError] = ConfigError
) -> tuple[str, ...]:
    """Names as a tuple; a single text is not taken for a list of letters.

    Raises:
        WorldplanError: they are no texts, or not `count` of them; of the type `error`.
    """
    wrong = isinstance(value, str | bytes) or not isinstance(value, Iterable)
    names = () if wrong else tuple(value)
    if wrong or not all(isinstance(entry, str) for entry in names):
        raise error(f"{name} is {shown(value)}: give a list of texts")
    if count is not None and len(names) != count:
        raise error(f"{name} holds {len(names)} texts: give {count}")
    return names


def array(
    value: Any,
    name: str,
    shape: Shape,
    *,
    least: float | None = None,
    most: float | None = None,
    finite: bool = True,
    error: type[WorldplanError] = DatasetError,
) -> NDArray[np.float64]:
    """Finite real numbers as a contiguous array (...) of `shape` that cannot be written to.

    Args:
        value: an array, or nested lists; integers are taken, truth values are not.
        name: of the argument.
        shape: its shape, see `Shape`.
        least: smallest allowed number.
        most: largest allowed number.
        finite: False takes NaN and infinite numbers.
        error: what is raised.

    Raises:
        WorldplanError: another shape or type, or a number that is not finite or out of range; of
            the type `error`.
    """
    given = _shaped(value, name, shape, "iuf", "real numbers", error)
    with np.errstate(over="ignore"):  # a longer float than float64
        copy = np.array(given, dtype=np.float64, order="C")
    wrong = ~np.isfinite(copy) if finite else np.zeros(copy.shape, bool)
    if least is not None:
        wrong |= copy < least
    if most is not None:
        wrong |= copy > most
    _refuse(wrong, copy, name, f"give finite numbers{_range(least, most)}", error)
    copy.setflags(write=False)
    return copy


def whole_numbers(
    value: Any,
    name: str,
    shape: Shape,
    *,
    least: int | None = None,
    most: int | None = None,
    error: type[WorldplanError] = DatasetError,
) -> NDArray[np.int64]:
    """Whole numbers as a contiguous array (...) of `shape` that cannot be written to.

    Args:
        value: an array of an integer type, or nested lists of ints.
        name: of the argument.
        shape: its shape, see `Shape`.
        least: smallest allowed number.
        most: largest allowed number.
        error: what is raised.

    Raises:
        WorldplanError: another shape or type, or a number out of range; of the type `error`.
    """
    copy = np.array(_shaped(value, name, shape, "iu", "whole numbers", error), np.int64, order="C")
    wrong = np.zeros(copy.shape, bool)
    if least is not None:
        wrong |= copy < least
    if most is not None:
        wrong |= copy > most
    _refuse(wrong, copy, name, f"give whole numbers{_range(least, most)}", error)
    copy.setflags(write=False)
    return copy


def truths(
    value: Any, name: str, shape: Shape, *, error: type[WorldplanError] = DatasetError
) -> NDArray[np.bool_]:
    """A table (...) of truth values, or of zeros and ones, that cannot be written to.

    Args:
        value: an array, or nested lists.
        name: of the argument.
        shape: its shape, see `Shape`.
        error: what is raised.

    Raises:
        WorldplanError: another shape or type, or a number other than 0 and 1; of the type `error`.
    """
    given = _shaped(value, name, shape, "biuf", "truth values, or 0 and 1", error)
    wrong = (given != 0) & (given != 1)
    _refuse(wrong, given, name, "give truth values, or 0 and 1", error)
    copy = np.array(given, dtype=bool, order="C")
    copy.setflags(write=False)
    return copy


def distributions(
    value: Any, name: str, shape: Shape, *, error: type[WorldplanError] = DatasetError
) -> NDArray[np.float64]:
    """Probability distributions along the last axis, (..., n), in an array that is read-only.

    Args:
        value: an array, or nested lists.
        name: of the argument.
        shape: its shape, see `Shape`.
        error: what is raised.

    Raises:
        WorldplanError: another shape or type, a probability that is negative or not finite, or a
            distribution that does not sum to 1 within `SUM_TOLERANCE`; of the type `error`.
    """
    copy = array(value, name, shape, least=0.0, error=error)
    total = copy.sum(-1)
    wrong = np.abs(total - 1) > SUM_TOLERANCE
    _refuse(wrong, total, name, "give probabilities that sum to 1", error, verb="sums to")
    return copy


def _shaped(
    value: Any, name: str, shape: Shape, kinds: str, what: str, error: type[WorldplanError]
) -> NDArray[Any]:
    """The value as an array of `shape` whose type is one of `kinds`, not copied.

    Raises:
        WorldplanError: another shape or type, or masked entries; of the type `error`.
    """
    expected = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    try:
        given = np.asarray(value)
    except Exception as cause:  # ragged lists, a tensor on a GPU, a user's own __array__
        raise error(f"{name} is {shown(value)}: give an array {expected} of {what}") from cause
    if given.dtype.kind not in kinds and given.size:
        raise error(
            f"{name} is an array {given.shape} of {given.dtype}: give an array {expected} of {what}"
        )
    fits = given.ndim == len(shape) and all(
        size == wanted if isinstance(wanted, int) else size > 0
        for size, wanted in zip(given.shape, shape, strict=True)
    )
    if not fits:
        raise error(f"{name} has shape {given.shape}: give an array {expected} of {what}")
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise error(f"{name} has masked entries: fill them in first")
    return given


def _refuse(
    wrong: NDArray[np.bool_],
    given: NDArray[Any],
    name: str,
    remedy: str,
    error: type[WorldplanError],
    verb: str = "is",
) -> None:
    """Name the first entry of `given` where `wrong`, of the same shape, is true.

    Raises:
        WorldplanError: there is one; of the type `error`.
    """
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        where = list(place) if place else ""
        raise error(f"{name}{where} {verb} {_figure(given[place])}: {remedy}")


def _figure(value: Any) -> str:
    if isinstance(value, np.integer):
        return str(value)
    return "NaN" if math.isnan(value) else f"{value:.6g}"


def same_length(columns: Sequence[tuple[str, Any]], *, error: type[WorldplanError]) -> int:
    """The common length of columns, given as (name, column) pairs.

    Raises:
        WorldplanError: the lengths differ; of the type `error`.
    """
    lengths = {name: len(column) for name, column in columns}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise error(f"the lengths differ: {listed}: give columns of one length")
    return next(iter(lengths.values()))
