"""What rules see of a day: names, states, date, last visits, workers, attributes.

`build(block, today)` gets a `Today`. Where no day is decided (in simulated episodes, and for the
later days of a plan) the rules see "any day": `date`, `states` and `steps_left` are None and
`last_visits` is empty, so that rules which depend on them can leave themselves out.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.source import SetContext, read_amounts, read_pairs
from worldplan.milp.tables import CsvTable, plain_number
from worldplan.nearest import closest

AWAY = "away"


class Hours(dict[str, float]):
    """Hours by worker; `hours[name]` of an unknown worker is refused by name."""

    def __missing__(self, name: str) -> float:
        """Hours of a worker who is not there.

        Raises:
            ConfigError: always; shows the nearest names.
        """
        return self[known(name, self, "worker")]


@dataclass(frozen=True)
class Today:
    """What rules see of a day.

    Args:
        names: of the arms; arm j is `block.a[j]`.
        states: of the arms today, None for an arm whose state is not known; None on any day.
        date: of today; None on any day.
        last_visits: by arm, for the arms that were visited before today; empty on any day.
        hours: of the workers today, by name: their capacity, 0 if they are away.
        steps_left: days that remain, today included; None on any day, and without an end.
        attributes: by column and arm, the texts of `constraint.attributes`.
        absent: arms that cannot be visited today: who has left or is away.
    """

    names: tuple[str, ...]
    states: tuple[int | None, ...] | None = None
    date: datetime.date | None = None
    last_visits: Mapping[str, datetime.date] = field(default_factory=dict)
    hours: Mapping[str, float] = field(default_factory=dict)
    steps_left: int | None = None
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    @property
    def workers(self) -> tuple[str, ...]:
        """Names of the workers who are not away."""
        return tuple(name for name, hours in self.hours.items() if hours > 0)

    def arm(self, name: str) -> int:
        """The number j of an arm: its variable is `block.a[j]`.

        Raises:
            ConfigError: there is no such arm; shows the nearest names.
        """
        return self.names.index(known(name, self.names, "arm"))

    def days_since_visit(self, name: str) -> int | None:
        """Days from an arm's last visit to today; None if there was none, or on any day.

        Raises:
            ConfigError: there is no such arm.
        """
        self.arm(name)
        if self.date is None or name not in self.last_visits:
            return None
        return (self.date - self.last_visits[name]).days

    def groups(self, column: str) -> dict[str, list[int]]:
        """The numbers of the arms by their text in a column of `attributes`.

        Raises:
            ConfigError: there is no such column; shows the nearest names.
        """
        values = self.attributes[known(column, self.attributes, "column of constraint.attributes")]
        groups: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            groups.setdefault(values[name], []).append(number)
        return groups


def known(name: Any, names: Iterable[str], what: str) -> str:
    """The name, if it is one of `names`.

    Raises:
        ConfigError: it is none of them; shows the nearest.
    """
    every = list(names)
    if str(name) in every:
        return str(name)
    close = closest(str(name), every)
    hint = f"did you mean {', '.join(close)}?" if close else f"there is no {what}"
    raise ConfigError(f"{what} {checks.shown(name)} is unknown: {hint}")


def parse_date(text: str, what: str) -> datetime.date:
    """The date "2026-11-29".

    Raises:
        ConfigError: it is no date; begins with `what`.
    """
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.isoformat() != text:  # 20261129 and 2026-W48-7 are read by Python
        raise ConfigError(f"{what} {checks.shown(text)} is no date: write YYYY-MM-DD")
    return date


def today_of(context: SetContext) -> Today:
    """What the rules of a set see, from the files of its settings.

    Raises:
        ConfigError: a file needs the date, and there is none.
        DatasetError: a file is missing or malformed, or names an unknown arm or worker.
    """
    settings, names = context.settings, context.arms
    attributes = {}
    if settings.attributes is not None:
        attributes = read_attributes(context.find(settings.attributes), names)
    hours: dict[str, float] = {}
    if settings.workers is not None and settings.kind != "schedule":
        file = context.find(settings.workers)
        hours = hours_on(context, read_amounts(file, "worker", "capacity"))
    visits = context.last_visits or {}
    if context.last_visits is None and context.date is not None and settings.last_visits:
        visits = read_last_visits(context.find(settings.last_visits), names, context.date)
    return Today(
        names,
        context.states,
        context.date,
        visits,
        Hours(hours),
        context.steps_left,
        attributes,
        context.absent,
    )


def hours_on(context: SetContext, usual: dict[str, float]) -> dict[str, float]:
    """The workers' hours on the day of a context: its own, else the calendar's where it has a row
    for the day, else the usual ones.

    Args:
        context: with the date; on any day the usual hours hold.
        usual: hours by worker.

    Raises:
        ConfigError: the context has hours of an unknown worker.
        DatasetError: the calendar is malformed, or names an unknown worker.
    """
    for worker in context.hours:
        known(worker, usual, "worker")
    if context.date is None or context.settings.calendar is None:
        return usual | dict(context.hours)
    path = context.find(context.settings.calendar)
    return usual | read_calendar(path, tuple(usual)).get(context.date, {}) | dict(context.hours)


def read_attributes(path: str, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Texts by column and arm from a CSV with the column arm and any others.

    Raises:
        DatasetError: an arm is unknown, missing or repeated, or a cell is empty.
    """
    table = CsvTable(path, ("arm",))
    columns = tuple(column for column in table.columns if column != "arm")
    if not columns:
        raise DatasetError(f"{path}, line 1: no column but arm: add one, such as district")
    attributes: dict[str, dict[str, str]] = {column: {} for column in columns}
    for column in columns:
        for _, arm, text in read_pairs(path, ("arm", column), names=names, unique=(0,)):
            attributes[column][arm] = text
        missing = next((name for name in names if name not in attributes[column]), None)
        if missing is not None:
            raise DatasetError(f"{path}: arm '{missing}' has no row: add one")
    return attributes


