"""The lists of a decided day as files: a CSV for each worker, one for all, and a page to print."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from worldplan.files import write_csv, write_text
from worldplan.routine.ahead import ForeseenDay
from worldplan.routine.day import Day
from worldplan.world_models.folders import sweep

VARIABLES = "variables.csv"  # those that own rules add
EVERYBODY = "list"  # the list of a feasible set without workers
_COLUMNS = ("arm", "state", "unseen", "expected", "worker", "slot", "stop", "cost")


@dataclass(frozen=True)
class WorkerList:
    """What one worker does on a day.

    Args:
        worker: its name; "" for a feasible set without workers.
        columns: of the rows.
        rows: a text for each column.
    """

    worker: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def worker_lists(plan: Sequence[Mapping[str, Any]]) -> list[WorkerList]:
    """The rows of a day's plan by worker, in the order of the workers' names."""
    visits = [row for row in plan if "arm" in row]
    named = {name for row in visits for name in row}
    columns = tuple(name for name in _COLUMNS if name in named) + tuple(
        sorted(named - set(_COLUMNS))
    )
    workers = sorted({str(row.get("worker", "")) for row in visits})
    shown = tuple(name for name in columns if name != "worker")
    return [
        WorkerList(
            worker,
            shown,
            tuple(
                tuple(cell_text(row.get(name)) for name in shown)
                for row in visits
                if str(row.get("worker", "")) == worker
            ),
        )
        for worker in workers
    ]


def heading(column: str) -> str:
    """The heading of a column of a list, for readers."""
    return {"arm": "client", "unseen": "not seen", "expected": "expected state"}.get(column, column)


def shown_lists(plan: Sequence[Mapping[str, Any]]) -> list[WorkerList]:
    """As `worker_lists`, for readers: what is known of a state stands in one column.

    Args:
        plan: rows of the list.
    """
    rows = [
        {name: cell for name, cell in (row | {"state": row["unseen"]}).items() if name != "unseen"}
        if "unseen" in row
        else row
        for row in map(dict, plan)
    ]
    return worker_lists(rows)


def further_variables(plan: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Values of the variables that a user's rules add, by name."""
    return {str(row["variable"]): cell_text(row["value"]) for row in plan if "variable" in row}


def write_lists(day: Day, folder: Path, title: str, *, own: bool = False) -> list[Path]:
    """Write the files of a day.

    Args:
        day: decided.
        folder: made if it is missing.
        title: of the page.
        own: whether the folder holds nothing else: lists of workers that an earlier revision of the
            day had and this one has not, and unfinished files of a killed process, are deleted. The
            caller then holds `Database.deciding`.

    Returns:
        The files.
    """
    lists = worker_lists(day.plan)
    visits = [row for row in day.plan if "arm" in row]  # may be filled in and read as outcomes
    files = [write_csv(folder / "all.csv", _table(visits))]
    further = further_variables(day.plan)
    if further:
        own_rules = pd.DataFrame(list(further.items()), columns=["variable", "value"])
        files.append(write_csv(folder / VARIABLES, own_rules))
    names = _file_names([entry.worker for entry in lists])
    for entry, name in zip(lists, names, strict=True):
        if entry.worker:
            table = pd.DataFrame(entry.rows, columns=list(entry.columns))
            files.append(write_csv(folder / name, table))
    page = _TEMPLATE.render(
        day=day,
        title=title,
        lists=shown_lists(day.plan),
        further=further,
        date=day.date,
        heading=heading,
    )
    files.append(write_text(folder / "list.html", page))
    if own:
        sweep(folder)
        old = set(folder.glob("worker-*.csv")) - set(files)
        old |= set(folder.glob(VARIABLES)) - set(files)
        for path in {*old, *(folder.glob("ahead.*") if day.new else ())}:
            path.unlink()
    return files


def write_ahead(day: Day, foreseen: Sequence[ForeseenDay], folder: Path, title: str) -> list[Path]:
    """Write the lists of the days after a decided one: "ahead.csv", and "ahead.html" to print.

    Args:
        day: the last decided one.
        foreseen: the days after it.
        folder: of the lists of `day`.
        title: of the page.

    Returns:
        The files.
    """
    tables = [_table(entry.plan).assign(date=str(entry.date)) for entry in foreseen if entry.plan]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=["date", "arm", "expected"])
    table = table[["date", *(name for name in table.columns if name != "date")]]
    page = _AHEAD.render(
        day=day,
        title=title,
        foreseen=foreseen,
        lists=worker_lists,
        variables=further_variables,
        heading=heading,
    )
    return [
        write_csv(folder / "ahead.csv", table.fillna("")),
        write_text(folder / "ahead.html", page),
    ]


def _table(plan: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """All rows of a plan."""
    if not plan:
        return pd.DataFrame(columns=["arm", "state"])
    named = {name for row in plan for name in row}
    order = [name for name in _COLUMNS if name in named]
    table = pd.DataFrame(list(plan))[[*order, *sorted(named - set(order))]]
    return table.map(cell_text)


def cell_text(value: Any) -> str:
    """A cell as text: whole numbers without a point, nothing for a missing value."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def _file_names(workers: Sequence[str]) -> list[str]:
    """Names of files that every system takes, no two of them equal."""
    taken, names = set[str](), []
    for worker in workers:
        stem = re.sub(r"[^\w-]+", "_", worker).strip("_")[:60] or "worker"
        name, number = f"worker-{stem}.csv", 2
        while name.casefold() in taken:
            name, number = f"worker-{stem}-{number}.csv", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


_ENVIRONMENT = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    loader=FileSystemLoader(str(resources.files("worldplan.routine"))),
)
_TEMPLATE = _ENVIRONMENT.get_template("list.html")
_AHEAD = _ENVIRONMENT.get_template("ahead.html")
