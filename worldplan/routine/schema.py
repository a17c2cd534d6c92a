"""The tables of a programme's database, and how a database of an older version becomes one of this.

| table | a row is |
|---|---|
| programme | the programme: version of the tables, imported log |
| clients | somebody who is, or was, in the programme |
| log_moves | how often a move occurs in the log that was imported once |
| days | a decided day: policy, value, bound, list, and what it was made with |
| visits | a client on a decided day: state, whether chosen, and the outcome entered later |
| events | a line of the audit trail; rows are only added |
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    select,
    update,
)

VERSION = 2

metadata = MetaData()

programme = Table(
    "programme",
    metadata,
    Column("schema_version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("log", Text),  # file name; null: dynamics from tables
    Column("log_checksum", Text),
)

clients = Table(
    "clients",
    metadata,
    Column("name", Text, primary_key=True),
    Column("joined", Date, nullable=False),
    Column("left", Date),  # null: in the programme
    Column("state", Integer),  # at joining; null: not seen then
)

log_moves = Table(
    "log_moves",
    metadata,
    Column("client", Text, primary_key=True),
    Column("action", Integer, primary_key=True),
    Column("state", Integer, primary_key=True),
    Column("next_state", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
)

days = Table(
    "days",
    metadata,
    Column("date", Date, primary_key=True),
    Column("revision", Integer, nullable=False),  # 1, and one more each time it is decided again
    Column("settings", JSON, nullable=False),  # the request: policy, forced, absent, ...
    Column("status", Text, nullable=False),
    Column("value", Float),
    Column("bound", Float),
    Column("plan", JSON, nullable=False),  # rows of the list: arm, state, worker, slot, ...
    Column("made_with", JSON, nullable=False),  # model, checksums of inputs, versions
)

visits = Table(
    "visits",
    metadata,
    Column("date", Date, ForeignKey("days.date"), primary_key=True),
    Column("client", Text, ForeignKey("clients.name"), primary_key=True),
    Column("state", Integer, nullable=False),
    Column("observed", Boolean, nullable=False),  # false: the state is the model's most probable
    Column("decided_state", Integer),  # `state` when the day was decided; null: before version 2
    Column("belief", JSON(none_as_null=True)),  # then: (states,); null: observed, or before 2
    Column("last_seen", Date),  # then: when the state was last observed; null: that day, or never
    Column("present", Boolean, nullable=False),
    Column("forced", Text),  # "in", "out" or null
    Column("chosen", Boolean, nullable=False),
    Column("next_state", Integer),  # the outcome; null: not entered
    Column("visited", Boolean),  # what was done; null: not entered
    Column("note", Text, nullable=False, default=""),
    Column("version", Integer, nullable=False, default=1),  # raised by every change of the outcome
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),  # UTC
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("date", Date),
    Column("detail", JSON, nullable=False),
)


def _add_beliefs(connection: Connection) -> None:
    for column in ("decided_state INTEGER", "belief JSON", "last_seen DATE"):
        connection.exec_driver_sql(f"ALTER TABLE visits ADD COLUMN {column}")


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _add_beliefs}
"""From a version of the tables to the next one: `MIGRATIONS[1]` makes version 2 of version 1."""


def migrate(connection: Connection, stored: int) -> None:
    """Bring the tables of version `stored` to `VERSION`, inside the connection's transaction."""
    for version in range(stored, VERSION):
        MIGRATIONS[version](connection)
    if stored < VERSION:
        connection.execute(update(programme).values(schema_version=VERSION))


def stored_version(connection: Connection) -> int:
    """The version of the tables in a database."""
    return int(connection.execute(select(programme.c.schema_version)).scalar_one())
