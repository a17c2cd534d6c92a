"""The daily routine: what it decides, what it stores, and that a repeated day changes nothing."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.places import ROOT
from tests.worldplan.routine.builders import (
    NAMES,
    STATES,
    content,
    day,
    days,
    rows,
    setup_of,
    write_outcomes,
    write_programme,
    write_rows,
)
from worldplan.cli import main
from worldplan.routine.database import Database
from worldplan.routine.history import observed_moves
from worldplan.world_models.arms.groups import Tree
from worldplan.world_models.arms.rewards import read_reward_table


def test_a_day_decides_what_decide_does_with_all_moves_so_far(tmp_path: Path) -> None:
    write_programme(tmp_path)
    days(tmp_path, 4)
    moves = pd.read_csv(tmp_path / "log.csv")
    chosen = rows(
        tmp_path, "select date, client, chosen, state, next_state from visits order by date"
    )
    seen = pd.DataFrame(chosen, columns=["week", "arm", "action", "state", "next_state"])
    whole = pd.concat([moves, seen.dropna().astype({"next_state": int})])
    assert len(whole) == len(moves) + 3 * len(NAMES)
    today = seen[seen["next_state"].isna()][["arm", "state"]]
    whole.drop(columns="week").to_csv(tmp_path / "log.csv", index=False)  # two kinds of times
    today.to_csv(tmp_path / "today.csv", index=False)
    output = tmp_path / "decision.csv"
    scenario = str(tmp_path / "clinic.yaml")
    words = ["--state", str(tmp_path / "today.csv"), "--output", str(output)]
    assert main(["bandits", "decide", scenario, *words]) == 0
    (plan,) = rows(tmp_path, "select plan from days order by date desc limit 1")[0]
    ours = pd.DataFrame(json.loads(plan))
    theirs = pd.read_csv(output)
    pd.testing.assert_frame_equal(ours, theirs[ours.columns], check_dtype=False)


def test_moves_are_counted_from_observed_states_and_what_was_done(tmp_path: Path) -> None:
    write_programme(tmp_path)
    days(tmp_path, 2)
    absent = ["--absent", "Ann", "--outcomes"]
    lines = ["Bob,1,0", "Cid,2,1", "Dee,0,0", "Eve,1,1"]
    file = write_rows(tmp_path / "o.csv", "arm,state,visited", lines)
    assert day(tmp_path, 2, *absent, file) == 0
    assert day(tmp_path, 3, "--outcomes", write_outcomes(tmp_path / "o.csv", 3)) == 0
    rewards = read_reward_table(tmp_path / "rewards.csv")
    reward, names = rewards.reward, rewards.arm_names
    setup = setup_of(tmp_path)
    with Database(setup.database, "clinic").read() as connection:
        log, imported, observed = observed_moves(connection, dt.date(2027, 1, 1), names, reward)
    assert imported == 30
    expected = np.zeros((len(NAMES), 2, STATES, STATES), int)
    for _, arm, state, action, after in pd.read_csv(tmp_path / "log.csv").itertuples(index=False):
        expected[NAMES.index(arm), action, state, after] += 1
    first, second, third, fourth = (
        np.random.default_rng(seed).integers(STATES, size=len(NAMES)) for seed in (0, 1, 2, 3)
    )
    third[1:] = 1, 2, 0, 1
    for place, name in enumerate(NAMES):
        done = dict(rows(tmp_path, f"select date, chosen from visits where client = '{name}'"))
        chosen = list(dict(sorted(done.items())).values())
        expected[place, chosen[0], first[place], second[place]] += 1
        if name != "Ann":  # her state on the third day was not seen
            visited = {"Bob": 0, "Cid": 1, "Dee": 0, "Eve": 1}[name]
            expected[place, visited, second[place], third[place]] += 1
            expected[place, chosen[2], third[place], fourth[place]] += 1
    np.testing.assert_array_equal(log.counts, expected)
    assert observed == 5 + 4 + 4


def test_a_repeated_day_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    days(tmp_path, 3)
    before, lists = content(tmp_path), sorted((tmp_path / "c-lists").rglob("*"))
    texts = [path.read_text() for path in lists if path.is_file()]
    capsys.readouterr()
    outcomes = write_outcomes(tmp_path / "o.csv", 2)
    for more in ([], ["--outcomes", outcomes], ["--policy", "fluid"]):
        assert day(tmp_path, 2, *more) == 0
        assert "decided before" in capsys.readouterr().out
    assert content(tmp_path) == before
    assert [path.read_text() for path in lists if path.is_file()] == texts
    assert rows(tmp_path, "select count(*) from events where what = 'decided'") == [(3,)]


def test_who_joins_leaves_is_absent_or_forced(tmp_path: Path) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    write_programme(tmp_path, names=(*NAMES, "Fay"))
    write_programme_log = (tmp_path / "log.csv").read_text().replace(",Fay,", ",Ann,")
    assert write_programme_log  # the log was imported: a changed file is refused below
    lines = [f"{name},1" for name in (*NAMES[1:], "Fay")]
    file = write_rows(tmp_path / "o.csv", "arm,state", lines)
    assert day(tmp_path, 1, "--outcomes", file, "--join") == 2  # the log changed
    _restore_log(tmp_path)
    more = [
        "--join",
        "--leave",
        "Eve",
        "--absent",
        "Ann",
        "--force",
        "Fay",
        "--forbid",
        "Bob",
    ]
    assert day(tmp_path, 1, "--outcomes", file, *more) == 0
    there = rows(
        tmp_path, "select client, present, forced, chosen from visits where date like '%-03'"
    )
    assert {name for name, *_ in there} == {"Ann", "Bob", "Cid", "Dee", "Fay"}
    found = {name: rest for name, *rest in there}
    assert found["Ann"] == [0, None, 0] and found["Bob"] == [1, "out", 0]
    assert found["Fay"] == [1, "in", 1]
    left = rows(tmp_path, "select name from clients where left is not null")
    assert left == [("Eve",)]
    lines = [f"{name},1" for name in ("Ann", "Bob", "Cid", "Dee", "Fay")]
    file = write_rows(tmp_path / "o.csv", "arm,state", lines)
    assert day(tmp_path, 2, "--outcomes", file) == 0
    back = write_rows(tmp_path / "o.csv", "arm,state", [*lines, "Eve,2"])
    assert day(tmp_path, 3, "--outcomes", back) == 2
    assert day(tmp_path, 3, "--outcomes", back, "--join") == 0
    assert rows(tmp_path, "select state from visits where client = 'Eve' order by date")[-1] == (2,)


def _restore_log(folder: Path) -> None:
    names = (folder / "rewards.csv").read_text()
    write_programme(folder)
    (folder / "rewards.csv").write_text(names)
    with (folder / "costs.csv").open("a") as file:
        file.write("Fay,2\n")


def test_a_day_is_decided_again_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    days(tmp_path, 2)
    (plan,) = rows(tmp_path, "select plan from days order by date desc limit 1")[0]
    out = json.loads(plan)[0]["arm"]
    assert day(tmp_path, 1, "--forbid", out) == 2
    assert "--redo" in capsys.readouterr().err
    assert day(tmp_path, 1, "--forbid", out, "--redo", "--by", "Kim") == 0
    ((revision, again),) = rows(
        tmp_path, "select revision, plan from days order by date desc limit 1"
    )
    assert revision == 2 and out not in {row["arm"] for row in json.loads(again)}
    ((by, detail),) = rows(tmp_path, "select by, detail from events where what = 'decided again'")
    assert by == "Kim" and json.loads(detail)["before"] == json.loads(plan)
    assert day(tmp_path, 2, "--outcomes", write_outcomes(tmp_path / "o.csv", 2)) == 0
    assert day(tmp_path, 1, "--redo") == 2  # not the last day


def test_outcomes_are_corrected_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    days(tmp_path, 2)
    (before,) = rows(tmp_path, "select next_state from visits where client = 'Bob' limit 1")[0]
    file = write_rows(tmp_path / "o.csv", "arm,state", [f"Bob,{(before + 1) % 3}"])
    assert day(tmp_path, 1, "--outcomes", file) == 2
    assert "contradicts" in capsys.readouterr().err
    assert day(tmp_path, 1, "--outcomes", file, "--correct") == 0
    both = rows(tmp_path, "select next_state, state from visits where client = 'Bob' order by date")
    assert both[0][0] == both[1][1] == (before + 1) % 3
    assert len(rows(tmp_path, "select * from events where what = 'outcome corrected'")) == 1


def test_states_that_were_not_seen_are_assumed_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    assert day(tmp_path, 1) == 2
    assert "--assume" in capsys.readouterr().err
    assert day(tmp_path, 1, "--assume") == 0
    assert "clients not seen 5" in capsys.readouterr().out
    assert rows(tmp_path, "select distinct observed from visits order by date") == [(1,), (0,)]


def test_files_for_the_workers(tmp_path: Path) -> None:
    names = ("=1+1", "<b>Bob", 'Cid, the "third"', "-5", "+x")
    write_programme(tmp_path, names=names)
    quoted = [f'"{name.replace(chr(34), 2 * chr(34))}"' for name in names]
    for file in ("rewards.csv", "costs.csv", "log.csv"):
        text = (tmp_path / file).read_text()
        for name, quote in zip(names, quoted, strict=True):
            text = text.replace(f"\n{name},", f"\n{quote},").replace(f",{name},", f",{quote},")
        (tmp_path / file).write_text(text)
    workers = ["/etc/x,9", "=A1,9"]
    write_rows(tmp_path / "workers.csv", "worker,capacity", workers)
    file = write_rows(tmp_path / "o.csv", "arm,state", [f"{quote},0" for quote in quoted])
    assert day(tmp_path, 0, "--outcomes", file, "--force", '=1+1,<b>Bob,"Cid, the ""third"""') == 0
    folder = tmp_path / "c-lists" / "2026-11-02"
    files = {path.name for path in folder.iterdir()}
    assert {"all.csv", "list.html"} < files
    assert files - {"all.csv", "list.html"} <= {"worker-etc_x.csv", "worker-A1.csv"}
    table = pd.read_csv(folder / "all.csv")
    assert {"'=1+1", "<b>Bob"} <= set(table["arm"])
    assert not table["worker"].str.startswith("=").any()
    page = (folder / "list.html").read_text()
    assert "<b>Bob" not in page and "&lt;b&gt;Bob" in page
    table["state"] = 2  # a list that was filled in comes back as outcomes
    table.to_csv(tmp_path / "back.csv", index=False)
    outcomes = ["--outcomes", str(tmp_path / "back.csv"), "--assume"]
    assert day(tmp_path, 1, *outcomes) == 0
    query = "select distinct client from visits where next_state = 2"
    assert {name for (name,) in rows(tmp_path, query)} >= {"=1+1", "<b>Bob", 'Cid, the "third"'}


