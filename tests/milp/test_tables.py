"""Cells, marks and lines of CSV files that are refused by name, or taken as they are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldplan.milp.errors import DatasetError
from worldplan.milp.sets import read_amounts, read_graph
from worldplan.milp.tables import CsvTable


def put(folder: Path, text: str) -> str:
    file = folder / "table.csv"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arm;cost\nana;1\n", "line 1: column 'arm' is missing (found: arm;cost): the cells are "
         "separated by ';': save the file with commas"),
        ("arm;cost\nana;1,5\n", "line 1: the cells are separated by ';'"),
        ("arm\tcost\nana\t1\n", "separated by tabs"),
        ("# mine\narm,cost\nana,1\n", "line 2: more cells than the header"),
        ("arm,cost\nana,1_0\n", "line 2: cost '1_0' of 'ana' is not a number"),
        ("arm,cost\nana,none\n", "line 2: column 'cost' holds 'none', which stands for a missing"),
        ("arm,cost\nana,\n", "line 2: column 'cost' is empty or NaN"),
        ("arm,cost\nana,1\n" + "a" * 30_000 + ",1\n", "line 3: a cell is too long"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_amounts(put(tmp_path, text), "arm", "cost")
    assert words in str(caught.value) and len(str(caught.value)) < 400


def test_names_may_be_words_for_nothing(tmp_path: Path) -> None:
    file = put(tmp_path, "worker,capacity\nNa,1\nNone,2\n")
    assert read_amounts(file, "worker", "capacity") == {"Na": 1, "None": 2}


def test_numbers_whose_sum_is_not_finite_are_refused(tmp_path: Path) -> None:
    table = CsvTable(put(tmp_path, "arm,cost\nana,1\nbo,-1e308\n"), ("arm", "cost"))
    with pytest.raises(DatasetError, match="line 3: cost -1e308 is too large"):
        table.numbers("cost")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\nana;bo\n", "separated by ';'"),
        ("a,b\nana,bo,\nbo,cy,\n", "line 2: more cells than the header"),
        ("a,b\n\nana,bo\n\nbo,\n", "line 5: a node id is empty"),
        ("", "the file is empty"),
        ('a,b\nana,bo\n"cy', "a quote is opened and never closed"),
    ],
)
def test_connections_are_read_as_other_tables_are(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_graph(put(tmp_path, text))
    assert words in str(caught.value)
    blank = "a, b ,km\n\nana, bo,1\n\n bo,cy,2\n\n"
    assert set(read_graph(put(tmp_path, blank)).edges) == {("ana", "bo"), ("bo", "cy")}
