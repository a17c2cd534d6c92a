"""`bandits decide --date`: rules that see the day, last visits, attributes, a staff calendar."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main

RULES = """
from worldplan.milp.sets import rules

def due(block, today):
    rules.at_least_once_in(block, today, days=10)

def weekday(block, today):
    if today.date is not None and today.date.weekday() == 6:
        rules.must_visit(block, today, ["c"])

def careless(block, today):
    if today.date.weekday() == 6:
        rules.must_visit(block, today, ["c"])

def district(block, today):
    rules.at_least_per_group(block, today, "district", 1)

def wrong(block, today):
    rules.must_visit(block, today, ["cc"])

def seen(block, today):
    print("seen", today.states, today.steps_left, today.workers, today.date)

def workers(block, today):
    rules.assign_workers(block, today, {"a": 2, "b": 3, "c": 4})

def three(block, today, more):
    pass
"""
VISITS = "arm,date\na,2026-11-28\nb,2026-11-01\nb,2026-11-27\nc,2026-11-19\n"
LOG = "arm,date,state,action,next_state\na,2026-11-28,0,0,0\na,2026-11-02,0,1,0\n"
CALENDAR = "worker,date,hours\nx,2026-11-29,away\ny,2026-11-29,2\nx,2026-11-30,4\n"


@pytest.fixture
def own(desk: Desk) -> Desk:
    desk.write("day_rules.py", RULES)
    desk.write("visits.csv", VISITS)
    desk.write("calendar.csv", CALENDAR)
    desk.write("districts.csv", "arm,district,name\na,north,A\nb,north,B\nc,south,C\n")
    return desk


def decide(desk: Desk, *more: str) -> pd.DataFrame:
    words = ["small.yaml", "--state", "today.csv", "--reasons", "0", *more]
    assert main(["bandits", "decide", *words]) == 0
    return pd.read_csv("decision.csv")


@pytest.mark.parametrize("policy", ["fluid", "myopic", "whittle"])
def test_who_is_due_is_on_the_list(own: Desk, policy: str) -> None:
    rules = {"rules": "day_rules.py:due", "last_visits": "visits.csv", "budget": 1}
    own.scenario("budget", constraint=rules)
    for date, due in (("2026-11-29", "c"), ("2026-12-06", None)):
        if due is None:  # two are due on one day
            own.decide(
                "once_in_10_days[c]", "at most 1 visits a day", more=["--date", "2026-12-07"]
            )
            continue
        table = decide(own, "--date", date, "--policy", policy)
        assert table["arm"].tolist() == [due]


def test_visits_in_a_log_count_and_other_rows_do_not(own: Desk) -> None:
    own.write("moves.csv", LOG + "b,2026-11-28,0,1,0\nc,2026-11-28,0,1,0\n")
    rules = {"rules": "day_rules.py:due", "last_visits": "moves.csv", "budget": 1}
    own.scenario("budget", constraint=rules)
    assert decide(own, "--date", "2026-11-29")["arm"].tolist() == ["a"]


def test_the_day_of_the_week(own: Desk) -> None:
    own.scenario("custom", constraint={"rules": "day_rules.py:weekday"})
    assert "c" in decide(own, "--date", "2026-11-29")["arm"].tolist()
    own.scenario("custom", constraint={"rules": "day_rules.py:careless"})
    own.decide("day_rules.py", "today.date is None", more=["--date", "2026-11-29"])


def test_at_least_one_in_each_district(own: Desk) -> None:
    constraint = {
        "rules": "day_rules.py:district", "attributes": "districts.csv", "budget": 2,
    }  # fmt: skip
    own.scenario("budget", constraint=constraint)
    assert "c" in decide(own)["arm"].tolist()
    own.scenario("budget", constraint=constraint | {"budget": 1})
    own.decide("at_least_per_district[south]", "allow 2 visits a day")


@pytest.mark.parametrize(("date", "served"), [("2026-11-29", {"a"}), ("2026-11-30", None)])
def test_the_staff_calendar_changes_a_day(own: Desk, date: str, served: set[str] | None) -> None:
    own.scenario("capacity", constraint={"calendar": "calendar.csv"})
    table = decide(own, "--date", date)
    usual = own.folder / "usual.csv"
    own.scenario("capacity")
    decide(own, "--output", str(usual))
    if served is None:
        pd.testing.assert_frame_equal(table, pd.read_csv(usual))
    else:
        assert set(table["arm"]) == served and set(table["worker"]) == {"y"}


def test_workers_of_rules_are_in_the_table(own: Desk) -> None:
    own.scenario("custom", constraint={"rules": "day_rules.py:workers", "workers": "workers.csv"})
    table = decide(own)
    assert set(table["worker"]) <= {"x", "y"} and table["worker"].notna().all()


def test_rules_see_the_day(own: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    constraint = {
        "rules": "day_rules.py:seen",
        "workers": "workers.csv",
        "calendar": "calendar.csv",
    }
    own.scenario("custom", constraint=constraint)
    decide(own, "--date", "2026-11-29", "--steps_left", "2")
    text = capsys.readouterr().out
    assert "seen None None ('x', 'y') None" in text
    assert "seen (0, 1, 0) 2 ('y',) 2026-11-29" in text


BAD = {"rules": "day_rules.py:due", "last_visits": "visits.csv", "budget": 1}


@pytest.mark.parametrize(
    ("constraint", "more", "words"),
    [
        (BAD, [], ["--date is missing", "last_visits"]),
        (BAD, ["--date", "29.11.2026"], ["--date '29.11.2026' is no date", "YYYY-MM-DD"]),
        (BAD, ["--date", "2026-11-20"], ["visits.csv, line 2", "is after today (2026-11-20)"]),
        ({"rules": "day_rules.py:wrong", "budget": 1}, [], ["'cc' is unknown", "did you mean c"]),
        ({"rules": "day_rules.py:three", "budget": 1}, [], ["build(block, today)"]),
        ({"rules": "day_rules.py:district", "budget": 2}, [], ["'district' is unknown"]),
        ({"rules": "nowhere.py:build", "budget": 1}, [], ["nowhere.py", "names no file"]),
        ({"calendar": "calendar.csv"}, [], ["constraint.calendar has no effect on kind 'budget'"]),
    ],
)
def test_what_is_refused(
    own: Desk, constraint: dict[str, object], more: list[str], words: list[str]
) -> None:
    own.scenario("budget", constraint=constraint)
    own.decide(*words, more=more)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("calendar.csv", "worker,date,hours\nz,2026-11-29,2\n", ["line 2", "'z' is unknown"]),
        ("calendar.csv", "worker,date,hours\nx,today,2\n", ["line 2", "'today' is no date"]),
        ("calendar.csv", "worker,date,hours\nx,2026-11-29,-2\n", ["line 2", "hours '-2'"]),
        ("calendar.csv", CALENDAR + "x,2026-11-29,3\n", ["line 5", "another row"]),
        (
            "calendar.csv",
            "worker,date,hours\nx,2026-11-29,away\ny,2026-11-29,away\n",
            ["every worker is away on 2026-11-29"],
        ),
        ("districts.csv", "arm,district\na,north\nb,north\n", ["arm 'c' has no row"]),
        ("districts.csv", "arm,district\na,north\nz,north\n", ["line 3", "'z'"]),
        ("districts.csv", "arm\na\nb\nc\n", ["no column but arm"]),
        ("visits.csv", "arm,date\nz,2026-11-01\n", ["line 2", "'z' is not in the rewards file"]),
    ],
)
def test_bad_files_are_refused_by_line(own: Desk, file: str, text: str, words: list[str]) -> None:
    own.write(file, text)
    own.scenario(
        "capacity",
        constraint={
            "rules": "day_rules.py:weekday",
            "calendar": "calendar.csv",
            "attributes": "districts.csv",
            "last_visits": "visits.csv",
        },
    )
    own.decide(*words, more=["--date", "2026-11-29"])


@pytest.mark.parametrize("kind", ["budget", "capacity", "path"])
def test_a_number_in_rules_is_the_place_in_the_rewards_file(desk: Desk, kind: str) -> None:
    """A route had the order of its connections: the rule held for another arm."""
    desk.write("links.csv", "from,to\nc,b\nb,a\n")
    rule = "    block.out = p.Constraint(expr=block.a[0] <= 0)\n"
    rule = "import pyomo.environ as p\ndef build(block):\n" + rule
    desk.write("rules.py", rule)
    wide = {"budget": {"budget": 3}, "path": {"budget": 3, "source": "b", "moves": 9}}.get(kind, {})
    desk.scenario(kind, constraint={"rules": "rules.py:build"} | wide)
    listed = decide(desk, "--policy", "myopic")["arm"].tolist()
    assert "a" not in listed and "c" in listed