def test_no_file_of_the_programme_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    own = tmp_path / "worker-hours.csv"
    own.write_text("mine")
    file = write_outcomes(tmp_path / "all.csv", 0)
    assert day(tmp_path, 0, "--outcomes", file, "--output", str(tmp_path)) == 2
    assert "all.csv: the command reads this file" in capsys.readouterr().err
    file = write_outcomes(tmp_path / "o.csv", 0)
    assert day(tmp_path, 0, "--outcomes", file, "--output", str(tmp_path)) == 0
    assert own.read_text() == "mine" and (tmp_path / "worker-Xenia.csv").exists()
    scenario, output = str(tmp_path / "clinic.yaml"), str(tmp_path / "c.db")
    assert main(["bandits", "decide", scenario, "--state", file, "--output", output]) == 2
    assert "the command reads this file" in capsys.readouterr().err


def test_a_shipped_programme_is_kept_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["bandits", "day", "configs/bandits/from_logs.yaml", "--date", "2026-11-30"]
    assert main(words) == 0 == main(words)
    assert {path.name for path in tmp_path.iterdir()} >= {"from_logs.db", "from_logs-lists"}
    assert not list((ROOT / "configs").rglob("*.db"))


RULES = """
from worldplan.milp.sets.rules import at_least_once_in
def build(block, today):
    at_least_once_in(block, today, days=3)
    block.two = __import__("pyomo.environ").environ.Constraint(expr=sum(block.a.values()) <= 2)
"""


