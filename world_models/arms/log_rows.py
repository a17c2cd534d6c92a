"""The rows of a log of moves: columns as numbers, and rows of one client that must agree.

The first column of `TIMES` that is there says when a move was observed. Of the rows of one client,
two at the same time are refused, and the state after a move must be the state of the client's row
at the next time:

    next_state of (arm, t)  =  state of (arm, t + step)

with the smallest step between two times of the log; between dates of which none is on a weekend,
weekends do not count. Rows that lie further apart are not compared, nor rows of two episodes (a
column "episode": clients begin anew), nor those of a log without times.

A date is written 2026-11-28, as in every other file. Python reads 20261128 and 2026-W48-6 as dates,
too: they are refused, and not taken for numbers or texts.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from worldplan.envs.bandits.environment import Floats, Ints
from worldplan.milp.tables import CsvTable
from worldplan.world_models.arms.rewards import arm_positions, own_states_in

TIMES = ("date", "day", "week", "step", "time")
EPISODE = "episode"
_MOVE = ("state", "action", "next_state")
_WEEK = re.compile(r"\d{4}-?W\d{2}")
_WEEKEND = 5  # the number of Saturday, from Monday as 0


def spellings(name: str) -> tuple[str, ...]:
    """Names that the column of a log may have, such as date, Date and DATE."""
    return name, name.capitalize(), name.upper()


def spelt(columns: Collection[str], name: str) -> str:
    """How the column is spelt in a log with these columns; "" if it is not there."""
    return next((each for each in spellings(name) if each in columns), "")


def read_rows(
    csv: str | os.PathLike[str], names: tuple[str, ...], own: Ints, levels: int | None = None
) -> tuple[CsvTable, tuple[Ints, Ints, Ints, Ints]]:
    """The table with its columns `TIMES` and `EPISODE`, if it has them, and the columns arm, state,
    action and next_state as numbers, each (rows,).

    Args:
        csv: the file.
        names: (arms,) of the arms.
        own: (arms,) their numbers of states.
        levels: number of actions per arm; None: any.

    Raises:
        DatasetError: a bad cell, or rows of a client that contradict each other; names file, line
            and remedy.
    """
    optional = tuple(each for name in (*TIMES, EPISODE) for each in spellings(name))
    table = CsvTable(csv, ("arm", *_MOVE), optional)
    arm, state, action, target = move_columns(table, names, own, levels)
    when = next(filter(None, (spelt(table.columns, name) for name in TIMES)), "")
    if when:
        own_column = spelt(table.columns, EPISODE)
        episode = table.text(own_column) if own_column else pd.Series("", index=arm)
        key = pd.factorize(pd.MultiIndex.from_arrays([arm, np.asarray(episode)]))[0]
        rows = pd.DataFrame({"key": key, "state": state, "action": action, "target": target})
        _refuse_contradictions(table, when, rows)
    return table, (arm, state, action, target)


def move_columns(
    table: CsvTable, names: tuple[str, ...], own: Ints, levels: int | None = None
) -> tuple[Ints, Ints, Ints, Ints]:
    """The columns arm, state, action and next_state as numbers, each (rows,).

    Args:
        table: with the columns.
        names: (arms,) of the arms.
        own: (arms,) their numbers of states.
        levels: number of actions per arm; None: any.

    Raises:
        DatasetError: a bad cell.
    """
    arm = arm_positions(table, names)
    return (
        arm,
        own_states_in(table, "state", arm, own, names),
        table.integers("action", levels),
        own_states_in(table, "next_state", arm, own, names),
    )


def _refuse_contradictions(table: CsvTable, when: str, rows: pd.DataFrame) -> None:
    """Refuse rows of one key (client, episode) that contradict each other.

    Args:
        table: of the log.
        when: its column of times.
        rows: key, state, action and target of each row.

    Raises:
        DatasetError: names both lines.
    """
    text = table.text(when)
    table.refuse(
        (text == "").to_numpy(), lambda _: f"{when} is empty", "fill it in or delete the row"
    )
    time = _positions(table, when)
    if time is None and when.lower() == "day":
        return  # names of weekdays
    rows["time"] = pd.factorize(text)[0] if time is None else time
    lines = [line for (line,) in table.cells(())]
    arms = table.text("arm")
    _refuse_same_time(table, when, rows, lines)
    if time is None:
        return
    gaps = np.diff(np.unique(time))
    rows = rows.sort_values(["key", "time"], kind="stable")
    before = rows.shift()
    wrong = (
        (rows["key"] == before["key"])
        & np.isclose(rows["time"] - before["time"], gaps.min() if len(gaps) else np.inf)
        & (rows["state"] != before["target"])
    )
    pairs = dict(zip(rows.index[wrong], rows.index[np.flatnonzero(wrong) - 1], strict=True))
    table.refuse(
        np.isin(np.arange(len(rows)), list(pairs)),
        lambda i: (
            f"arm '{arms.iloc[i]}', {when} {text.iloc[i]}: state {rows['state'][i]} contradicts "
            f"line {lines[pairs[i]]} ({when} {text.iloc[pairs[i]]}), which ends in state "
            f"{rows['target'][pairs[i]]}"
        ),
        f"correct one of them, add a column {EPISODE} if the client began anew in between, or "
        f"leave the column {when} out and rows count without an order",
    )


def _refuse_same_time(table: CsvTable, when: str, rows: pd.DataFrame, lines: list[int]) -> None:
    """Refuse two rows of one key at one time.

    Raises:
        DatasetError: names both lines.
    """
    same = rows.groupby(["key", "time"], sort=False)
    first = same["key"].transform(lambda group: group.index[0]).to_numpy()
    move = rows[["state", "action", "target"]].to_numpy()
    arms, text = table.text("arm"), table.text(when)

    def what(row: int) -> str:
        how = "repeats" if (move[row] == move[first[row]]).all() else "contradicts"
        return f"arm '{arms.iloc[row]}', {when} {text.iloc[row]}: {how} line {lines[first[row]]}"

    table.refuse(
        first != np.arange(len(rows)),
        what,
        f"keep one of the rows, or leave the column {when} out and rows count without an order",
    )


def _positions(table: CsvTable, when: str) -> Floats | None:
    """The times of the rows as numbers, (rows,); None where they are texts, which have no order.

    Raises:
        DatasetError: some are numbers or dates, and one is neither.
    """
    text = table.text(when)
    dates = {each: _date(each) for each in text.unique()}
    _refuse_other_spellings(table, when, text, dates)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    if np.isfinite(numbers).any():
        kind, found = "number", np.isfinite(numbers)
    else:
        kind, found = "date", np.array([dates[each] is not None for each in text])
    if not found.any():
        return None
    table.refuse(
        ~found,
        lambda i: f"{when} '{text.iloc[i]}' is no {kind} like those of other rows",
        "write it like them" if kind == "number" else "write it as 2026-11-28",
    )
    if kind == "number":
        return numbers
    return _days([dates[each] for each in text])


def _days(dates: list[dt.date | None]) -> Floats:
    """Dates as days, without weekends if no date is on one."""
    days = np.array(dates, "datetime64[D]")
    weekday = (days.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    if (weekday < _WEEKEND).all():
        return np.busday_count(np.datetime64("1970-01-01"), days).astype(np.float64)
    return days.astype(np.float64)


def _refuse_other_spellings(
    table: CsvTable, when: str, text: pd.Series[str], dates: Mapping[str, dt.date | None]
) -> None:
    """Refuse dates that are not written YYYY-MM-DD, as `milp.sets.today.parse_date` does. A step
    may have any number, a week may be that of a date, 2026-W48, and a time an hour of a day.

    Raises:
        DatasetError: names the first one.
    """
    if when.lower() == "step":
        return
    other = {each for each, date in dates.items() if date and date.isoformat() != each}
    if when.lower() == "week":
        other = {each for each in other if not _WEEK.fullmatch(each)}
    if when.lower() == "date":
        other |= {each for each, date in dates.items() if date is None and _has_hour(each)}
    table.refuse(
        text.isin(other).to_numpy(),
        lambda i: f"{when} '{text.iloc[i]}' is no date",
        "write YYYY-MM-DD",
    )


def _has_hour(text: str) -> bool:
    """Whether a text is a date with an hour, such as 2026-11-28T00:00."""
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _date(text: str) -> dt.date | None:
    """The date in a text, in any spelling that Python reads; None for another text."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
