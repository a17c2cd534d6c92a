"""What the daily routine refuses: one line, nothing written, and a remedy that works."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.worldplan.routine.builders import (
    LINES,
    NAMES,
    day,
    days,
    refused,
    rows,
    write_outcomes,
    write_programme,
    write_rows,
)
from worldplan.routine import schema

CASES = {
    "before the last day": (0, LINES, [], "before 2026-11-03", ["--date", "2026-11-04"]),
    "far away": (40_000, LINES, [], "more than a year", ["--date", "2026-11-04"]),
    "nobody joins unasked": (2, [*LINES, "Fay,0"], [], "--join", ["--join"]),
    "no outcomes": (2, LINES[:-1], [], "--absent NAME", ["--absent", "Eve"]),
    "none at all": (2, LINES[:1], [], "of 3 more clients", ["--assume"]),
    "forced and absent": (2, LINES, ["--force", "Ann", "--absent", "Ann"], "keep one", None),
    "unknown absent": (
        2,
        LINES,
        ["--absent", "Zoe"],
        "'Zoe' is not in the programme: correct the name (--absent)",
        None,
    ),
    "unknown leaving": (2, LINES, ["--leave", "Zoe"], "correct the name (--leave)", None),
    "unknown forced": (2, LINES, ["--force", "Zoe"], "correct the name (--force)", None),
    "too many forced": (2, LINES, ["--force", ",".join(NAMES)], "'Bob' forced in", None),
    "redo of nothing": (2, LINES, ["--redo"], "leave --redo out", None),
    "steps": (2, LINES, ["--steps_left", "9"], "1 to 4", None),
    "a broken name": (2, LINES, ["--absent", "An\nn"], "holds a line break", None),
    "half a character": (2, LINES, ["--by", "K\udcff"], "(--by) holds", None),
    "unknown policy": (2, LINES, ["--policy", "luck"], "choose from", None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_that_is_refused(
    clinic: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    number, lines, more, words, remedy = CASES[case]
    if "Fay" in str(lines):
        for file, row in (("rewards.csv", "Fay,0,0\nFay,1,1\nFay,2,2\n"), ("costs.csv", "Fay,2\n")):
            with (clinic / file).open("a") as text:
                text.write(row)
    outcomes = ["--outcomes", write_rows(clinic / "o.csv", "arm,state", lines)]
    assert words in refused(clinic, capsys, number, *outcomes, *more)
    if remedy is not None:
        assert day(clinic, number, *outcomes, *remedy) == 0
    else:
        assert day(clinic, 2, "--outcomes", write_outcomes(clinic / "o.csv", 2)) == 0


OUTCOMES = {
    "contradicting rows": ("arm,state", [*LINES, "Ann,2"], "line 7", "contradicts line 2"),
    "a misspelt column": ("arm,state,visted", ["Ann,1,1"], "line 1", "call it 'visited'"),
    "a capital": ("arm,state,Date", ["Ann,1,2026-11-03"], "line 1", "call it 'date'"),
    "a repeated row": ("arm,state", [*LINES, "Ann,1"], "line 7", "repeats line 2"),
    "a state too large": ("arm,state", ["Ann,3"], "line 2", "0 to 2"),
    "visited twice": ("arm,state,visited", ["Ann,1,2"], "line 2", "0 to 1"),
    "no date": ("arm,state,date", ["Ann,1,yesterday"], "line 2", "is no date"),
    "a date without a decision": (
        "arm,state,date",
        ["Ann,1,2026-10-30"],
        "nothing was decided",
        "",
    ),
    "today's outcome": ("arm,state,date", ["Ann,1,2026-11-04"], "not from before", "later day"),
    "somebody unknown": ("arm,state", [*LINES, "Zoe,1"], "'Zoe' has no rewards", "line 7"),
    "a stranger's past": ("arm,state,date", ["Zoe,1,2026-11-02"], "not in the programme on", ""),
    "an earlier outcome": ("arm,state,date", ["Ann,2,2026-11-02"], "--correct", "contradicts"),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcomes_that_are_refused(
    clinic: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    header, lines, *words = OUTCOMES[case]
    (first,) = rows(clinic, "select next_state from visits where client = 'Ann' limit 1")[0]
    lines = [
        line.replace("Ann,2,2026-11-02", f"Ann,{(first + 1) % 3},2026-11-02") for line in lines
    ]
    file = write_rows(clinic / "o.csv", header, lines)
    said = refused(clinic, capsys, 2, "--outcomes", file)
    assert all(word in said for word in words), said


def test_a_first_day_needs_states(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    said = refused(tmp_path, capsys, 0)
    assert "'Ann' and of 4 more" in said and "--outcomes" in said
    assert not (tmp_path / "c.db").exists()
    dated = write_rows(tmp_path / "o.csv", "arm,state,date", ["Ann,1,2026-11-01"])
    assert "leave the column date out" in refused(tmp_path, capsys, 0, "--outcomes", dated)
    days(tmp_path, 1)


def test_a_log_that_contradicts_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    log = tmp_path / "log.csv"
    text = log.read_text()
    log.write_text(text + "3,Ann,1,1,2\n")
    outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 0)]
    said = refused(tmp_path, capsys, 0, *outcomes)
    assert "line 32: arm 'Ann', week 3: contradicts line 17" in said
    states = {tuple(row.split(",")[:2]): row.split(",")[2:] for row in text.splitlines()[1:]}
    state, action, after = states["3", "Ann"]
    log.write_text(text.replace(f"3,Ann,{state},", f"3,Ann,{(int(state) + 1) % 3},"))
    assert "which ends in state" in refused(tmp_path, capsys, 0, *outcomes)
    log.write_text("date,arm,state,action,next_state\n2026-11-01,Ann,0,0,1\n2026-11-02,Ann,1,0,1\n")
    assert "line 3: the move of 2026-11-02 is not" in refused(tmp_path, capsys, 0, *outcomes)
    log.write_text(text)
    days(tmp_path, 1)
    log.write_text(text + "9,Ann,1,1,2\n")
    outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 1)]
    assert "was changed after it was imported" in refused(tmp_path, capsys, 1, *outcomes)
    log.unlink()  # it was imported: the file is not needed any more
    assert day(tmp_path, 1, *outcomes) == 0


def test_somebody_lost_from_the_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    for file in ("rewards.csv", "costs.csv"):
        kept = [row for row in (tmp_path / file).read_text().splitlines() if "Eve" not in row]
        (tmp_path / file).write_text("\n".join(kept) + "\n")
    outcomes = ["--outcomes", write_rows(tmp_path / "o.csv", "arm,state", LINES[:-1])]
    assert "--leave Eve" in refused(tmp_path, capsys, 1, *outcomes)
    assert day(tmp_path, 1, *outcomes, "--leave", "Eve") == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("update programme set schema_version = 99", "newer worldplan"),
        ("update programme set name = 'school'", "holds the programme 'school'"),
        ("drop table programme", "database of another program"),
        ("delete from programme", "no database of worldplan"),
    ],
)
def test_a_database_that_is_refused(
    clinic: Path, capsys: pytest.CaptureFixture[str], damage: str, words: str
) -> None:
    with sqlite3.connect(clinic / "c.db") as connection:
        connection.execute(damage)
    before = (clinic / "c.db").read_bytes()
    assert day(clinic, 1) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert (clinic / "c.db").read_bytes() == before
    more = ["--outcomes", write_outcomes(clinic / "o.csv", 0), "--database", "new.db"]
    assert day(clinic, 0, *more) == 0


def test_a_file_that_is_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    (tmp_path / "c.db").write_text("arm,state\n")
    outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 0)]
    assert day(tmp_path, 0, *outcomes) == 2
    assert "no SQLite database" in capsys.readouterr().err
    (tmp_path / "c.db").write_bytes(b"SQLite format 3\0" + bytes(4000))
    assert day(tmp_path, 0, *outcomes) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "c.db").write_bytes(b"")  # a process was killed before its first write
    assert day(tmp_path, 0, *outcomes) == 0


def test_a_second_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    hold = (
        "import sys; from filelock import FileLock\n"
        f"with FileLock({str(tmp_path / '.c.db.lock')!r}):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", hold], cwd=ROOT, **pipes) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "held\n"
        outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 1)]
        assert "another process decides" in refused(tmp_path, capsys, 1, *outcomes)
        other.stdin.close()
    assert day(tmp_path, 1, *outcomes) == 0


def test_a_generated_programme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clinic.yaml").write_text("name: x\nprogramme: {domain: capacity}\n")
    assert "programme of your own" in refused(tmp_path, capsys, 0)


def test_a_database_of_an_older_version_is_migrated(
    clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = "alter table clients add column district text"
    now = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", now + 2)
    monkeypatch.setitem(schema.MIGRATIONS, now, lambda c: c.exec_driver_sql(added))
    monkeypatch.setitem(schema.MIGRATIONS, now + 1, lambda c: c.exec_driver_sql("select 1 / 0"))
    outcomes = ["--outcomes", write_outcomes(clinic / "o.csv", 2)]
    assert day(clinic, 2, *outcomes) == 0
    assert rows(clinic, "select schema_version from programme") == [(now + 2,)]
    assert rows(clinic, "select distinct district from clients") == [(None,)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_is_no_file_is_neither_used_nor_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "pipe.db")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "empty.db").touch()
    before = sorted(path.name for path in tmp_path.iterdir())
    wrong = ["--outcomes", write_rows(tmp_path / "o.csv", "arm,state", LINES[:1])]
    blank = (" ", "two\nlines.db", "tab\t.db", "nul\0.db", "half\udcff.db")
    for name in ("pipe.db", "link.db", "folder.db", "empty.db", "missing/c.db", *blank):
        assert day(tmp_path, 0, *wrong, "--database", name) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert day(tmp_path, 0, *wrong, "--database", "new.db") == 2
    now = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert now == {*before, "o.csv"}
    assert stat.S_ISFIFO((tmp_path / "pipe.db").stat().st_mode)
    right = ["--outcomes", write_outcomes(tmp_path / "o.csv", 0)]
    assert day(tmp_path, 0, *right, "--database", "empty.db") == 0
    assert day(tmp_path, 0, *right, "--output", str(tmp_path / "log.csv")) == 2
    assert "is a file" in capsys.readouterr().err


def test_a_rule_that_names_an_unknown_worker(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clinic / "rules.py").write_text("def build(block, today):\n    today.hours['Xena']\n")
    rules = ["--programme.constraint.rules", "rules.py:build"]
    outcomes = ["--outcomes", write_outcomes(clinic / "o.csv", 2)]
    said = refused(clinic, capsys, 2, *outcomes, *rules)
    assert "rules.py: build(): worker 'Xena' is unknown: did you mean Xenia?" in said