def test_rules_see_the_days_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(RULES)
    files = {"rules": "rules.py:build", "last_visits": "last.csv"}
    write_programme(tmp_path, names=NAMES[:4], kind="custom", costs=None, **files)
    earlier = ["Ann,2026-10-31", "Bob,2026-10-31", "Cid,2026-11-01", "Dee,2026-11-01"]
    write_rows(tmp_path / "last.csv", "arm,date", earlier)
    for number in range(6):
        file = write_outcomes(tmp_path / "o.csv", number, NAMES[:4])
        assert day(tmp_path, number, "--outcomes", file) == 0
    seen = rows(tmp_path, "select date, client from visits where chosen order by date")
    for name in NAMES[:4]:
        before = [row.split(",")[1] for row in earlier if name in row]
        days_of = [*before, *(date for date, client in seen if client == name)]
        dates = [dt.date.fromisoformat(date) for date in days_of]
        assert len(dates) > 1
        gaps = [(b - a).days for a, b in zip(dates, dates[1:], strict=False)]
        assert all(gap <= 3 for gap in gaps), (name, dates)


def test_the_staff_calendar_holds_on_its_day(tmp_path: Path) -> None:
    write_programme(tmp_path, calendar="calendar.csv")
    lines = ["Xenia,2026-11-03,away", "Yann,2026-11-03,2"]
    write_rows(tmp_path / "calendar.csv", "worker,date,hours", lines)
    days(tmp_path, 3)
    plans = [json.loads(plan) for (plan,) in rows(tmp_path, "select plan from days order by date")]
    assert {row["worker"] for row in plans[0]} == {"Xenia", "Yann"}
    assert [row["worker"] for row in plans[1]] == ["Yann"] and plans[1][0]["cost"] == 2
    assert {row["worker"] for row in plans[2]} == {"Xenia", "Yann"}


