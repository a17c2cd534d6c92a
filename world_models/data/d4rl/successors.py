"""Where the episodes of a D4RL-style file of others end, and what followed each row.

Public files leave out the marks of time limits, or the true next observation of an episode's last
row. A loader that takes the next row instead makes a transition from the end of an episode to the
start of the next one, which the environment never makes (D4RL issue 145).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.on_disk.rows import chunks, is_on_disk
from worldplan.world_models.data.transitions import episode_numbers

_log = logging.getLogger(__name__)
_JUMP = 10.0  # times the median change of a column
_NEAR_START = 0.5  # standard deviations of a column
_SEARCHED = 200_000  # first rows in which unmarked ends are looked for
_ONE_PROCESS = (
    "store the true next_observations and mark the last row of every episode in timeouts; or, if "
    "it is one process, store it as .npz, which is read as it says"
)


def stored_successors(
    following: np.ndarray, observations: np.ndarray, ends: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Next observations, ends and episodes of a file with next_observations. An episode also ends
    where the next row begins with another observation, such as at a time limit that is not marked.

    Args:
        following: (n, o) next_observations.
        observations: (n, o).
        ends: "terminated" (n,) bool, and "truncated" (n,) bool where the file has timeouts.

    Raises:
        DatasetError: the next observation of an episode's last row belongs to the next episode, or
            it is unknown where episodes end.
    """
    follows = np.append(_equal(following[:-1], observations[1:]), False)
    terminated = ends["terminated"]
    marked = terminated | ends.get("truncated", False)
    leaks = np.flatnonzero(marked & follows)
    if len(leaks):
        raise DatasetError(
            f"row {leaks[0]} ends an episode, but its next_observations is the first observation "
            f"of the next episode ({len(leaks)} such rows): a model would learn that falls lead to "
            "resets; store the true next observations, or, if the process goes on there, mark no "
            "end in these rows"
        )
    last = marked | ~follows
    if not marked[:-1].any() and follows[:-1].all():
        _require_one_episode(observations, bool(marked[-1]))
    elif not ends.get("truncated", np.zeros(1, bool)).any():
        _require_no_jump(observations, last)
    unmarked = int((last & ~marked)[:-1].sum())
    if unmarked and "truncated" in ends:
        _log.warning(
            "%d of %d ends of episodes are not marked in timeouts: taken from rows whose "
            "next_observations are not the observations of the next row",
            unmarked,
            int(last.sum()),
        )
    return {
        "next_observation": following,
        "terminated": terminated,
        "truncated": last & ~terminated,
        "episode": episode_numbers(last),
    }


