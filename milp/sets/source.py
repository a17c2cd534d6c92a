"""What a feasible set is built from in a scenario: settings, the arms' names and CSV files."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet, WorldplanError
from worldplan.milp.settings_check import check_fields
from worldplan.milp.tables import CsvTable, plain_number


@dataclass(frozen=True)
class Constraint:
    """Which joint actions are feasible, for a programme with its own data.

    Args:
        kind: "budget", "exactly" (that many), "capacity", "schedule", "path", "custom", or a set of
            your own as module:Class (see `worldplan.milp.sets.kinds`).
        budget: most arms per step.
        costs: CSV arm, cost (capacity).
        workers: CSV worker, capacity (capacity), or worker, slot with one row per free slot
            (schedule).
        arm_slots: CSV arm, slot, one row per slot at which the arm can be visited (schedule).
        visits: visits a pulled arm needs in one step (schedule); must be given.
        same_slot: whether several workers may visit an arm in one slot (schedule).
        connections: CSV of two columns of node ids; nodes are arms (path).
        stations: CSV id, name, latitude, longitude (path, optional); arms and source are ids.
        source: id of the node where the route starts and ends (path).
        moves: most moves of a route (path); twice the budget when 0.
        rules: "rules.py:build", a function of a block, or of a block and a
            `worldplan.milp.sets.Today`, that adds Pyomo constraints to a block with binary
            `a[0..arms-1]` (custom alone; with any other kind, on top of it).
        attributes: CSV arm and any further columns, such as district, which rules see.
        last_visits: CSV arm, date, or a log with arm, action, date, which rules see on a day.
        calendar: CSV worker, date, hours: the capacity of a worker on a date, or "away".
        options: settings of a set of your own, by name.
    """

    kind: str = "budget"
    budget: int = 0
    costs: str | None = None
    workers: str | None = None
    arm_slots: str | None = None
    visits: int | None = None
    same_slot: bool = False
    connections: str | None = None
    stations: str | None = None
    source: str | None = None
    moves: int = 0
    rules: str | None = None
    attributes: str | None = None
    last_visits: str | None = None
    calendar: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "constraint.")


@dataclass(frozen=True)
class SetContext:
    """What `ActionSet.from_files` gets.

    Args:
        arms: names of the arms, in the order of the rewards file; component j of an action is arm
            j.
        settings: the scenario's `constraint`.
        find: the path of a file named in the settings (relative names are looked up beside the
            scenario file first).
        date: the day that is decided; None: the set holds for any day.
        states: of the arms on that day; None for an arm whose state is not known.
        steps_left: days that remain then.
        absent: arms that no rule may ask for on that day.
        last_visits: dates by arm; None: those of the file `constraint.last_visits`.
        waived: names of own rules (`constraint.rules`) that do not hold on that day.
        hours: of workers on that day, in place of the usual ones and those of the calendar.
    """

    arms: tuple[str, ...]
    settings: Constraint
    find: Callable[[str], str] = str
    date: datetime.date | None = None
    states: tuple[int | None, ...] | None = None
    steps_left: int | None = None
    absent: frozenset[str] = frozenset()
    last_visits: Mapping[str, datetime.date] | None = None
    waived: frozenset[str] = frozenset()
    hours: Mapping[str, float] = field(default_factory=dict)

    def file(self, setting: str) -> str:
        """Path of the file that `constraint.<setting>` names.

        Raises:
            ConfigError: the setting is empty.
        """
        name = getattr(self.settings, setting)
        if name is None:
            kind = self.settings.kind
            raise ConfigError(f"constraint.{setting} is missing: a '{kind}' constraint needs it")
        return self.find(name)

    def budget(self) -> int:
        """`constraint.budget`.

        Raises:
            ConfigError: it is below 1.
        """
        budget = self.settings.budget
        if budget < 1:
            raise ConfigError(
                f"constraint.budget is {budget}: give the most arms per step, at least 1"
            )
        return budget


@contextmanager
def naming_files(
    *files: str | None,
    errors: tuple[type[WorldplanError], ...] = (DatasetError, InfeasibleActionSet),
) -> Iterator[None]:
    """Put the names of `files` before the message of an error that names none of them."""
    named = [file for file in files if file]
    try:
        yield
    except errors as error:
        if not named or any(file in str(error) for file in named):
            raise
        raise type(error)(f"{' and '.join(named)}: {error}") from error


def read_pairs(
    path: str,
    columns: tuple[str, str],
    *,
    names: Sequence[str] | None = None,
    unique: tuple[int, ...] = (0, 1),
) -> list[tuple[int, str, str]]:
    """(line number, first cell, second cell) of every row of two columns of a CSV.

    Args:
        path: the file.
        columns: names of the two columns.
        names: the only values that the first column may hold; any value unless given.
        unique: positions (0, 1) of the cells that together may occur once only.

    Raises:
        DatasetError: a bad row; names file and line.
    """
    rows: list[tuple[int, str, str]] = []
    first_lines: dict[tuple[str, ...], int] = {}
    for line, *cells in CsvTable(path, columns).cells(columns):
        if names is not None and cells[0] not in names:
            raise DatasetError(
                f"{path}, line {line}: {columns[0]} '{cells[0]}' is not in the rewards file: "
                "remove the row or add it there"
            )
        key = tuple(cells[place] for place in unique)
        if key in first_lines:
            what = " and ".join(f"{columns[place]} '{cells[place]}'" for place in unique)
            raise DatasetError(
                f"{path}, line {line}: {what} already appeared on line {first_lines[key]}: "
                "keep one row"
            )
        first_lines[key] = line
        rows.append((line, cells[0], cells[1]))
    return rows


def read_amounts(
    path: str, key: str, value: str, names: Sequence[str] | None = None
) -> dict[str, float]:
    """A finite number >= 0 for each entry of column `key` of a CSV, from column `value`.

    Args:
        path: the file.
        key: name of the column of ids, each of which may occur once.
        value: name of the column of numbers.
        names: ids that must all occur, and no others; any ids unless given.

    Raises:
        DatasetError: a bad row (names file and line), or a missing id.
    """
    amounts: dict[str, float] = {}
    for line, name, text in read_pairs(path, (key, value), names=names, unique=(0,)):
        amounts[name] = plain_number(text)
        if math.isnan(amounts[name]):
            raise DatasetError(
                f"{path}, line {line}: {value} '{text}' of '{name}' is not a number: correct it"
            )
        if not 0 <= amounts[name] < float("inf"):
            raise DatasetError(
                f"{path}, line {line}: {value} {text} of '{name}' is negative or not finite: "
                "correct it"
            )
    missing = next((name for name in names or () if name not in amounts), None)
    if missing is not None:
        raise DatasetError(f"{path}: {key} '{missing}' is missing: add a row for it")
    return amounts
