"""Clients who were not seen: their beliefs, worked out by hand, and the lists that follow."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import day, rows, setup_of, write_rows
from worldplan.routine.database import Database
from worldplan.routine.day import read_day
from worldplan.routine.explain import ExplainedDay
from worldplan.routine.web import create_app

# A visit is worth 0.8 in Ann's state 0, 0.1 in her state 1, and 0.2 to Bob. The probability of
# state 1 tomorrow, by client, action and state:
GOOD = {
    ("Ann", 0): (0.1, 0.6),
    ("Ann", 1): (0.9, 0.7),
    ("Bob", 0): (0.4, 0.4),
    ("Bob", 1): (0.6,) * 2,
}


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Two days: Ann was last seen on the first one, in state 1, and not visited."""
    moves = [
        f"{name},{state},{action},{after},{(good if after else 1 - good):g}"
        for (name, action), both in GOOD.items()
        for state, good in enumerate(both)
        for after in (0, 1)
    ]
    write_rows(tmp_path / "moves.csv", "arm,state,action,next_state,probability", moves)
    rewards = [f"{name},{state},{state}" for name in ("Ann", "Bob") for state in (0, 1)]
    write_rows(tmp_path / "rewards.csv", "arm,state,reward", rewards)
    programme = {
        "transitions": "moves.csv",
        "rewards": "rewards.csv",
        "horizon": 3,
        "constraint": {"kind": "budget", "budget": 1},
    }
    scenario = {"name": "two", "programme": programme, "database": "c.db"}
    (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(scenario))
    both = write_rows(tmp_path / "o.csv", "arm,state", ["Ann,1", "Bob,0"])
    assert day(tmp_path, 0, "--policy", "myopic", "--outcomes", both) == 0
    assert _list(tmp_path) == ["Bob"]
    assert _unseen_day(tmp_path, 1) == 0
    return tmp_path


def _unseen_day(folder: Path, number: int, *more: str) -> int:
    bob = write_rows(folder / "o.csv", "arm,state", ["Bob,0"])
    return day(folder, number, "--policy", "myopic", "--assume", "--outcomes", bob, *more)


def _plan(folder: Path) -> list[dict[str, object]]:
    ((plan,),) = rows(folder, "select plan from days order by date desc limit 1")
    return list(json.loads(plan))


def _list(folder: Path) -> list[object]:
    return [row["arm"] for row in _plan(folder)]


def _belief(folder: Path) -> list[float]:
    query = "select belief from visits where client = 'Ann' order by date desc limit 1"
    return list(json.loads(rows(folder, query)[0][0]))


def test_the_list_follows_the_belief_and_not_the_most_probable_state(clinic: Path) -> None:
    assert _belief(clinic) == pytest.approx([0.4, 0.6])
    # 0.4 x 0.8 + 0.6 x 0.1 = 0.38 is more than Bob's 0.2, and that more than the 0.1 of state 1
    words = "not seen for 1 day: most likely state 1 (60 %)"
    assert _plan(clinic) == [{"arm": "Ann", "state": None, "unseen": words}]
    listed = (clinic / "c-lists" / "2026-11-03" / "all.csv").read_text().splitlines()
    assert listed == ["arm,state,unseen", f"Ann,,{words}"]
    assert words in (clinic / "c-lists" / "2026-11-03" / "list.html").read_text()


def test_a_belief_follows_what_was_done(clinic: Path) -> None:
    assert _unseen_day(clinic, 4) == 0  # Ann was on the list of the second day
    assert _belief(clinic) == pytest.approx([0.4 * 0.1 + 0.6 * 0.3, 0.4 * 0.9 + 0.6 * 0.7])
    page = TestClient(create_app(setup_of(clinic)), base_url="http://localhost")
    body = {"version": 1, "state": None, "visited": False, "note": "was not there"}
    assert page.put("/api/days/2026-11-03/outcomes/Ann", json=body).status_code == 200
    assert day(clinic, 4, "--policy", "myopic", "--assume", "--redo") == 0
    assert _belief(clinic) == pytest.approx([0.4 * 0.9 + 0.6 * 0.4, 0.4 * 0.1 + 0.6 * 0.6])
    words = "not seen for 4 days: most likely state 0 (60 %)"
    assert _plan(clinic)[0]["unseen"] == words
    assert words in page.get("/days/2026-11-06").text
    assert words in page.get("/days/2026-11-06/outcomes").text
    assert "0 (60 %)" in page.get("/week").text
    visit = page.get("/api/days/2026-11-06").json()["visits"][0]
    assert visit["belief"] == pytest.approx([0.6, 0.4]) and visit["last_seen"] == "2026-11-02"


