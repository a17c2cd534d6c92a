"""Tables of text: the cells of a CSV file with the delimiter that its header uses."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.world_models.numeric.sources.log_files import delimiter_of

SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)  # as Excel writes and reads it
NO_ACTION = (
    "needs a row per state and a column 'action' (the action taken in this state; empty in an "
    "episode's last row)"
)
DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*\d,\d+([eE][+-]?\d+)?")


class Table(NamedTuple):
    """The cells of a table.

    Attributes:
        columns: the names of the columns, with single blanks.
        rows: the number of each row in the file, from 1, with a cell for each column.
    """

    columns: list[str]
    rows: list[tuple[int, list[str]]]


def read_table(path: Path) -> Table:
    """The cells of a file as text, without blank rows.

    The delimiter is that comma, semicolon or tab with which the header has a cell `action`.

    Raises:
        DatasetError: not CSV, no such header, a column without a name, or a row of the wrong
            length.
    """
    lines = read_user_text(path, megabytes=1024).split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    separator = SEPARATOR_LINE.fullmatch(lines[first].strip())
    first += separator is not None
    header = lines[first] if first < len(lines) else ""
    delimiter = separator[1] if separator else delimiter_of(header)
    if delimiter is None:
        raise DatasetError(f"{path}: {NO_ACTION}")
    reader = csv.reader(
        io.StringIO("\n".join(lines[first:])),
        delimiter=delimiter,
        skipinitialspace=True,
        strict=True,
    )
    try:
        columns = [" ".join(name.split()) for name in next(reader)]
        return Table(columns, list(_rows(path, reader, delimiter, first, len(columns))))
    except csv.Error as error:
        raise DatasetError(f"{path}: cannot be read as CSV ({error})") from error


def _rows(
    path: Path, reader: Iterator[list[str]], delimiter: str, above: int, width: int
) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header that are not blank.

    Raises:
        DatasetError: a row is too short or too long.
    """
    for number, row in enumerate(reader, above + 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < width or any(row[width:]):
            hint = ""
            if len(row) > width and delimiter == ",":
                hint = ": write 3.5 and not 3,5, or ';' between the cells, if a number has a comma"
            raise DatasetError(
                f"{path}, row {number}: has {len(row)} cells, the header {width}{hint}"
            )
        yield number, row[:width]
