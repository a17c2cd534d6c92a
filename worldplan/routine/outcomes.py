"""Outcomes: the state of each client after a day's visits, read from a CSV and entered once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, update

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.today import parse_date
from worldplan.milp.tables import CsvTable
from worldplan.routine import schema
from worldplan.routine.database import Conflict, Missing, record
from worldplan.routine.history import header
from worldplan.routine.request import Outcome, Request, check_text
from worldplan.spreadsheets import plain_cell


def read_outcomes(path: str | Path, states: int, names: Collection[str]) -> tuple[Outcome, ...]:
    """The rows of a CSV arm, state and, where they are there, date and visited.

    Args:
        path: the file; it may be a list of worldplan's, filled in.
        states: number of states of an arm.
        names: of the arms; a name as the lists write it (`worldplan.spreadsheets`) is one of them.

    Raises:
        DatasetError: a bad cell, or two rows of one client and date.
    """
    there = header(path)
    _refuse_misspelt(path, there)
    optional = [name for name in ("date", "visited") if name in there]
    table = CsvTable(path, ("arm", "state", *optional))
    state = table.integers("state", states)
    visited = table.integers("visited", 2) if "visited" in optional else None
    known, outcomes = frozenset(names), list[Outcome]()
    lines: dict[tuple[str, dt.date | None], int] = {}
    for row, (line, name, *rest) in enumerate(table.cells(("arm", *optional))):
        place = f"{path}, line {line}"
        name = name if name in known else plain_cell(name)
        date = _date(rest[0], place) if "date" in optional else None
        first = lines.setdefault((name, date), line)
        if first != line:
            same = outcomes[[o.place for o in outcomes].index(f"{path}, line {first}")]
            how = "repeats" if same.state == state[row] else "contradicts"
            raise DatasetError(
                f"{place}: arm '{name}' {how} line {first}: keep one row of each client and date"
            )
        done = None if visited is None else bool(visited[row])
        outcomes.append(Outcome(name, int(state[row]), date, done, place))
    return tuple(outcomes)


def _refuse_misspelt(path: str | Path, there: Sequence[str]) -> None:
    """Refuse a column that is nearly called as one that is read: it would be ignored.

    Raises:
        DatasetError: names it.
    """
    read = ("arm", "state", "date", "visited")
    for name in there:
        close = get_close_matches(name.lower(), read, n=1, cutoff=0.75)
        if close and name not in read:
            raise DatasetError(
                f"{path}, line 1: column '{name}' is not read: call it '{close[0]}', or give it "
                "a name that is not nearly the same"
            )


def _date(text: str, place: str) -> dt.date:
    try:
        return parse_date(text, f"{place}: date")
    except ConfigError as error:
        raise DatasetError(str(error)) from None


def last_day(connection: Connection, before: dt.date | None = None) -> dt.date | None:
    """The last decided day (before a date), or None."""
    query = select(func.max(schema.days.c.date))
    if before is not None:
        query = query.where(schema.days.c.date < before)
    date: dt.date | None = connection.execute(query).scalar_one()
    return date


def outcomes_entered(connection: Connection, date: dt.date) -> str | None:
    """A client whose outcome of a day is entered, or None.

    Args:
        connection: of the read.
        date: the day.
    """
    visits = schema.visits
    query = select(visits.c.client).where(visits.c.date == date, visits.c.next_state.is_not(None))
    client: str | None = connection.execute(query.limit(1)).scalar_one_or_none()
    return client


def enter_outcomes(connection: Connection, request: Request) -> int:
    """Enter the outcomes of decided days; those of newcomers, who have none, are left out.

    Args:
        connection: of the change.
        request: with the outcomes, and whether earlier ones may be replaced.

    Returns:
        How many were entered or replaced.

    Raises:
        DatasetError: an outcome is of no decided day, of a client who was not in the programme on
            that day, or contradicts what was entered before.
    """
    previous = last_day(connection, before=request.date)
    if previous is None:
        first_states(request, previous)  # no outcome has a date
        return 0
    entered = 0
    for outcome in request.outcomes:
        date = outcome.date or previous
        if date >= request.date:
            raise DatasetError(
                f"{outcome.place}: the outcome of {date} is not from before {request.date}: give "
                "the date of the visits, or decide a later day (--date)"
            )
        visit = _visit(connection, date, outcome.client)
        if visit is None:
            _explain_missing(connection, date, outcome)
            continue
        entered += _enter(connection, request, outcome, visit)
    if entered:
        record(
            connection,
            request.by,
            "outcomes entered",
            previous,
            rows=entered,
            files=dict(request.source),
        )
    return entered


def _visit(connection: Connection, date: dt.date, client: str) -> Any:
    """The row of a client on a decided day, or None."""
    visits = schema.visits
    query = select(visits).where(visits.c.date == date, visits.c.client == client)
    return connection.execute(query).one_or_none()


def _explain_missing(connection: Connection, date: dt.date, outcome: Outcome) -> None:
    """Accept an outcome without a visit only of a newcomer, whose state it is.

    Raises:
        DatasetError: names the date, or the client.
    """
    days = schema.days
    if connection.execute(select(days).where(days.c.date == date)).one_or_none() is None:
        raise DatasetError(
            f"{outcome.place}: nothing was decided for {date}: give the date of a decided day, or "
            "leave the column out for the last one"
        )
    if outcome.date is not None:
        raise DatasetError(
            f"{outcome.place}: client '{outcome.client}' was not in the programme on {date}: leave "
            "the row out"
        )


def _enter(connection: Connection, request: Request, outcome: Outcome, visit: Any) -> int:
    """Enter an outcome in the row `visit`; returns 1 if that changed it, else 0.

    Raises:
        DatasetError: another outcome was entered before.
    """
    done = outcome.visited
    if done is None:
        done = visit.chosen if visit.visited is None else visit.visited
    same = (visit.next_state, visit.visited) == (outcome.state, done)
    if same:
        return 0
    if visit.next_state is not None and not request.correct:
        raise DatasetError(
            f"{outcome.place}: client '{visit.client}', {visit.date}: "
            f"{_words(outcome.state, done)} contradicts "
            f"{_words(visit.next_state, visit.visited)}, entered before: correct the row, or "
            "replace what was entered (--correct)"
        )
    write_outcome(connection, visit, outcome.state, done, visit.note, request.by)
    return 1


def write_outcome(
    connection: Connection, visit: Any, state: int | None, done: bool | None, note: str, by: str
) -> None:
    """Write the outcome of the row `visit`; a replaced one is kept in the audit trail.

    Args:
        connection: of the change.
        visit: the row, as read in the same transaction.
        state: after the visits; None: not known.
        done: whether the client was visited; None: not known.
        note: a text.
        by: who enters it.
    """
    visits = schema.visits
    connection.execute(
        update(visits)
        .where(visits.c.date == visit.date, visits.c.client == visit.client)
        .values(next_state=state, visited=done, note=note, version=visit.version + 1)
    )
    following = connection.execute(
        select(func.min(schema.days.c.date)).where(schema.days.c.date > visit.date)
    ).scalar_one()
    start = {"observed": False} if state is None else {"observed": True, "state": state}
    connection.execute(  # the next move begins there; no row where that day is not decided yet
        update(visits)
        .where(visits.c.date == following, visits.c.client == visit.client)
        .values(**start)
    )
    if visit.next_state is not None:
        record(
            connection,
            by,
            "outcome corrected",
            visit.date,
            client=visit.client,
            before={"state": visit.next_state, "visited": visit.visited, "note": visit.note},
            now={"state": state, "visited": done, "note": note},
        )


def change_outcome(
    connection: Connection,
    date: dt.date,
    client: str,
    version: int,
    state: int | None,
    done: bool | None,
    note: str,
    by: str,
) -> int:
    """Replace the outcome of a client on a decided day; returns its new version.

    Args:
        connection: of the change.
        date: the day.
        client: its name.
        version: that the caller has seen.
        state: after the visits; None: not known.
        done: whether the client was visited; None: as the list said, if the state is known.
        note: a text.
        by: who enters it.

    Raises:
        ConfigError: the note or the name holds a character that no text has.
        Conflict: the outcome has another version.
        Missing: there is no such client or day.
    """
    check_text(note, "the note")
    check_text(by, "the name of who enters it")
    visit = _visit(connection, date, client)
    if visit is None:
        raise Missing(f"client '{client}' was not in the programme on {date}")
    if visit.version != version:
        raise Conflict(
            f"client '{client}', {date}: was changed meanwhile (version {visit.version}, not "
            f"{version}): read it again"
        )
    if done is None and state is not None:
        done = visit.chosen
    if visit.next_state is None:
        now = {"state": state, "visited": done, "note": note}
        record(connection, by, "outcome entered", date, client=client, **now)
    write_outcome(connection, visit, state, done, note, by)
    return int(visit.version) + 1


def _words(state: int, done: bool) -> str:
    return f"state {state}, {'visited' if done else 'not visited'}"


def first_states(request: Request, previous: dt.date | None) -> dict[str, Outcome]:
    """The outcomes that may be first states: without a date, or all without a decided day.

    Args:
        request: with the outcomes.
        previous: the last decided day before the request's; None on the first day.

    Raises:
        DatasetError: an outcome has a date, and nothing was decided before.
    """
    dated: Iterable[Outcome] = (o for o in request.outcomes if o.date is not None)
    if previous is None and (outcome := next(iter(dated), None)) is not None:
        raise DatasetError(
            f"{outcome.place}: nothing was decided before {request.date}: leave the column date out"
        )
    return {o.client: o for o in request.outcomes if o.date is None}


def check_first_states(connection: Connection, request: Request) -> None:
    """Compare first states with those that the day was decided with.

    Args:
        connection: of the read.
        request: of a day that is decided already.

    Raises:
        DatasetError: a state differs, or the client was not in the programme.
    """
    previous = last_day(connection, before=request.date)
    for client, outcome in first_states(request, previous).items():
        if previous is not None and _visit(connection, previous, client) is not None:
            continue
        today = _visit(connection, request.date, client)
        if today is None or (today.observed and today.state != outcome.state):
            now = "was not in the programme" if today is None else f"was in state {today.state}"
            raise DatasetError(
                f"{outcome.place}: client '{client}' {now} when {request.date} was decided: remove "
                "the row, or decide the day again (--redo)"
            )
