"""A programme's database: one SQLite file, in which a change is made whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.exc import DatabaseError, MultipleResultsFound, NoResultFound, OperationalError
from sqlalchemy.pool import NullPool

from worldplan.milp.errors import ConfigError, DatasetError, FolderInUse, WorldplanError, one_line
from worldplan.routine import schema
from worldplan.routine.integrity import check_rows
from worldplan.world_models.storage import require_replaceable

_BUSY = 60.0  # seconds to wait for the transaction of another process
_HEADER = b"SQLite format 3\0"


class Database:
    """The database file of one programme.

    Every transaction is serialisable; a process that is killed leaves none half done.

    Args:
        path: the file; made by the first `write`.
        name: of the programme; a database of another programme is refused.

    Raises:
        ConfigError: the file is no database, of another programme, or of a newer worldplan, or is a
            device, a pipe or a socket, its name cannot be printed, or its folder is missing.
        IsADirectoryError: it is a folder.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self._seen = path, name, False
        if not path.name.strip() or not path.name.isprintable():
            raise ConfigError(
                f"{path.name!r}: the name of the database is blank, or holds a line break or the "
                "like: give another file with --database"
            )
        require_replaceable(path)
        if not path.parent.is_dir():
            raise ConfigError(
                f"{path}: there is no folder {path.parent}: make it, or give another file with "
                "--database"
            )
        if path.exists():
            self._check_header()
        self._engine = _engine(path)
        if self.exists:
            with self.read() as connection:
                version = self._check(connection)
            if version < schema.VERSION:
                with self.write():  # brings the tables to this version
                    pass
            with self.read() as connection:
                if inspect(connection).has_table("programme"):
                    check_rows(connection, path)

    @property
    def exists(self) -> bool:
        """Whether the file is there with its tables; a killed process may leave an empty one.

        Raises:
            DatasetError: it was there before.
        """
        there = self.path.exists() and self.path.stat().st_size > 0
        if self._seen and not there:
            raise DatasetError(
                f"{self.path}: the database was here and is gone: restore the file, or begin again "
                "with the same command"
            )
        self._seen = there
        return there

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database.

        Raises:
            DatasetError: the file is damaged.
        """
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that changes the database when the block under `with` ends, or not at all
        when it fails: a file that was made here is then deleted, and no other.

        Raises:
            ConfigError: the file cannot be made.
            DatasetError: the file is damaged.
            FolderInUse: another process does not end its transaction.
        """
        made = not self.path.exists()
        if made:
            self._make_room()
        try:
            with self._errors(), self._engine.connect() as plain:
                connection = plain.execution_options(immediate=True)
                with connection.begin():
                    self._prepare(connection)
                    yield connection
        except BaseException:
            if made:
                self.path.unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        try:
            self.path.touch()
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot make the database here ({error.strerror}): give another "
                "file with --database"
            ) from error

    def _prepare(self, connection: Connection) -> None:
        """Make the tables of a new database, or bring old ones to this version."""
        if not inspect(connection).has_table("programme"):
            schema.metadata.create_all(connection)
            connection.execute(
                schema.programme.insert().values(schema_version=schema.VERSION, name=self.name)
            )
        else:
            schema.migrate(connection, self._check(connection))

    def _check(self, connection: Connection) -> int:
        """The version of the tables.

        Raises:
            ConfigError: they are of a newer worldplan, or of another programme.
        """
        if not inspect(connection).has_table("programme"):
            if inspect(connection).get_table_names():
                raise ConfigError(
                    f"{self.path}: is a database of another program: give another file with "
                    "--database"
                )
            return schema.VERSION
        try:
            version = schema.stored_version(connection)
        except (OperationalError, NoResultFound, MultipleResultsFound, ValueError) as error:
            raise ConfigError(
                f"{self.path}: is no database of worldplan: give another file with --database"
            ) from error
        if version < 1:
            raise ConfigError(
                f"{self.path}: version {version} of the tables was never written by worldplan: "
                "restore a copy of the file, or give another file with --database"
            )
        if version > schema.VERSION:
            raise ConfigError(
                f"{self.path}: was written by a newer worldplan (version {version} of the tables, "
                f"this one reads up to {schema.VERSION}): install the newer worldplan, or give "
                "another file with --database"
            )
        stored = connection.execute(select(schema.programme.c.name)).scalar_one()
        if stored != self.name:
            raise ConfigError(
                f"{self.path}: holds the programme '{stored}', not '{self.name}': give another "
                f"file with --database, or write name: {stored} in the scenario"
            )
        return version

    def _check_header(self) -> None:
        """Refuse a file that is no SQLite database.

        Raises:
            ConfigError: it is none, or cannot be read.
        """
        remedy = "give another file with --database"
        try:
            with self.path.open("rb") as file:
                start = file.read(len(_HEADER))
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be read ({error.strerror}): {remedy}"
            ) from error
        if start not in (b"", _HEADER):
            raise ConfigError(f"{self.path}: is no SQLite database: {remedy}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Report what SQLite refuses in one line.

        Raises:
            FolderInUse: another process does not end its transaction.
            DatasetError: the file is damaged or cannot be written.
        """
        try:
            yield
        except DatabaseError as error:
            text = one_line(error.orig or error)
            if "locked" in text:
                raise FolderInUse(
                    f"{self.path}: another process writes to this database: wait for its end"
                ) from error
            raise DatasetError(
                f"{self.path}: the database cannot be used ({text}): check its permissions and "
                "the space on its disk, or restore a copy of the file"
            ) from error

    @contextmanager
    def deciding(self, wait: float = 0.0) -> Iterator[None]:
        """Let no other process decide for this programme while the block under `with` runs.

        Args:
            wait: seconds to wait for another process.

        Raises:
            ConfigError: the folder of the database cannot be written to.
            FolderInUse: another process decides.
        """
        file = self.path.with_name(f".{self.path.name}.lock")
        lock = FileLock(file)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise FolderInUse(
                f"{self.path}: another process decides for this programme: wait for its end and "
                "repeat the command"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{file}: cannot be written ({error.strerror}): give another file with --database"
            ) from error
        try:
            yield
        finally:
            lock.release()


class Conflict(WorldplanError):
    """What was to be changed was changed by somebody else meanwhile."""


class Missing(WorldplanError):
    """A day or a client is not in the database."""


def record(connection: Connection, by: str, what: str, day: Any = None, **detail: Any) -> None:
    """Add a line to the audit trail.

    Args:
        connection: of the change that is recorded.
        by: who made it.
        what: kind of change, such as "decided".
        day: the date that it concerns.
        detail: of the change.
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    connection.execute(
        schema.events.insert().values(at=now, by=by, what=what, date=day, detail=detail)
    )


def _engine(path: Path) -> Engine:
    """An engine whose transactions begin as SQLite's own do, and whose connections close at once:
    threads of a server share no connection.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())),
        connect_args={"timeout": _BUSY},
        poolclass=NullPool,
    )

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a read
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