def test_the_first_day_decided_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    other = write_rows(tmp_path / "o.csv", "arm,state", [f"{name},2" for name in NAMES])
    assert day(tmp_path, 0, "--outcomes", other) == 2
    assert "--redo" in capsys.readouterr().err
    assert day(tmp_path, 0, "--outcomes", other, "--redo", "--leave", "Eve") == 0
    there = rows(tmp_path, "select client, state from visits")
    assert there == [(name, 2) for name in NAMES[:-1]]
    assert rows(tmp_path, "select name from clients where left is not null") == [("Eve",)]
    assert len(rows(tmp_path, "select * from events where what = 'first state corrected'")) >= 1


def test_a_repeated_day_names_the_files_that_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    before = content(tmp_path)
    write_rows(tmp_path / "workers.csv", "worker,capacity", ["Xenia,9", "Yann,9"])
    capsys.readouterr()
    assert day(tmp_path, 0) == 0
    assert "changed since the day was decided: workers.csv (--redo" in capsys.readouterr().out
    assert content(tmp_path) == before
    assert day(tmp_path, 0, "--redo") == 0
    assert "changed since" not in capsys.readouterr().out


def test_beliefs_of_a_log_that_grows(tmp_path: Path) -> None:
    write_programme(tmp_path)
    days(tmp_path, 1)
    seen = [write_rows(tmp_path / f"{n}.csv", "arm,state", ["Ann,1", "Bob,2"][n:]) for n in (0, 1)]
    for number, file in enumerate(seen, start=1):
        assert day(tmp_path, number, "--outcomes", file, "--assume") == 0
    assert day(tmp_path, 3, "--assume") == 0
    rewards = read_reward_table(tmp_path / "rewards.csv")
    reward, names = rewards.reward, rewards.arm_names
    with Database(setup_of(tmp_path).database, "clinic").read() as connection:
        log, *_ = observed_moves(connection, dt.date(2026, 11, 5), names, reward)
    prior = Tree(log.counts).borrow(5.0).concentration
    transition = log.posterior(concentration=prior).mean().transition
    for arm, name in enumerate(NAMES):
        columns = "state, observed, chosen, belief"
        query = f"select {columns} from visits where client = '{name}' order by date"
        table = rows(tmp_path, query)
        last = max(number for number, row in enumerate(table) if row[1])
        belief = np.eye(STATES)[table[last][0]]
        for _, _, chosen, _ in table[last:3]:
            belief = belief @ transition[arm, chosen]
        assert table[3][:2] == (int(belief.argmax()), 0), name
        np.testing.assert_allclose(json.loads(table[3][3]), belief, rtol=1e-12)
    firsts = {
        name: rows(tmp_path, f"select sum(observed) from visits where client = '{name}'")
        for name in ("Ann", "Bob", "Cid")
    }
    assert firsts == {"Ann": [(2,)], "Bob": [(3,)], "Cid": [(1,)]}
