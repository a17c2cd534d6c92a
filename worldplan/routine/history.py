"""The moves that the model is learned from: a log imported once, then the days' outcomes."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, func, select, update

from worldplan.envs.bandits.environment import Floats, Ints
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.today import parse_date
from worldplan.milp.tables import CsvTable
from worldplan.milp.user_files import read_user_text
from worldplan.routine import schema
from worldplan.world_models.arms.clients import Clients
from worldplan.world_models.arms.drift import HalfLife
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.log_rows import spelt
from worldplan.world_models.arms.tables import read_moves


def header(path: str | Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        DatasetError: the file is missing or no text.
    """
    first = read_user_text(path, megabytes=1024).partition("\n")[0]
    return [name.strip() for name in next(csv.reader(io.StringIO(first)), [])]


def checksum(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def import_log(connection: Connection, log: Path, clients: Clients, today: dt.date) -> int:
    """Import the moves of a log, on the first call; returns how many were imported.

    Args:
        connection: of the change.
        log: CSV arm, state, action, next_state, and if wanted when (`read_log`).
        clients: of the programme.
        today: the day that is decided.

    Raises:
        DatasetError: a bad cell, rows that contradict each other or are not from before today, or a
            file that was changed since it was imported.
    """
    stored = connection.execute(
        select(schema.programme.c.log, schema.programme.c.log_checksum)
    ).one()
    if stored.log is not None:
        if log.is_file() and checksum(log) != stored.log_checksum:
            raise DatasetError(
                f"{log}: was changed after it was imported, and is not read again: restore it and "
                "enter new moves as outcomes (--outcomes), or begin another database (--database)"
            )
        return 0
    moves = read_moves(log, clients.reward, clients.names, clients.own_states, levels=2)
    _refuse_later(log, today)
    places = np.argwhere(moves.counts)
    rows = [
        {
            "client": moves.arm_names[arm],
            "action": action,
            "state": state,
            "next_state": after,
            "count": int(moves.counts[arm, action, state, after]),
        }
        for arm, action, state, after in places.tolist()
    ]
    connection.execute(schema.log_moves.insert(), rows)
    connection.execute(update(schema.programme).values(log=str(log), log_checksum=checksum(log)))
    return int(moves.counts.sum())


def _refuse_later(log: Path, today: dt.date) -> None:
    """Refuse a row of a log that is dated on a day to be decided, or after it.

    Raises:
        DatasetError: names the line.
    """
    when = spelt(header(log), "date")
    if not when:
        return
    for line, text in CsvTable(log, (when,)).cells((when,)):
        try:
            date = parse_date(text, "date")
        except ConfigError:
            return  # not dates but texts: `world_models.arms.log_rows` refuses a mixture
        if date >= today:
            raise DatasetError(
                f"{log}, line {line}: the move of {date} is not from before {today}, the first "
                "decided day: remove the row, or decide a later day (--date)"
            )


def observed_moves(
    connection: Connection,
    before: dt.date,
    names: tuple[str, ...],
    reward: Floats,
    half_life: HalfLife | None = None,
    log: Path | None = None,
) -> tuple[ArmLog, int, int]:
    """All moves before a day of the arms `names`, and how many are from the log and from outcomes.

    A day's move counts if the state before was observed and the outcome is entered.

    Args:
        connection: of the read.
        before: the day.
        names: (arms,) in the order of the arrays.
        reward: (arms, states).
        half_life: in days, by which moves are weighted.
        log: that was imported, which is read again for its dates if there is a half-life.

    Raises:
        ConfigError: the half-life is in steps.
        DatasetError: the log is missing or has no dates, or a state is unknown.
    """
    states = reward.shape[1]
    counts = np.zeros((len(names), 2, states, states), np.int64)
    imported = _add(counts, names, _log_rows(connection))
    observed = _add(counts, names, _outcome_rows(connection, before))
    weights = squares = None
    if half_life is not None:
        weights, squares = np.zeros(counts.shape), np.zeros(counts.shape)
        for rows in _weighted_rows(connection, before, half_life, log):
            _add(weights, names, rows)
            _add(squares, names, rows.assign(count=rows["count"] ** 2))
        weights, squares = np.minimum(weights, counts), np.minimum(squares, counts)  # rounding
    moves = ArmLog(counts, reward, names, weights=weights, squares=squares)
    return moves, imported, observed


def moves_in_gaps(connection: Connection, before: dt.date) -> int:
    """Moves before a day between two seen states of a client that `observed_moves` leaves out: the
    client was not seen in between, so which states these moves joined is not known.

    Args:
        connection: of the read.
        before: the day.
    """
    visit = schema.visits.c
    query = (
        select(visit.client, visit.observed, visit.next_state)
        .where(visit.date < before)
        .order_by(visit.client, visit.date)
    )
    rows = connection.execute(query)
    return sum(_in_gaps(moves) for _, moves in groupby(rows, key=lambda row: row.client))


def _in_gaps(moves: Iterable[Any]) -> int:
    """`moves_in_gaps` of one client, whose visits are in the order of their dates."""
    total, waiting, seen = 0, 0, False  # waiting: moves since the client was seen
    for row in moves:
        if row.observed:
            total, waiting, seen = total + waiting, 0, True
        if seen and not (row.observed and row.next_state is not None):
            waiting += 1
        if row.next_state is not None:
            total, waiting, seen = total + waiting, 0, True
    return total


def _weighted_rows(
    connection: Connection, before: dt.date, half_life: HalfLife, log: Path | None
) -> list[pd.DataFrame]:
    """Rows of `_COLUMNS` of the log and of outcomes, whose counts are weights by age.

    Raises:
        ConfigError: the half-life is in steps.
        DatasetError: the log is missing or has no dates.
    """
    if half_life.column != "date":
        raise ConfigError(
            f"programme.half_life '{half_life.text}': moves of the routine have dates and no "
            "steps: write it in days or weeks"
        )
    visit = schema.visits.c
    query = select(visit.client, visit.visited, visit.state, visit.next_state, visit.date).where(
        visit.next_state.is_not(None), visit.observed, visit.date < before
    )
    outcomes = pd.DataFrame([tuple(row) for row in connection.execute(query)], columns=_COLUMNS)
    age = np.array([(before - date).days for date in outcomes["count"]], dtype=float)
    tables = [outcomes.assign(count=half_life.weight(age))]
    if log is not None:
        table = CsvTable(log, ("arm", "action", "state", "next_state"), half_life.spellings)
        numbers = {name: table.integers(name) for name in _COLUMNS[1:4]}
        weight = half_life.of_rows(table, before)
        tables.append(
            pd.DataFrame({"client": table.text("arm").to_numpy(), **numbers, "count": weight})
        )
    return tables


_COLUMNS = ["client", "action", "state", "next_state", "count"]


def _log_rows(connection: Connection) -> pd.DataFrame:
    """Rows of `_COLUMNS`: moves of the log."""
    moves = schema.log_moves
    query = select(*(moves.c[name] for name in _COLUMNS))
    return pd.DataFrame([tuple(row) for row in connection.execute(query)], columns=_COLUMNS)


def _outcome_rows(connection: Connection, before: dt.date) -> pd.DataFrame:
    """Rows of `_COLUMNS`: moves from outcomes of the days before a day."""
    visit = schema.visits.c
    key = (visit.client, visit.visited, visit.state, visit.next_state)
    query = (
        select(*key, func.count())
        .where(visit.next_state.is_not(None), visit.observed, visit.date < before)
        .group_by(*key)
    )
    return pd.DataFrame([tuple(row) for row in connection.execute(query)], columns=_COLUMNS)


def _add(counts: Ints | Floats, names: tuple[str, ...], rows: pd.DataFrame) -> int:
    """Add rows to counts (arms, 2, states, states); those of clients that are no arms are left out.
    Returns the sum of what was added.

    Raises:
        DatasetError: a row has a state that the arms do not have.
    """
    if rows.empty:
        return 0
    arm = pd.Index(names).get_indexer(pd.Index(rows["client"]))
    state, after = rows["state"].to_numpy(int), rows["next_state"].to_numpy(int)
    largest, states = int(np.maximum(state, after).max()), counts.shape[-1]
    if largest >= states:
        raise DatasetError(
            f"the database holds moves of state {largest}, and the rewards file has states 0 to "
            f"{states - 1}: add rewards of the missing states"
        )
    keep = arm >= 0
    action, count = rows["action"].to_numpy(int), rows["count"].to_numpy(counts.dtype)
    np.add.at(counts, (arm[keep], action[keep], state[keep], after[keep]), count[keep])
    return int(count[keep].sum())
