"""What `Transitions` checks on construction: types, shapes, finite numbers and whole episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.environment import ENVIRONMENT, EVALUATION, recorded_environment
from worldplan.world_models.data.on_disk.rows import chunks

if TYPE_CHECKING:
    from worldplan.world_models.data.transitions import Transitions

_FLOAT32_NOISE = 1e-5  # next_observation[i] and observation[i + 1] may have been rounded separately
_DTYPES = {
    "reward": np.float32,
    "cost": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "episode": np.int64,
    "state": np.float64,
}
_MATRICES = ("observation", "action", "next_observation", "state")
_COLUMNS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")


def as_column(name: str, value: Any, *, double: bool = False) -> np.ndarray:
    """`value` as a contiguous array (n,) or (n, size) of the type that the field `name` has.

    Args:
        name: of the field.
        value: an array or a list.
        double: keep float64 where the field has float32.

    Raises:
        DatasetError: the value is missing, or does not hold numbers in rows of one length, or not
            the whole numbers or truth values that the field needs.
    """
    if value is None:
        raise DatasetError(
            f"{name} is missing: every row needs one, the last row of an episode too"
        )
    dtype = np.dtype(np.float64 if double else _DTYPES.get(name, np.float32))
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biuf":  # a text or an object could become a number
            raise DatasetError(f"{name} does not hold numbers but {given.dtype}: write it again")
        # numbers beyond the range of float32 become inf, which check_finite reports with their row
        with np.errstate(over="ignore", invalid="ignore"):
            column = np.ascontiguousarray(given, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            f"{name} does not hold numbers in rows of one length: {error}"
        ) from error
    if dtype.kind in "bi" and given.dtype.kind != "b":
        changed = np.flatnonzero(column.reshape(-1) != given.reshape(-1))
        if len(changed):
            raise DatasetError(
                f"row {changed[0]}, column {name}: {given.reshape(-1)[changed[0]]} is "
                f"{'neither 0 nor 1' if dtype.kind == 'b' else 'no whole number'}: write it again"
            )
    return column


def check_shapes(data: Transitions) -> None:
    """Check that all columns have the same number of rows and the right number of axes.

    Raises:
        DatasetError: a column has another shape, or there is no row.
    """
    count = len(data.reward) if data.reward.ndim else 0
    if not count:
        raise DatasetError("the data hold no transition: check the source, or collect again")
    for name in (*_COLUMNS, "episode", "state", "cost"):
        column = getattr(data, name)
        if column is None:
            continue
        if column.ndim != (2 if name in _MATRICES else 1):
            needed = "(rows, size)" if name in _MATRICES else "(rows,)"
            raise DatasetError(f"{name} has shape {column.shape}, but needs {needed}")
        if len(column) != count:
            raise DatasetError(
                f"{name} has {len(column)} rows, but reward has {count}: one of them was cut off"
            )
        if name in _MATRICES and column.shape[1] == 0:
            raise DatasetError(f"{name} has no columns: transitions need at least one")
    if data.observation.shape != data.next_observation.shape:
        raise DatasetError(
            f"observation has {data.observation.shape[1]} columns, "
            f"but next_observation has {data.next_observation.shape[1]}"
        )


def check_metadata(metadata: Mapping[str, Any], state: np.ndarray | None) -> None:
    """Check the entries of metadata (JSON values) that worldplan uses.

    Args:
        metadata: of a dataset.
        state: (n, s) simulator states, or None.

    Raises:
        DatasetError: an entry has another type, or a number is not finite.
    """
    for key in ("env_id", "mujoco_version", "policy", "algorithm"):
        if not isinstance(metadata.get(key, ""), str | None):
            raise DatasetError(f"metadata {key} is {metadata[key]!r:.60}: a text must stand there")
    for key in (ENVIRONMENT, EVALUATION):
        recorded_environment(metadata, key)
    for key in ("ref_min_score", "ref_max_score"):
        if (value := metadata.get(key)) is not None and not _is_number(value):
            raise DatasetError(f"metadata {key} is {value!r:.60}: a number must stand there")
    size = metadata.get("qpos_size")
    most = 0 if state is None else state.shape[-1]
    if size is not None and (type(size) is not int or size < 0 or (most and size > most)):
        raise DatasetError(f"metadata qpos_size is {size!r:.60}: give a number from 0 to {most}")
    for key in ("action_low", "action_high"):
        value = metadata.get(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(entry, int | float) for entry in values):
            raise DatasetError(f"metadata {key} is {value!r:.60}: numbers must stand there")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300


def check_finite(data: Transitions) -> None:
    """Check that every number is finite.

    Raises:
        DatasetError: names the first row and column with NaN or an infinite number.
    """
    for name in ("observation", "action", "reward", "next_observation", "state", "cost"):
        column = getattr(data, name)
        if column is None:
            continue
        parts = (part for part in chunks(len(column)) if not np.isfinite(column[part]).all())
        part = next(parts, None)
        if part is None:
            continue
        row, *place = np.argwhere(~np.isfinite(column[part]))[0].tolist()
        row += part.start
        where = f"{name}[{place[0]}]" if place else name
        raise DatasetError(
            f"row {row}, column {where}: {column[(row, *place)]} is not a usable number: "
            "remove the episode or collect again"
        )


def check_costs(data: Transitions) -> None:
    """Check that no cost is negative: a budget is an upper bound on a sum of costs.

    Raises:
        DatasetError: names the first row with a negative cost.
    """
    if data.cost is None:
        return
    negative = np.flatnonzero(data.cost < 0)
    if len(negative):
        row = int(negative[0])
        raise DatasetError(
            f"row {row}, column cost: {data.cost[row]} is negative: a cost is 0 or more; store a "
            "gain in the reward"
        )


def check_episodes(data: Transitions) -> None:
    """Check that the rows of an episode are neighbours, that only its last row ends it, and that
    each next observation is the observation of the next row.

    Raises:
        DatasetError: names the first row where this does not hold.
    """
    last = np.append(data.episode[1:] != data.episode[:-1], True)  # (n,) last row of its number
    _check_order(data, last)
    for name in ("terminated", "truncated"):
        early = np.flatnonzero(getattr(data, name) & ~last)
        if len(early):
            row = int(early[0])
            raise DatasetError(
                f"row {row}, column {name}: set, but episode {data.episode[row]} goes on "
                f"in row {row + 1}"
            )
    open_ends = np.flatnonzero(last & ~data.last)
    if len(open_ends):
        row = int(open_ends[0])
        raise DatasetError(
            f"row {row}: episode {data.episode[row]} ends here, "
            "but neither terminated nor truncated is set"
        )
    _check_successors(data, last)


def _check_order(data: Transitions, last: np.ndarray) -> None:
    """Check that the rows of each episode are neighbours; `last` (n,) marks the ends of blocks.

    Raises:
        DatasetError: the number of an episode comes back after that of another episode.
    """
    if last.sum() == len(np.unique(data.episode)):
        return
    firsts = np.append(0, np.flatnonzero(last)[:-1] + 1)  # first row of every block of one number
    _, new = np.unique(data.episode[firsts], return_index=True)
    row = int(np.delete(firsts, new)[0])
    raise DatasetError(
        f"row {row}, column episode: episode {data.episode[row]} is back after another one: "
        "sort the rows by episode and time"
    )


def _check_successors(data: Transitions, last: np.ndarray) -> None:
    """Check that, within an episode, a row begins with the next observation of the row before.

    Raises:
        DatasetError: names the first row where it does not.
    """
    for part in chunks(len(last) - 1):
        after = slice(part.start + 1, part.stop + 1)
        following, observation = data.next_observation[part], data.observation[after]
        follows = np.isclose(following, observation, rtol=_FLOAT32_NOISE, atol=_FLOAT32_NOISE)
        broken = np.argwhere(~follows & ~last[part, None])
        if len(broken):
            row, place = (broken[0] + [part.start, 0]).tolist()
            raise DatasetError(
                f"row {row}, column next_observation[{place}]: "
                f"{data.next_observation[row, place]} is not the observation of row {row + 1} "
                f"({data.observation[row + 1, place]}), though both are in episode "
                f"{data.episode[row]}"
            )
