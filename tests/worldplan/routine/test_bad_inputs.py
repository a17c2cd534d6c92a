"""More that the daily routine refuses: damaged databases, dates of other kinds, blank options."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.worldplan.routine.builders import (
    LINES,
    day,
    refused,
    rows,
    write_programme,
    write_rows,
)
from worldplan.cli import main

DAMAGE = {
    "update programme set schema_version = 'x'": "no database of worldplan",
    "insert into programme select * from programme": "no database of worldplan",
    "update programme set schema_version = 0": "version 0 of the tables was never written",
    "drop table events": "the table 'events' is missing",
    "alter table days drop column plan": "column 'plan' of the table 'days' is missing",
    "update days set plan = '{'": "'days', row of 2026-11-02: plan '{'",
    "update days set plan = 'null'": "plan 'null'",
    "update days set plan = '[1]'": "plan '[1]'",
    """update days set plan = '[{"x": 1}]'""": "plan",
    "update days set settings = '{}'": "settings '{}'",
    "update days set settings = '[]'": "settings '[]'",
    "update days set made_with = '{}'": "made_with '{}'",
    "update days set date = '03.11.2026' where date = '2026-11-03'": "date '03.11.2026'",
    "update clients set joined = 'yesterday'": "'clients', row of Ann: joined 'yesterday'",
    "delete from days where date = '2026-11-03'": "'visits' has a row of no day",
    "update visits set next_state = 'well'": "next_state 'well'",
    "update visits set state = -1": "state '-1'",
    "update visits set visited = 2": "visited '2'",
    "update visits set belief = '[1, 2]', observed = 0": "belief '[1, 2]'",
    "update log_moves set action = 5 where rowid = 1": "'log_moves', row of Ann: action '5'",
    "update log_moves set count = -3": "count '-3'",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_database_with_cells_that_were_never_written(
    clinic: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    with sqlite3.connect(clinic / "c.db") as connection:
        connection.execute(damage)
    outcomes = ["--outcomes", write_rows(clinic / "o.csv", "arm,state", LINES)]
    said = refused(clinic, capsys, 2, *outcomes)
    assert DAMAGE[damage] in said and "--database" in said, said


def test_a_damaged_page(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (clinic / "c.db").read_bytes()
    pages = len(whole) // 4096
    noise = bytes(range(1, 256)) * 17
    for page in range(1, pages):  # the first one holds the header
        damaged = whole[: 4096 * page] + noise[:4096] + whole[4096 * (page + 1) :]
        (clinic / "c.db").write_bytes(damaged)
        assert "restore a copy" in refused(clinic, capsys, 1)
    (clinic / "c.db").write_bytes(whole[: len(whole) // 2])
    assert "malformed" in refused(clinic, capsys, 1)


REQUESTS: dict[str, tuple[list[str], str]] = {
    "a date without hyphens": (["--date", "20261104"], "write YYYY-MM-DD"),
    "a week": (["--date", "2026-W45-3"], "write YYYY-MM-DD"),
    "no leap day": (["--date", "2027-02-29"], "is no date"),
    "a blank date": (["--date", ""], "is no date"),
    "a blank folder": (["--output", " "], "--output is blank"),
    "a long name": (["--by", "x" * 1000], "give at most 200"),
    "hours without end": (["--hours", "Xenia=1e300"], "give 0 to 1000000"),
    "visits without end": (["--visits", "9" * 20], "give 1 to 1000000000"),
    "no moves": (["--moves", "3"], "has no limit of moves"),
    "an unknown worker": (["--hours", "Xena=3"], "did you mean Xenia"),
    "the root as a database": (["--database", "/"], "give a file"),
    "a folder above": (["--database", ".."], "give a file"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_of_another_kind(
    clinic: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    more, words = REQUESTS[case]
    outcomes = ["--outcomes", write_rows(clinic / "o.csv", "arm,state", LINES)]
    assert words in refused(clinic, capsys, 2, *outcomes, *more)


@pytest.mark.parametrize("text", ["20261103", "2026-W45-2", "03.11.2026", "2026-11-03T00:00"])
def test_dates_in_files(clinic: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    dated = write_rows(clinic / "o.csv", "arm,state,date", [f"{row},{text}" for row in LINES])
    assert "line 2: date" in refused(clinic, capsys, 2, "--outcomes", dated)
    write_rows(clinic / "calendar.csv", "worker,date,hours", [f"Xenia,{text},2"])
    more = ["--outcomes", write_rows(clinic / "o.csv", "arm,state", LINES)]
    more += ["--programme.constraint.calendar", "calendar.csv"]
    assert "calendar.csv, line 2: date" in refused(clinic, capsys, 2, *more)


def test_who_left_and_is_named(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = ["--outcomes", write_rows(clinic / "o.csv", "arm,state", LINES)]
    assert day(clinic, 2, *whole, "--leave", "Eve,Eve", "--absent", "Ann,Ann") == 0
    assert rows(clinic, "select count(*) from events where what = 'left'") == [(1,)]
    assert day(clinic, 2, "--absent", "Ann") == 0  # the same request
    assert "'Eve' left the programme on 2026-11-04" in refused(clinic, capsys, 3, *whole)
    rule = "from worldplan.milp.sets import rules\ndef build(block, today):\n"
    (clinic / "r.py").write_text(rule + "    rules.must_visit(block, today, ['Eve'])\n")
    more = ["--outcomes", write_rows(clinic / "o.csv", "arm,state", LINES[:-1])]
    more += ["--programme.constraint.rules", "r.py:build"]
    said = refused(clinic, capsys, 3, *more)
    assert "'Eve' left out cannot all be met: for this day alone, --waive 'must_visit[Eve]'" in said
    assert day(clinic, 3, *more, "--waive", "must_visit[Eve]") == 0


def test_no_database_in_the_folder_of_worldplan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "site-packages" / "worldplan"
    (package / "configs").mkdir(parents=True)
    write_programme(package / "configs")
    monkeypatch.setattr("worldplan.commands.bandits.scenario.PACKAGE", package)
    outcomes = write_rows(tmp_path / "o.csv", "arm,state", LINES)
    scenario = os.path.relpath(package / "configs" / "clinic.yaml", tmp_path)
    command = ["--date", "2026-11-02", "--outcomes", outcomes]
    before = sorted(path.name for path in package.rglob("*"))
    monkeypatch.chdir(package / "configs")
    for more in ([], ["--database", str(package / "c.db")]):
        assert main(["bandits", "day", "clinic.yaml", *command, *more]) == 2
        assert "worldplan examples FOLDER" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["bandits", "day", scenario, *command]) == 0
    assert (tmp_path / "c.db").exists() and (tmp_path / "c-lists" / "2026-11-02").is_dir()
    assert sorted(path.name for path in package.rglob("*")) == before