def shifted_successors(
    columns: Mapping[str, Any], ends: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """All columns of a file without next_observations: they are the observations of the next rows.
    The last row of an episode is dropped: its next observation is unknown.

    Args:
        columns: observation (n, o) and others (n, ...), or None, by field of `Transitions`.
        ends: as in `stored_successors`.

    Raises:
        DatasetError: the ends of the episodes are unknown, or the successors of terminal rows, or
            every episode has a single row; or the file is larger than memory.
    """
    if is_on_disk(columns["observation"]):
        raise DatasetError(
            "has no next_observations and does not fit into memory: store them beside observations"
        )
    if "truncated" not in ends:
        raise DatasetError(
            "has neither next_observations nor timeouts, so where episodes end is unknown: "
            "use a file with one of them (D4RL -v2)"
        )
    terminals, last = ends["terminated"], ends["truncated"].copy()
    if terminals.any():
        raise DatasetError(
            f"has no next_observations, so what followed its {int(terminals.sum())} terminal rows "
            f"(first: row {int(np.argmax(terminals))}) is unknown: use a file that has them "
            "(D4RL -v2, or worldplan data collect)"
        )
    if not last[:-1].any():
        _require_one_episode(columns["observation"], bool(last[-1]))
    else:
        _warn_of_jumps(columns["observation"], last)
    last[-1] = True
    kept = np.flatnonzero(~last)
    if not len(kept):
        raise DatasetError(
            "has no next_observations and only episodes of a single row, "
            "so no transition is known: use a file that has them"
        )
    ended = last[kept + 1]  # the row after a kept row was dropped: the kept row ends its episode
    rows = {name: None if column is None else column[kept] for name, column in columns.items()}
    return rows | {
        "next_observation": columns["observation"][kept + 1],
        "terminated": np.zeros(len(kept), dtype=bool),
        "truncated": ended,
        "episode": episode_numbers(ended),
    }


def _equal(following: np.ndarray, observations: np.ndarray) -> np.ndarray:
    """(n,) bool: whether rows (n, o) are equal up to float32 rounding, in any unit."""
    lowest, highest = observations.min(0, initial=0.0), observations.max(0, initial=0.0)
    tolerance = 1e-5 * np.minimum(np.maximum(-lowest, highest), 1.0)
    equal = np.zeros(len(following), dtype=bool)
    for part in chunks(len(following)):
        equal[part] = np.isclose(
            following[part], observations[part], rtol=1e-5, atol=tolerance
        ).all(1)
    return equal


def _require_one_episode(observations: np.ndarray, marked: bool) -> None:
    """Check that rows in which no end is marked, but perhaps in the last one, are one episode.

    Args:
        observations: (n, o).
        marked: whether the last row ends an episode.

    Raises:
        DatasetError: it is not marked, or the observations look like those of several episodes.
    """
    count = len(observations)
    if not marked and count > 1:
        raise DatasetError(
            f"marks no end of an episode in {count} rows, so time limits may be unmarked: mark the "
            "last row of every episode in timeouts (of the whole file, if it is one episode)"
        )
    observations = observations[:_SEARCHED]
    jumps = _jumps(observations)
    starts = [np.flatnonzero(jumps > 0.5), _regular(np.flatnonzero(jumps >= 1 / 3))]
    starts.append(_regular(_restarts(observations)))
    row = min((int(rows[0]) for rows in starts if len(rows)), default=None)
    if row is not None:
        raise DatasetError(
            f"row {row}: the observations jump to row {row + 1}, as in a reset, but no end of an "
            f"episode is marked there: {_ONE_PROCESS}"
        )


def _require_no_jump(observations: np.ndarray, last: np.ndarray) -> None:
    """Check that the observations (n, o) do not jump within the episodes that `last` (n,) ends.

    Raises:
        DatasetError: they do, as at a time limit that is not marked.
    """
    observations, last = observations[:_SEARCHED], last[:_SEARCHED]
    rows = np.flatnonzero((_jumps(observations) > 0.5) & ~last[:-1])
    if len(rows):
        raise DatasetError(
            f"row {rows[0]}: the observations jump to row {rows[0] + 1}, as in a reset, but only "
            f"terminals are marked, and next_observations go on there: {_ONE_PROCESS}"
        )


def _warn_of_jumps(observations: np.ndarray, last: np.ndarray) -> None:
    """Warn of a jump of the observations (n, o) within the episodes that `last` (n,) ends."""
    observations, last = observations[:_SEARCHED], last[:_SEARCHED]
    rows = np.flatnonzero((_jumps(observations) > 0.5) & ~last[:-1])
    if len(rows):
        _log.warning(
            "row %d: the observations jump to row %d, as in a reset, but timeouts marks no end "
            "there (%d such rows): if episodes end there, mark them",
            rows[0],
            rows[0] + 1,
            len(rows),
        )


def _jumps(observations: np.ndarray) -> np.ndarray:
    """(n - 1,): the share of the columns that change much more than usual from a row to the next.
    Columns that seldom change are left out.
    """
    change = np.abs(np.diff(observations.astype(np.float64), axis=0))
    usual = np.median(change, axis=0) if len(change) else np.zeros(observations.shape[1])
    moving = usual > 0
    if not moving.any():
        return np.zeros(len(change))
    share: np.ndarray = (change > _JUMP * usual)[:, moving].mean(1)
    return share


def _restarts(observations: np.ndarray) -> np.ndarray:
    """Rows before those that are suddenly as near to the first row as starts usually are."""
    exact = observations.astype(np.float64)
    spread = exact.std(0)
    moving = spread > 0
    distance = np.sqrt(np.square((exact - exact[0])[:, moving] / spread[moving]).mean(1))
    return np.flatnonzero((distance[1:] < _NEAR_START) & (distance[:-1] > 2 * distance[1:]))


def _regular(rows: np.ndarray) -> np.ndarray:
    """The rows if they could end episodes of one length, else none."""
    length = int(np.gcd.reduce(rows + 1)) if len(rows) else 0
    regular = (len(rows) > 1 and length >= 20) or (len(rows) > 2 and length >= 5)
    return rows if regular else rows[:0]
