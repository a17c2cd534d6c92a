"""What pages and interface read and change: days, outcomes, reasons, what-ifs."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from worldplan.milp.errors import DatasetError
from worldplan.routine import schema
from worldplan.routine.ahead import ForeseenDay, foresee, next_dates
from worldplan.routine.database import Database, Missing
from worldplan.routine.day import Day, decide_day, read_day
from worldplan.routine.explain import ExplainedDay
from worldplan.routine.lists import write_lists
from worldplan.routine.outcomes import change_outcome
from worldplan.routine.request import Names, Request, Setup

_KEPT = 4  # explained days in memory
_WAIT = 90.0  # seconds for another process that decides
_WEEK = 7


@dataclass(frozen=True)
class Visit:
    """A client on a decided day; fields as in the table `visits`."""

    client: str
    state: int
    observed: bool
    belief: list[float] | None
    last_seen: dt.date | None
    present: bool
    forced: str | None
    chosen: bool
    next_state: int | None
    visited: bool | None
    note: str
    version: int


class Service:
    """A programme for several users at a time; every method is one transaction.

    Args:
        setup: the programme.

    Raises:
        ConfigError: the database cannot be used, or the programme has no rewards.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.database = Database(setup.database, setup.name)
        self._explained: OrderedDict[tuple[dt.date, int], ExplainedDay] = OrderedDict()
        self._lock = threading.Lock()
        self.arms()

    def arms(self) -> tuple[tuple[str, ...], int]:
        """The arms of the rewards file, and their number of states.

        Raises:
            ConfigError: the programme has no rewards.
        """
        reward, names = self.setup.rewards()
        return names, reward.shape[1]

    # ---- days

    def last(self) -> Day | None:
        """The last decided day, or None."""
        return read_day(self.database)

    def day(self, date: dt.date) -> Day:
        """A decided day.

        Raises:
            Missing: there is none.
        """
        day = read_day(self.database, date)
        if day is None:
            raise Missing(f"nothing was decided for {date}")
        return day

    def dates(self) -> list[dt.date]:
        """The decided days, the last one first."""
        if not self.database.exists:
            return []
        with self.database.read() as connection:
            query = select(schema.days.c.date).order_by(schema.days.c.date.desc())
            return list(connection.execute(query).scalars())

    def visits(self, date: dt.date) -> list[Visit]:
        """The clients of a decided day, those on the list first.

        Raises:
            Missing: nothing was decided for the day.
        """
        self.day(date)
        visits = schema.visits
        query = (
            select(*(visits.c[name] for name in Visit.__dataclass_fields__))
            .where(visits.c.date == date)
            .order_by(visits.c.chosen.desc(), visits.c.client)
        )
        with self.database.read() as connection:
            return [Visit(**row._mapping) for row in connection.execute(query)]

    def week(self, until: dt.date) -> tuple[list[dt.date], dict[str, dict[dt.date, Visit]]]:
        """The last seven decided days up to a date, and what was with each client on them."""
        dates = sorted(date for date in self.dates() if date <= until)[-_WEEK:]
        table: dict[str, dict[dt.date, Visit]] = {}
        for date in dates:
            for visit in self.visits(date):
                table.setdefault(visit.client, {})[date] = visit
        return dates, dict(sorted(table.items()))

    def events(self, most: int = 200) -> list[Any]:
        """The last lines of the audit trail, the newest first."""
        if not self.database.exists:
            return []
        query = select(schema.events).order_by(schema.events.c.id.desc()).limit(most)
        with self.database.read() as connection:
            return list(connection.execute(query))

    # ---- changes

    def decide(self, request: Request) -> Day:
        """Decide a day, as `run_day`, and write its lists; waits for others who decide."""
        with self.database.deciding(_WAIT):
            day = decide_day(self.database, self.setup, request)
            write_lists(day, self.setup.lists_folder(day.date), self.setup.name, own=True)
        return day

    def change_outcome(
        self,
        date: dt.date,
        client: str,
        version: int,
        state: int | None,
        visited: bool | None,
        note: str,
        by: str,
    ) -> int:
        """Replace an outcome, as `worldplan.routine.outcomes.change_outcome`.

        Raises:
            DatasetError: the arms have no such state.
            Missing: there is no such client or day.
        """
        own = self.setup.states_of()
        states = own.get(client, max(own.values()))
        if state is not None and not 0 <= state < states:
            raise DatasetError(f"client '{client}': state {state}: give 0 to {states - 1}")
        if not self.database.exists:
            raise Missing(f"nothing was decided for {date}")
        with self.database.write() as connection:
            return change_outcome(connection, date, client, version, state, visited, note, by)

    # ---- later days

    def foresee(self, date: dt.date, count: int) -> tuple[ForeseenDay, ...]:
        """The lists of the days after the last decided one, as `worldplan.routine.ahead.foresee`.

        Args:
            date: the last decided day.
            count: of days.

        Raises:
            ConfigError: it is not the last one, or there are too many days.
            Missing: nothing was decided for the day.
        """
        return foresee(self.database, self.setup, self.day(date), next_dates(date, count))

    # ---- reasons and what-ifs

    def explained(self, date: dt.date) -> ExplainedDay:
        """A decided day with its model; a few are kept in memory.

        Raises:
            ConfigError: the policy has no reasons.
            Missing: nothing was decided for the day.
        """
        day = self.day(date)
        key = (date, day.revision)
        with self._lock:
            kept = self._explained.get(key)
            if kept is None:
                kept = self._explained[key] = ExplainedDay(self.database, self.setup, day)
                while len(self._explained) > _KEPT:
                    self._explained.popitem(last=False)
            return kept

    # ---- the next day

    def next_date(self) -> dt.date:
        """Today, or the day after the last decided one, whichever is later."""
        last, today = self.last(), dt.date.today()
        return today if last is None else max(today, last.date + dt.timedelta(1))

    def newcomers(self) -> Names:
        """Arms of the rewards file who are not in the programme."""
        names, _ = self.arms()
        if not self.database.exists:
            return ()
        query = select(schema.clients.c.name).where(schema.clients.c.left.is_(None))
        with self.database.read() as connection:
            inside = set(connection.execute(query).scalars())
        return tuple(name for name in names if name not in inside)
