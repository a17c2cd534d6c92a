"""A CSV file as text columns that are checked when they are read; an error names file and line."""

from __future__ import annotations

import csv
import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldplan.milp.errors import DatasetError
from worldplan.milp.program import Floats, Indices
from worldplan.milp.user_files import read_user_text

FilePath = str | os.PathLike[str]
BLANKS = ("", "nan", "na", "null", "none")  # cells that stand for a missing value
NAMES = ("arm", "worker", "slot")  # columns of names: somebody may be called Na or None
LARGEST_NUMBER = 1e100  # sums and products of such numbers are finite
LONGEST = 20_000  # characters of a line
LARGEST = 9_999  # largest whole number where no limit is given; more is taken for a typing error


class CsvTable:
    """Some columns of a CSV file. No cell of these columns is empty; blank lines are skipped.

    Args:
        path: UTF-8 text with a header line.
        columns: the columns that must be there; further ones are ignored.
        optional: columns that may be there, and may have empty cells.

    Raises:
        DatasetError: the file is missing, unreadable or without rows, a column is missing, or a
            cell is empty.
    """

    def __init__(
        self, path: FilePath, columns: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> None:
        self.path = os.fspath(path)
        frame = read_frame(self.path)
        frame.columns = frame.columns.str.strip()
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            remedy = f"the header must name {', '.join(columns)}"
            raise DatasetError(
                f"{self.path}, line 1: column '{missing[0]}' is missing "
                f"(found: {', '.join(frame.columns)}): {separator(frame.columns) or remedy}"
            )
        self.columns = tuple(frame.columns)
        kept = [*columns, *(column for column in optional if column in frame.columns)]
        frame = frame[kept].fillna("").apply(lambda column: column.str.strip())
        frame = frame[(frame != "").any(axis=1)]  # blank lines
        if frame.empty:
            raise DatasetError(
                f"{self.path}: the file has no rows below the header: add at least one"
            )
        self._frame, self._line = frame, frame.index.to_numpy() + 2
        for column in columns:
            self._refuse_empty(column)

    def _refuse_empty(self, column: str) -> None:
        self.refuse(
            self._empty(column),
            lambda i: f"column '{column}' {_missing(self._frame[column].iloc[i])}",
            "fill it in or delete the row",
        )

    def _empty(self, column: str) -> NDArray[np.bool_]:
        """(rows,), whether the cell is empty."""
        blanks = BLANKS[:2] if column in NAMES else BLANKS
        return np.asarray(self._frame[column].str.lower().isin(blanks))

    def __len__(self) -> int:
        return len(self._frame)

    def refuse(self, bad: NDArray[np.bool_], what: Callable[[int], str], remedy: str) -> None:
        """Raise an error for the first row that `bad` (rows,) marks.

        Args:
            bad: (rows,), true where a row is wrong.
            what: the complaint, given the row's position.
            remedy: what to do about it.

        Raises:
            DatasetError: a row is marked.
        """
        places = np.flatnonzero(bad)
        if len(places):
            raise DatasetError(
                f"{self.path}, line {self._line[places[0]]}: {what(int(places[0]))}: {remedy}"
            )

    def refuse_repeats(self, codes: Indices, what: str, remedy: str) -> None:
        """Raise DatasetError for the first row whose code, in `codes` (rows,), came before."""
        series = pd.Series(codes)
        repeated = series.duplicated()
        first = series.drop_duplicates()
        lines = (
            dict(zip(first.to_numpy(), self._line[first.index], strict=True))
            if repeated.any()
            else {}
        )
        self.refuse(
            repeated.to_numpy(),
            lambda i: f"{what} already appeared on line {lines[codes[i]]}",
            remedy,
        )

    def cells(self, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """(line number, cell, cell, ...) of every row, the cells as text."""
        return list(
            zip(self._line.tolist(), *(self._frame[column] for column in columns), strict=True)
        )

    def text(self, column: str) -> pd.Series[str]:
        """A column as text."""
        return cast("pd.Series[str]", self._frame[column])

    def numbers(self, column: str) -> Floats:
        """A column of finite numbers, (rows,). Raises DatasetError for any other cell."""
        values, cells = self._numeric(column), self._frame[column]
        self.refuse(
            ~np.isfinite(values),
            lambda i: f"{column} '{cells.iloc[i]}' is not a finite number",
            "write a plain number",
        )
        self.refuse(
            np.abs(values) > LARGEST_NUMBER,
            lambda i: f"{column} {cells.iloc[i]} is too large to be added up",
            f"give numbers up to {LARGEST_NUMBER:g}, in another unit",
        )
        return values

    def integers(self, column: str, count: int | None = None) -> Indices:
        """A column of whole numbers from 0 to `count` - 1, (rows,).

        Raises DatasetError for any other cell.
        """
        return self._integers(column, count, np.ones(len(self), bool))

    def optional_integers(self, column: str, count: int | None = None) -> Indices:
        """As `integers`, for an optional column; -1 in empty cells, or without the column."""
        if column not in self._frame:
            return np.full(len(self), -1, np.int64)
        return self._integers(column, count, ~self._empty(column))

    def _integers(self, column: str, count: int | None, filled: NDArray[np.bool_]) -> Indices:
        """The whole numbers in the cells that `filled` (rows,) marks, and -1 in the others."""
        values, raw = self._numeric(column), self._frame[column]
        whole = np.isfinite(values) & (values == np.floor(values))
        self.refuse(
            filled & ~whole,
            lambda i: f"{column} '{raw.iloc[i]}' is not an integer",
            "number from 0",
        )
        top = LARGEST if count is None else count - 1
        self.refuse(
            filled & ((values < 0) | (values > top)),
            lambda i: f"{column} {raw.iloc[i]} is out of range",
            f"use a number from 0 to {top}",
        )
        return np.where(filled, values, -1).astype(np.int64)

    def _numeric(self, column: str) -> Floats:
        """(rows,), NaN where a cell is no number."""
        numbers = pd.to_numeric(self._frame[column], errors="coerce")
        return np.asarray(numbers, dtype=np.float64)


def read_frame(path: str) -> pd.DataFrame:
    """The whole CSV file as text; blank lines are rows too, so that the index counts lines.

    Raises:
        DatasetError: the file is missing, empty, unreadable or no CSV, or a line is too long.
    """
    text = read_user_text(path, megabytes=1024)
    lengths = list(map(len, text.split("\n")))
    if max(lengths) > LONGEST:
        raise DatasetError(
            f"{path}, line {lengths.index(max(lengths)) + 1}: a cell is too long, the line has "
            f"{max(lengths)} characters of at most {LONGEST}: check commas, quotes and line ends"
        )
    try:
        _refuse_repeated_columns(path, text)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.StringIO(text),
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                index_col=False,
            )
    except pd.errors.EmptyDataError as error:
        raise DatasetError(f"{path}: the file is empty: write a header and rows") from error
    except (csv.Error, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        line = re.search(r"(?:line|row) (\d+)", str(error))
        number = int(line[1]) if line else _first_long_row(text)
        where = f"{path}, line {number}" if number else path
        problem = "more cells than the header has columns: check commas and quotes"
        if "inside string" in str(error):
            problem = "a quote is opened and never closed: check commas and quotes"
        elif separator(text.splitlines()[:1]):
            where, problem = f"{path}, line 1", separator(text.splitlines()[:1])
        raise DatasetError(f"{where}: {problem}") from error


def separator(header: Iterable[str]) -> str:
    """What is wrong with a header of one cell in which other marks separate the names; else ""."""
    cells = list(header)
    alone = cells[0] if len(cells) == 1 and "," not in cells[0] else ""
    for mark, name in ((";", "';'"), ("\t", "tabs")):
        if mark in alone:
            return (
                f"the cells are separated by {name}: save the file with commas between cells and "
                "points in numbers"
            )
    return ""


def _missing(cell: str) -> str:
    """Words for a cell without a value."""
    if cell.lower() in BLANKS[:2]:
        return "is empty or NaN"
    return f"holds '{cell}', which stands for a missing value"


def _first_long_row(text: str) -> int:
    """The line of the first row with more cells than the header; 0 if there is none."""
    rows = csv.reader(io.StringIO(text))
    columns = len(next(rows, []))
    return next((rows.line_num for row in rows if len(row) > columns), 0)


def plain_number(text: str) -> float:
    """The number in a cell, as `CsvTable.numbers` reads it; NaN where there is none."""
    try:
        return float("nan" if "_" in text else text)  # Python takes 1_0 for 10
    except ValueError:
        return float("nan")


def _refuse_repeated_columns(path: str, text: str) -> None:
    """Refuse a header with the same name twice: pandas would rename the second column.

    Raises:
        DatasetError: names the column.
        csv.Error: a name is too long.
    """
    header = next(csv.reader(io.StringIO(text)), [])
    counts = Counter(name.strip() for name in header)
    repeated = next((name for name, count in counts.items() if name and count > 1), None)
    if repeated is not None:
        raise DatasetError(
            f"{path}, line 1: column '{repeated}' is there more than once: keep one of them"
        )
