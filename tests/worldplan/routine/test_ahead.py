"""The lists of the next days: those that will be decided, and rules that hold over all days."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.worldplan.routine.builders import (
    MONDAY,
    NAMES,
    content,
    day,
    days,
    rows,
    setup_of,
    write_outcomes,
    write_programme,
    write_rows,
)
from worldplan.routine.ahead import ForeseenDay, foresee, next_dates
from worldplan.routine.database import Database
from worldplan.routine.day import read_day

RULES = """
from worldplan.milp.sets.rules import at_least_once_in
def build(block, today):
    at_least_once_in(block, today, days={days})
"""


def certain(folder: Path, seed: int, names: tuple[str, ...], **constraint: Any) -> np.ndarray:
    """Write a programme whose states move for sure; returns the next state (arms, 2, states)."""
    generator = np.random.default_rng(seed)
    after = generator.integers(3, size=(len(names), 2, 3))
    moves = [
        f"{name},{state},{action},{after[arm, action, state]},1"
        for arm, name in enumerate(names)
        for action in (0, 1)
        for state in range(3)
    ]
    write_rows(folder / "moves.csv", "arm,state,action,next_state,probability", moves)
    rewards = [f"{name},{s},{s * generator.uniform(1, 2)}" for name in names for s in range(3)]
    write_rows(folder / "rewards.csv", "arm,state,reward", rewards)
    programme = {
        "transitions": "moves.csv",
        "rewards": "rewards.csv",
        "horizon": 6,
        "constraint": {"kind": "budget", "budget": 2} | constraint,
    }
    scenario = {"name": "sure", "programme": programme, "database": "c.db"}
    (folder / "clinic.yaml").write_text(yaml.safe_dump(scenario))
    return after


def foreseen(folder: Path, count: int) -> tuple[ForeseenDay, ...]:
    database = Database(folder / "c.db", setup_of(folder).name)
    last = read_day(database)
    assert last is not None
    return foresee(database, setup_of(folder), last, next_dates(last.date, count))


def on_list(entry: ForeseenDay) -> set[str]:
    return {row["arm"] for row in entry.plan}


@pytest.mark.parametrize(("seed", "policy"), enumerate(("fluid", "myopic", "whittle")))
def test_where_nothing_is_uncertain_the_days_come_as_foreseen(
    tmp_path: Path, seed: int, policy: str
) -> None:
    (tmp_path / "rules.py").write_text(RULES.format(days=4))
    after = certain(tmp_path, seed, NAMES, rules="rules.py:build", last_visits="last.csv")
    write_rows(tmp_path / "last.csv", "arm,date", [f"{name},2026-10-31" for name in NAMES])
    state = np.array([0, 1, 2, 0, 1])
    expected: tuple[ForeseenDay, ...] = ()
    for number in range(5):
        lines = [f"{name},{s}" for name, s in zip(NAMES, state, strict=True)]
        file = write_rows(tmp_path / "o.csv", "arm,state", lines)
        forced = ",".join(expected[number - 1].early) if number else ""
        more = ["--steps_left", str(6 - number), "--force", forced]
        assert day(tmp_path, number, "--policy", policy, "--outcomes", file, *more) == 0
        ((plan,),) = rows(tmp_path, "select plan from days order by date desc limit 1")
        listed = {row["arm"] for row in json.loads(plan)}
        if number == 0:
            before = content(tmp_path)
            expected = foreseen(tmp_path, 9)
            assert content(tmp_path) == before
            assert [len(entry.plan) > 0 for entry in expected] == [True] * 5  # the programme ends
        else:
            assert listed == on_list(expected[number - 1]), number
            shown = {row["arm"]: row["expected"] for row in expected[number - 1].plan}
            assert shown == {
                name: f"{s} (100 %)" for name, s in zip(NAMES, state, strict=True) if name in listed
            }
        chosen = np.isin(NAMES, list(listed)).astype(int)
        state = after[np.arange(len(NAMES)), chosen, state]


@pytest.mark.parametrize(
    "seed", [3, 4, 7, 9, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 26))]
)
def test_once_in_k_days_is_met_wherever_it_can_be(tmp_path: Path, seed: int) -> None:
    """Two of eight clients a day, each due once in the days planned: this is possible if and only
    if, for each day, no more than two a day are due up to it.
    """
    generator = np.random.default_rng(seed)
    names = (*NAMES, "Fay", "Gus", "Hal")
    (tmp_path / "rules.py").write_text(RULES.format(days=5))
    certain(tmp_path, seed, names, rules="rules.py:build", last_visits="last.csv")
    ago = generator.choice([1, 2, 3, 4], size=len(names), p=[0.4, 0.25, 0.25, 0.1])
    last = [f"{name},{MONDAY - dt.timedelta(int(n))}" for name, n in zip(names, ago, strict=True)]
    write_rows(tmp_path / "last.csv", "arm,date", last)
    outcomes = write_outcomes(tmp_path / "o.csv", seed, names)
    assert day(tmp_path, 0, "--policy", "myopic", "--outcomes", outcomes) == 0
    since = np.where(np.isin(names, list(on_list(_stored(tmp_path)))), 0, ago)
    result = foreseen(tmp_path, 4)
    due = 5 - since
    possible = all((due <= number).sum() <= 2 * number for number in range(1, 5))
    assert possible == (not result[-1].problem)
    if possible:
        lists = [np.isin(names, list(on_list(entry))) for entry in result]
        assert len(lists) == 4 and all(lists[k].sum() <= 2 for k in range(4))
        assert _meets(since, lists, 5)


def _meets(since: np.ndarray, lists: list[np.ndarray], days: int) -> bool:
    for visited in lists:
        since = since + 1
        if ((since >= days) & ~visited).any():
            return False
        since = np.where(visited, 0, since)
    return True


def test_what_cannot_be_met_is_named_with_a_remedy_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.py").write_text(RULES.format(days=5))
    certain(tmp_path, 0, NAMES, rules="rules.py:build", last_visits="last.csv", budget=1)
    outcomes = write_outcomes(tmp_path / "o.csv", 0)
    fresh = [f"{name},2026-11-01" for name in NAMES]
    write_rows(tmp_path / "last.csv", "arm,date", fresh)
    assert day(tmp_path, 0, "--outcomes", outcomes, "--policy", "myopic") == 0
    (today,) = on_list(_stored(tmp_path))
    others = [name for name in NAMES if name != today]
    lines = [f"{others[0]},2026-10-29", f"{others[1]},2026-10-29"]
    write_rows(tmp_path / "last.csv", "arm,date", [*fresh[2:], *lines, f"{today},2026-11-01"])
    rest = [row for row in fresh if row.split(",")[0] not in (*others[:2], today)]
    write_rows(tmp_path / "last.csv", "arm,date", [*rest, *lines, f"{today},2026-11-01"])
    capsys.readouterr()
    assert day(tmp_path, 0, "--days", "3") == 0
    said = capsys.readouterr().out
    assert "2026-11-03: the rules cannot be met" in said and "once_in_5_days" in said
    words = said.split("(--redo --force ")[1].split(")")[0]
    assert words in others[:2]
    assert day(tmp_path, 0, "--redo", "--force", words, "--days", "3") == 0
    assert "cannot be met" not in capsys.readouterr().out
    assert {"ahead.csv", "ahead.html"} <= {p.name for p in (tmp_path / "c-lists").rglob("*")}


def _stored(folder: Path) -> ForeseenDay:
    ((plan,),) = rows(folder, "select plan from days")
    return ForeseenDay(MONDAY, tuple(json.loads(plan)))


def test_lists_in_files_and_a_day_on_which_nobody_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path, calendar="calendar.csv")
    away = ["Xenia,2026-11-04,away", "Yann,2026-11-04,away", "Xenia,2026-11-05,away"]
    write_rows(tmp_path / "calendar.csv", "worker,date,hours", away)
    days(tmp_path, 1)
    before = content(tmp_path)
    capsys.readouterr()
    assert day(tmp_path, 0, "--days", "3") == 0
    said = capsys.readouterr().out
    assert "2026-11-03, provisional" in said and "2026-11-04: nobody works" in said
    assert content(tmp_path) == before
    folder = tmp_path / "c-lists" / "2026-11-02"
    table = pd.read_csv(folder / "ahead.csv")
    assert list(table.columns[:3]) == ["date", "arm", "expected"]
    assert set(table["date"]) == {"2026-11-03", "2026-11-05"}
    assert set(table[table["date"] == "2026-11-05"]["worker"]) == {"Yann"}
    assert table["expected"].str.fullmatch(r"[012] \(\d+ %\)").all()
    page = (folder / "ahead.html").read_text()
    assert "provisional" in page and "Nobody works" in page and "visited</th>" not in page
    assert day(tmp_path, 0, "--days", "2026-11-05,2026-11-09") == 0
    assert set(pd.read_csv(folder / "ahead.csv")["date"]) == {"2026-11-05", "2026-11-09"}
    outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 7)]
    assert day(tmp_path, 1, *outcomes, "--days", "1") == 0
    assert day(tmp_path, 1, "--redo", "--forbid", "Ann") == 0
    files = {path.name for path in (tmp_path / "c-lists" / "2026-11-03").iterdir()}
    assert "ahead.csv" not in files  # they were of the list before


def test_expected_states_are_worked_out_by_hand(tmp_path: Path) -> None:
    """One client whom nobody may visit, and who moves from 0 to 1 with probability 0.3 a day."""
    moves = [f"Ann,{s},{a},{t},{p}" for a in (0, 1) for s, t, p in ((0, 0, 0.7), (0, 1, 0.3))]
    moves += [f"Ann,1,{a},1,1" for a in (0, 1)]
    write_rows(tmp_path / "moves.csv", "arm,state,action,next_state,probability", moves)
    write_rows(tmp_path / "rewards.csv", "arm,state,reward", ["Ann,0,0", "Ann,1,1"])
    constraint = {"kind": "exactly", "budget": 1}
    programme = {"transitions": "moves.csv", "rewards": "rewards.csv", "constraint": constraint}
    scenario = {"name": "one", "programme": programme, "database": "c.db"}
    (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(scenario))
    assert (
        day(tmp_path, 0, "--outcomes", write_rows(tmp_path / "o.csv", "arm,state", ["Ann,0"])) == 0
    )
    shown = [entry.plan[0]["expected"] for entry in foreseen(tmp_path, 3)]
    assert shown == ["0 (70 %)", "1 (51 %)", "1 (66 %)"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "1 to 31"),
        ("-1", "1 to 31"),
        ("32", "1 to 31"),
        ("many", "'many' is no date"),
        ("2026-11-04,2026-11-03", "2026-11-03 is not after 2026-11-04"),
        ("2026-11-02", "is not after 2026-11-02"),
        ("2028-11-02", "within 366 days"),
    ],
)
def test_days_that_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    write_programme(tmp_path)
    outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 0)]
    assert day(tmp_path, 0, *outcomes, f"--days={text}") == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and "--days" in said
    assert not (tmp_path / "c.db").exists()
