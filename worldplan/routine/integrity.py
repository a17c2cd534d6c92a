"""Whether what stands in a programme's database can be what worldplan wrote."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from worldplan.milp.errors import DatasetError
from worldplan.routine import schema

_REMEDY = "restore a copy of the file, or begin another one (--database)"


def _whole(column: str, most: str = "") -> str:
    """SQL: whether a column holds no whole number from 0."""
    beyond = f" or {column} > {most}" if most else ""
    return f"(typeof({column}) != 'integer' or {column} < 0{beyond})"


def _date(column: str) -> str:
    """SQL: whether a column holds no date."""
    return f"({column} is not date({column}))"


def _json(column: str, kind: str, *keys: str) -> str:
    """SQL: whether a column holds no JSON array or object with some keys."""
    lacking = "".join(f" or json_type({column}, '$.{key}') is null" for key in keys)
    test = f"json_type({column}) is not '{kind}'{lacking}"
    return f"(case when json_valid({column}) then {test} else 1 end)"


def _given(column: str, test: str) -> str:
    return f"({column} is not null and {test})"


_SETTINGS = ("policy", "absent", "force_in", "force_out", "steps_left", "left")
_BAD_ROWS = """(case when json_valid(plan) then exists(
    select 1 from json_each(plan) where type != 'object' or coalesce(
        json_extract(value, '$.arm'), json_extract(value, '$.variable')) is null) else 1 end)"""
_NO_CHANCES = """(case when json_valid(belief) then exists(
    select 1 from json_each(belief) where type not in ('real', 'integer') or value < 0)
    or abs((select total(value) from json_each(belief)) - 1) > 1e-6 else 1 end)"""
# of each table: SQL that names a row, and for each column SQL that is true for a wrong cell
_CHECKS: dict[str, tuple[str, dict[str, str]]] = {
    "clients": ("name", {"joined": _date("joined"), "left": _given("left", _date("left"))}),
    "log_moves": (
        "client",
        {
            "action": _whole("action", "1"),
            "state": _whole("state"),
            "next_state": _whole("next_state"),
            "count": _whole("count"),
        },
    ),
    "days": (
        "date",
        {
            "date": _date("date"),
            "revision": _whole("revision"),
            "settings": _json("settings", "object", *_SETTINGS),
            "plan": f"({_json('plan', 'array')} or {_BAD_ROWS})",
            "made_with": _json("made_with", "object", "model.kind", "inputs", "versions.worldplan"),
        },
    ),
    "visits": (
        "client || ', ' || date",
        {
            "date": _date("date"),
            "state": _whole("state"),
            "next_state": _given("next_state", _whole("next_state")),
            "visited": _given("visited", _whole("visited", "1")),
            "chosen": _whole("chosen", "1"),
            "observed": _whole("observed", "1"),
            "version": _whole("version"),
            "belief": _given("belief", f"({_json('belief', 'array')} or {_NO_CHANCES})"),
        },
    ),
}


def check_rows(connection: Connection, path: Path) -> None:
    """Refuse a database of this version whose tables, columns or cells are not as worldplan writes
    them.

    Args:
        connection: of a read.
        path: of the database, for messages.

    Raises:
        DatasetError: names the table, the row and the column.
    """
    damage = connection.exec_driver_sql("pragma quick_check(1)").scalar_one()
    if damage != "ok":
        raise DatasetError(f"{path}: the database is damaged: {_REMEDY}")
    there = inspect(connection)
    for table in schema.metadata.sorted_tables:
        found = there.get_columns(table.name) if there.has_table(table.name) else []
        names = {column["name"] for column in found}
        lost = [column.name for column in table.columns if column.name not in names]
        if lost:
            what = f"column '{lost[0]}' of the table" if names else "the table"
            raise DatasetError(f"{path}: {what} '{table.name}' is missing: {_REMEDY}")
    for name, (label, columns) in _CHECKS.items():
        for column, wrong in columns.items():
            query = f'select {label}, "{column}" from {name} where {wrong} limit 1'
            row = connection.exec_driver_sql(query).first()
            if row is not None:
                cell = str(row[1])[:40]
                raise DatasetError(
                    f"{path}: table '{name}', row of {row[0]}: {column} {cell!r} is nothing that "
                    f"worldplan writes: {_REMEDY}"
                )
    stray = connection.exec_driver_sql("pragma foreign_key_check").first()
    if stray is not None:
        raise DatasetError(f"{path}: table '{stray[0]}' has a row of no {stray[2][:-1]}: {_REMEDY}")
