"""Texts in CSV files that a spreadsheet would run as formulas, and the same texts read back.

A spreadsheet runs a cell that begins with one of `= + - @`, in some languages with their full-width
forms, also behind blanks, tabs or line breaks. Such a text gets an apostrophe in front, which a
spreadsheet shows as text (OWASP, "CSV Injection"). Whole texts that are numbers, such as "-1.5",
stay as they are.

So that reading returns every text as it was, a text that begins with apostrophes and then such a
character gets one more, and reading removes one:

    =1+1  ->  '=1+1        '=1+1  ->  ''=1+1        'tis  ->  'tis
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd

_FORMULA = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


def safe_cell(text: str) -> str:
    """A text that a spreadsheet takes for no formula."""
    if not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def plain_cell(text: str) -> str:
    """The text that `safe_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def safe_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts, the names of its columns among them, are safe cells."""
    return _with_texts(table, safe_cell)


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table that `safe_table` was given."""
    return _with_texts(table, plain_cell)


def quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """How cells are quoted: all texts where one holds a semicolon or a tab, which a spreadsheet may
    take for the end of a cell.
    """
    texts = [*map(str, table.columns)]
    for name in _text_columns(table):
        texts += [cell for cell in table.iloc[:, name].unique() if isinstance(cell, str)]
    return csv.QUOTE_NONNUMERIC if any(re.search("[;\t]", text) for text in texts) else 0


def _text_columns(table: pd.DataFrame) -> list[int]:
    """Positions of the columns that may hold texts."""
    kinds = enumerate(table.dtypes)
    return [place for place, kind in kinds if not pd.api.types.is_numeric_dtype(kind)]


def _with_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """A table with changed texts; other values, and columns without a change, stay."""

    def changed(cell: Any) -> Any:
        return change(cell) if isinstance(cell, str) else cell

    result = table.copy(deep=False)
    for place in _text_columns(table):
        before = table.iloc[:, place].tolist()
        cells = [changed(cell) for cell in before]
        if any(cell is not old for cell, old in zip(cells, before, strict=True)):
            result.isetitem(place, np.array(cells, dtype=object))
    return result.rename(columns=changed)