def test_reasons_are_those_of_the_belief_whatever_is_entered_later(clinic: Path) -> None:
    for _ in range(2):
        day_ = read_day(Database(clinic / "c.db", "two"))
        assert day_ is not None
        reasons = ExplainedDay(Database(clinic / "c.db", "two"), setup_of(clinic), day_).reasons()
        (ann,) = reasons.chosen
        assert ann.name == "Ann" and ann.benefit == pytest.approx(0.38) and ann.state is None
        assert ann.cost == pytest.approx(0.18)
        page = TestClient(create_app(setup_of(clinic)), base_url="http://localhost")
        assert "most likely state 1 (60 %)" in page.get("/days/2026-11-03/why").text
        late = write_rows(clinic / "o.csv", "arm,state,date", ["Ann,1,2026-11-02"])
        assert day(clinic, 1, "--outcomes", late) == 0
    assert rows(clinic, "select observed, state from visits where client = 'Ann'") == [(1, 1)] * 2


def test_somebody_who_was_never_seen(clinic: Path) -> None:
    (clinic / "c.db").unlink()
    assert day(clinic, 0, "--policy", "myopic", "--assume") == 0
    assert _plan(clinic)[0]["unseen"] == "never seen: most likely state 0 (50 %)"
    assert day(clinic, 1, "--policy", "myopic", "--assume") == 0
    assert _belief(clinic) == pytest.approx([0.5 * 0.1 + 0.5 * 0.3, 0.5 * 0.9 + 0.5 * 0.7])


def test_an_absent_client_has_a_belief_without_being_asked_for(clinic: Path) -> None:
    bob = write_rows(clinic / "o.csv", "arm,state", ["Bob,1"])
    assert day(clinic, 2, "--policy", "myopic", "--outcomes", bob, "--absent", "Ann") == 0
    assert _list(clinic) == ["Bob"] and _belief(clinic) == pytest.approx([0.22, 0.78])


def test_a_policy_that_needs_states_is_refused_with_a_remedy(
    clinic: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (clinic / "own_states.py").write_text(
        "from worldplan.planners import Decision, Planner\n"
        "class First(Planner):\n"
        "    def __init__(self, instance):\n"
        "        self.action = instance.actions.default()\n"
        "    def plan(self, observation):\n"
        "        observation['state'][0]\n"
        "        return Decision(self.action, None, None, 'heuristic', 0.0)\n"
    )
    monkeypatch.syspath_prepend(str(clinic))
    capsys.readouterr()
    assert day(clinic, 2, "--policy", "own_states:First", "--assume") == 2
    said = capsys.readouterr().err
    assert "observation['belief']" in said and said.count("\n") == 1
    both = write_rows(clinic / "o.csv", "arm,state", ["Ann,0", "Bob,0"])
    assert day(clinic, 2, "--policy", "own_states:First", "--outcomes", both) == 0


def test_a_database_of_version_1_is_read_and_decided_on(clinic: Path) -> None:
    with sqlite3.connect(clinic / "c.db") as connection:
        for column in ("belief", "last_seen", "decided_state"):
            connection.execute(f"alter table visits drop column {column}")
        connection.execute("update programme set schema_version = 1")
        old = "json_replace(plan, '$[0].state', 1)"
        connection.execute(f"update days set plan = {old} where date = '2026-11-03'")
    page = TestClient(create_app(setup_of(clinic)), base_url="http://localhost")
    assert "1 (assumed)" in page.get("/days/2026-11-03/outcomes").text
    assert page.get("/days/2026-11-03/reasons").status_code == 404
    reasons = page.get("/api/days/2026-11-03/reasons").json()
    assert reasons["chosen"][0]["name"] == "Bob"  # by the most probable state, as it was decided
    assert day(clinic, 2, "--policy", "myopic", "--assume") == 0
    assert _belief(clinic) == pytest.approx([0.22, 0.78])
    assert rows(clinic, "select schema_version from programme") == [(2,)]
    assert dt.date.fromisoformat(rows(clinic, "select max(last_seen) from visits")[0][0])