def read_last_visits(
    path: str, names: tuple[str, ...], today: datetime.date
) -> dict[str, datetime.date]:
    """The last date of each arm in a CSV arm, date; a log with a column action counts its visits.

    Raises:
        DatasetError: an arm is unknown, a date is malformed or after today.
    """
    table = CsvTable(path, ("arm", "date"))
    actions: Iterable[Any] = [None] * len(table)
    if "action" in table.columns:
        actions = CsvTable(path, ("arm", "date", "action")).integers("action")
    last: dict[str, datetime.date] = {}
    for (line, arm, text), action in zip(table.cells(("arm", "date")), actions, strict=True):
        date = _date(path, line, text)
        if arm not in names:
            raise DatasetError(
                f"{path}, line {line}: arm '{arm}' is not in the rewards file: "
                "remove the row or add it there"
            )
        if date > today:
            raise DatasetError(
                f"{path}, line {line}: date {text} is after today ({today}): correct it, or give a "
                "later --date"
            )
        if action is None or action > 0:
            last[arm] = max(date, last.get(arm, date))
    return last


def read_calendar(path: str, workers: tuple[str, ...]) -> dict[datetime.date, dict[str, float]]:
    """Hours by date and worker from a CSV worker, date, hours; "away" is 0.

    Raises:
        DatasetError: a worker is unknown or has two rows for a date, or a cell is malformed.
    """
    table = CsvTable(path, ("worker", "date", "hours"))
    calendar: dict[datetime.date, dict[str, float]] = {}
    for line, worker, text, hours in table.cells(("worker", "date", "hours")):
        try:
            known(worker, workers, "worker")
        except ConfigError as error:
            raise DatasetError(f"{path}, line {line}: {error}") from error
        day = calendar.setdefault(_date(path, line, text), {})
        if worker in day:
            raise DatasetError(
                f"{path}, line {line}: worker '{worker}' has another row for {text}: keep one"
            )
        day[worker] = _hours(path, line, hours)
    return calendar


def _date(path: str, line: int, text: str) -> datetime.date:
    try:
        return parse_date(text, "date")
    except ConfigError as error:
        raise DatasetError(f"{path}, line {line}: {error}") from error


def _hours(path: str, line: int, text: str) -> float:
    if text.lower() == AWAY:
        return 0.0
    hours = plain_number(text)
    if not 0 <= hours < float("inf"):
        raise DatasetError(
            f"{path}, line {line}: hours '{text}': write a number from 0 on, or {AWAY}"
        )
    return hours
