"""`bandits decide` for clients whose state is not known today."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main

TODAY = "arm,state,last_state,days_since,visited_then\na,,0,2,1\nb,1,,,\nc,0,,,\n"
RULES = """
def seen(block, today):
    print("seen", today.states)
"""
OWN = """
from worldplan.planners import Decision, Planner

class Lazy(Planner):
    def __init__(self, instance):
        self.instance = instance

    def plan(self, observation):
        print("own", sorted(observation))
        return Decision(self.instance.actions.default(), None, None, "heuristic", 0.0)
"""


def decide(*more: str) -> pd.DataFrame:
    words = ["small.yaml", "--state", "today.csv", *more]
    assert main(["bandits", "decide", *words]) == 0
    return pd.read_csv("decision.csv")


def written(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((desk.folder / "day.json").read_text())["unseen"]
    return found


@pytest.mark.parametrize("policy", ["fluid", "myopic", "whittle", "iterative_myopic"])
def test_a_client_who_was_not_seen_is_on_the_list(
    desk: Desk, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.scenario("budget", constraint={"budget": 3})
    desk.write("today.csv", TODAY)
    table = decide("--policy", policy, "--json", "day.json")
    row = table.set_index("arm").loc["a"]
    assert pd.isna(row["state"]) and row["unseen"].startswith("not seen for 2 days: most likely")
    assert table.set_index("arm")["unseen"].isna().sum() == 2
    out = " ".join(capsys.readouterr().out.split())
    assert f"a: {row['unseen']}" in out and ("heuristic" in out) == (policy == "whittle")
    (unseen,) = written(desk)
    # passive moves of a go to state 0 with 0.7, a visit to state 1 with 0.7
    assert unseen["belief"] == pytest.approx([0.3 * 0.7 + 0.7 * 0.7, 0.3 * 0.3 + 0.7 * 0.3])
    assert unseen["days_since"] == 2 and unseen["words"] == row["unseen"]


def test_everybody_seen_is_the_same_table(desk: Desk) -> None:
    desk.scenario("budget", constraint={"budget": 3})
    before = decide("--json", "day.json")
    assert "unseen" not in before and written(desk) == []
    desk.write("today.csv", "arm,state,probability\na,0,1\nb,1,1\nc,0,1\n")
    pd.testing.assert_frame_equal(before, decide())
    desk.write("today.csv", "arm,last_state,days_since\na,0,0\nb,1,0\nc,0,0\n")
    pd.testing.assert_frame_equal(before, decide())


def test_rules_see_none_for_an_unknown_state(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write("seen_rules.py", RULES)
    desk.write("today.csv", TODAY)
    desk.scenario("custom", constraint={"rules": "seen_rules.py:seen"})
    decide("--reasons", "0")
    assert "seen (None, 1, 0)" in capsys.readouterr().out


def test_a_policy_of_your_own_gets_the_belief(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(desk.folder))
    desk.write("own_lazy.py", OWN)
    desk.write("today.csv", TODAY)
    desk.scenario()
    decide("--policy", "own_lazy:Lazy")
    assert "own ['belief', 'steps_left']" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            TODAY.replace("a,,0,2,1", "a,,,,"),
            ["today.csv, line 2", "'state' is empty", "days_since"],
        ),
        (TODAY.replace("a,,0,2,1", "a,,0,-1,"), ["today.csv, line 2", "days_since -1"]),
        (TODAY.replace("a,,0,2,1", "a,,0,0.5,"), ["today.csv, line 2", "days_since '0.5'"]),
        ("arm,state,probability\na,0,0.9\nb,1,1\nc,0,1\n", ["line 2", "sum to 0.9"]),
        (TODAY + "a,0,,,\n", ["line 5", "this arm already appeared on line 2"]),
    ],
)
def test_what_is_refused(desk: Desk, text: str, words: list[str]) -> None:
    desk.scenario()
    desk.write("today.csv", text)
    desk.decide(*words)


MOVES = "arm,state,action,next_state\n" + "a,0,1,1\n" * 3 + "a,1,0,0\n" * 2 + "b,1,0,0\nb,1,1,1\n"


@pytest.mark.parametrize("members", [0, 3])
def test_how_many_moves_stand_behind_a_client(
    desk: Desk, members: int, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write("log.csv", MOVES)
    desk.write("today.csv", TODAY)
    learned = {"transitions": None, "log": "log.csv", "members": members}
    desk.scenario("exactly", constraint={"budget": 3}, programme=learned)
    table = decide("--json", "day.json").set_index("arm")
    # a may be in both states today, b is in state 1, c has no moves
    assert table["moves_if_visited"].to_dict() == {"a": 3, "b": 1, "c": 0}
    assert table["moves_if_not"].to_dict() == {"a": 2, "b": 1, "c": 0}
    out = " ".join(capsys.readouterr().out.split())
    assert "at least 0 if visited and 0 if not; none of one kind for c" in out
    assert ("benefit_low" in table) == (members > 0)
    if members:
        assert (table["benefit_low"] < table["benefit_high"]).all()
        assert f"({table['benefit_low']['c']:.3g} to" in out


def test_without_a_log_there_are_no_moves(desk: Desk) -> None:
    desk.scenario("exactly")
    table = decide()
    assert not {"moves_if_visited", "benefit_low"} & set(table.columns)


def test_code_of_yours_that_needs_the_states_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(desk.folder))
    desk.write("own_state.py", OWN.replace("sorted(observation)", "observation['state']"))
    desk.write("today.csv", TODAY)
    desk.scenario()
    desk.decide("own_state:Lazy", "not all states are known", more=["--policy", "own_state:Lazy"])
    rule = "def low(block, today):\n    if today.states is not None:\n        min(today.states)\n"
    desk.write("low_rules.py", rule)
    desk.scenario("custom", constraint={"rules": "low_rules.py:low"})
    desk.decide("low_rules.py", "None for arm 'a', whose state is not known")
