"""CSV files that a person opens in a spreadsheet: no text becomes a formula, and none changes."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.files import read_table, write_csv
from worldplan.spreadsheets import plain_cell, safe_cell

FORMULAS = (
    "=1+1",
    "+49 30 123",
    "-Ann",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =cmd|' /C calc'!A0",
    '=HYPERLINK("http://x","y")',
    "\uff1d1+1",
    "-",
    "=1;=2",
)
HARMLESS = ("Ann", "", "-1.5", "+3", "1e-9", "-1e-9", "'tis", "O'Hara", "a=b", "<b>", "../x", "''")
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_a_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay(text: str) -> None:
    assert safe_cell(text) == text == plain_cell(text)


@given(st.text("'=+-@\t\r\n a1.;\uff1d", max_size=6))
@settings(deadline=None, max_examples=300)
def test_a_text_is_read_back_as_it_was(text: str) -> None:
    assert plain_cell(safe_cell(text)) == text
    if not re.fullmatch(r"[-+]?[\d.]+", text):  # a number
        assert not safe_cell(text).lstrip(" ").startswith(STARTS)


def test_a_written_table_holds_no_formula_and_is_read_back(tmp_path: Path) -> None:
    texts = [text for text in (*FORMULAS, *HARMLESS) if text.strip() and "\r" not in text]
    table = pd.DataFrame({"=who": texts, "number": range(len(texts)), "loss": -0.5})
    table["some"] = [None, *texts[1:]]
    file = write_csv(tmp_path / "table.csv", table)
    for delimiter in ",;\t":  # whichever of them a spreadsheet takes for the end of a cell
        rows = list(csv.reader(file.read_text().splitlines(), delimiter=delimiter))
        if delimiter == ",":
            cells = [cell for row in rows for cell in row]
            wrong = [c for c in cells if c.startswith(STARTS) and not c.startswith("-0.5")]
            assert not [c for c in wrong if safe_cell(c) != c]
    text = file.read_text()
    assert '"\'=1;=2"' in text  # quoted: no cell of its own begins behind the semicolon
    back = read_table(file)
    assert list(back["=who"]) == [plain_cell(safe_cell(text)) for text in texts]
    assert list(back["number"]) == list(range(len(texts))) and set(back["loss"]) == {-0.5}


def test_numbers_and_dates_are_written_as_before(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [-1.5, 2.0], "b": [True, False], "date": ["2026-01-02", ""]})
    file = write_csv(tmp_path / "table.csv", table)
    assert file.read_text() == table.to_csv(index=False)
