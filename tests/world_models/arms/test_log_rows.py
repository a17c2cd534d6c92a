"""Rows of a log that contradict each other are refused; those that need not agree are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError
from worldplan.world_models.arms.example_log import write_example_log
from worldplan.world_models.arms.tables import read_log

RULES = "arm,state,action,next_state"
REWARDS = [f"{arm},{state},{state}" for arm in ("Ann", "Bob") for state in (0, 1, 2)]


def write(folder: Path, header: str, *rows: str) -> Path:
    (folder / "rewards.csv").write_text("\n".join(["arm,state,reward", *REWARDS]) + "\n")
    (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "log.csv"


REFUSED = {
    "the next week": ("week", ["1,Ann,0,1,2", "2,Ann,1,0,1"], "line 3: arm 'Ann', week 2: state 1"),
    "in another order": ("week", ["2,Ann,1,0,1", "1,Ann,0,1,2"], "contradicts line 3 (week 1)"),
    "the next day": ("date", ["2026-11-03,Ann,0,1,2", "2026-11-04,Ann,1,0,1"], "date 2026-11-04"),
    "over a weekend": (
        "date",
        ["2026-11-06,Ann,0,1,2", "2026-11-09,Ann,1,0,1", "2026-11-10,Ann,1,0,1"],
        "line 3",
    ),
    "every week by dates": ("date", ["2026-11-02,Ann,0,1,2", "2026-11-09,Ann,1,0,1"], "line 3"),
    "every tenth step": ("step", ["10,Ann,0,1,2", "20,Ann,1,0,1"], "line 3"),
    "one time, two moves": ("week", ["1,Ann,0,1,2", "1,Ann,0,1,1"], "line 3: arm 'Ann', week 1"),
    "one time, written twice": ("time", ["1,Ann,0,1,2", "1.0,Ann,0,1,2"], "repeats line 2"),
    "a text of a time": ("week", ["a,Ann,0,1,2", "a,Ann,0,1,1"], "contradicts line 2"),
    "a word among numbers": ("week", ["1,Ann,0,1,2", "two,Ann,2,1,1"], "'two' is no number"),
    "another date format": (
        "date",
        ["2026-11-02,Ann,0,1,2", "3.11.2026,Ann,2,1,1"],
        "write it as 2026-11-28",
    ),
    "no such date": ("date", ["2026-11-30,Ann,0,1,2", "2026-11-31,Ann,2,1,1"], "is no date"),
    "a date as a number": (
        "date",
        ["20261103,Ann,0,1,2", "20261104,Ann,2,1,1"],
        "line 2: date '20261103' is no date: write YYYY-MM-DD",
    ),
    "a day as a number": ("day", ["20261103,Ann,0,1,2", "20261203,Ann,2,1,1"], "write YYYY-MM-DD"),
    "a week's day": ("date", ["2026-W45-2,Ann,0,1,2"], "'2026-W45-2' is no date: write YYYY-MM-DD"),
    "a date with an hour": ("date", ["2026-11-03T00:00,Ann,0,1,2"], "write YYYY-MM-DD"),
    "one other spelling": (
        "time",
        ["2026-11-03,Ann,0,1,2", "20261104,Ann,2,1,1"],
        "line 3: time '20261104' is no date",
    ),
    "the date of a week": ("week", ["20261103,Ann,0,1,2"], "week '20261103' is no date"),
    "the next week's number": (
        "week",
        ["2026-W45,Ann,0,1,2", "2026-W46,Ann,1,0,1"],
        "week 2026-W46: state 1 contradicts line 2",
    ),
    "a time is missing": ("week", ["1,Ann,0,1,2", ",Ann,2,1,1"], "week is empty: fill it in"),
    "a capital": ("Week", ["1,Ann,0,1,2", "2,Ann,1,0,1"], "Week 2: state 1 contradicts line 2"),
    "within an episode": ("episode,week", ["a,1,Ann,0,1,2", "a,2,Ann,1,0,1"], "line 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_contradiction(tmp_path: Path, case: str) -> None:
    column, rows, words = REFUSED[case]
    log = write(tmp_path, f"{column},{RULES}", *rows)
    with pytest.raises(DatasetError) as raised:
        read_log(log, tmp_path / "rewards.csv")
    assert words in str(raised.value) and "\n" not in str(raised.value)
    assert str(log) in str(raised.value) and ": " in str(raised.value)


TAKEN = {
    "in order": ("week", ["1,Ann,0,1,2", "2,Ann,2,0,1"]),
    "two clients": ("week", ["1,Ann,0,1,2", "2,Bob,1,0,1", "1,Bob,0,1,1"]),
    "a gap": ("week", ["1,Ann,0,1,2", "3,Ann,1,0,1", "2,Bob,1,0,1"]),
    "a holiday": ("date", ["2026-11-03,Ann,0,1,2", "2026-11-04,Bob,0,1,2", "2026-11-09,Ann,1,0,1"]),
    "a weekend between": (
        "date",
        ["2026-11-07,Bob,0,0,0", "2026-11-06,Ann,0,1,2", "2026-11-09,Ann,1,0,1"],
    ),
    "two episodes": ("episode,week", ["a,1,Ann,0,1,2", "b,2,Ann,1,0,1", "b,1,Ann,1,0,1"]),
    "without times": ("note", ["x,Ann,0,1,2", "x,Ann,1,0,1", "x,Ann,1,0,1"]),
    "weekdays": ("day", ["Mon,Ann,0,1,2", "Mon,Ann,1,0,1"]),
    "texts have no order": ("date", ["2.11.2026,Ann,0,1,2", "3.11.2026,Ann,1,0,1"]),
    "weeks of a year": ("week", ["2026-W45,Ann,0,1,2", "2026-W46,Ann,2,0,1"]),
    "many steps": ("step", ["20261103,Ann,0,1,2", "20261104,Ann,2,1,1"]),
    "one row": ("week", ["1,Ann,0,1,2"]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_no_contradiction(tmp_path: Path, case: str) -> None:
    column, rows = TAKEN[case]
    log = read_log(write(tmp_path, f"{column},{RULES}", *rows), tmp_path / "rewards.csv")
    assert log.counts.sum() == len(rows)


@given(st.integers(0, 2**31), st.booleans())
@settings(deadline=None, max_examples=40)
def test_the_pairs_of_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, seed: int, episodes: bool
) -> None:
    folder, draw = tmp_path_factory.mktemp("log"), np.random.default_rng(seed)
    rows, wrong = list[str](), False
    for arm in ("Ann", "Bob"):
        for episode in range(2 if episodes else 1):
            state = int(draw.integers(3))
            for week in range(4):
                broken = draw.random() < 0.08
                wrong |= broken and week > 0
                state = (state + int(broken)) % 3
                after = int(draw.integers(3))
                rows.append(f"{episode},{week},{arm},{state},{draw.integers(2)},{after}")
                state = after
    draw.shuffle(rows)
    log = write(folder, f"{'episode' if episodes else 'x'},week,{RULES}", *rows)
    if wrong:
        with pytest.raises(DatasetError, match="contradicts"):
            read_log(log, folder / "rewards.csv")
    else:
        assert read_log(log, folder / "rewards.csv").counts.sum() == len(rows)


def test_the_example_log_is_consistent(tmp_path: Path) -> None:
    write_example_log(tmp_path, 6, weeks=35, term=10)
    assert read_log(tmp_path / "log.csv", tmp_path / "rewards.csv").counts.sum() == 6 * 35
    text = (tmp_path / "log.csv").read_text().replace("week,episode,", "week,term,", 1)
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DatasetError, match="add a column episode"):
        read_log(tmp_path / "log.csv", tmp_path / "rewards.csv")
