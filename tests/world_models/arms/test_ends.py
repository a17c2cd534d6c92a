"""Ends of clients from files: steps of an episode, or dates."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldplan.cli import main
from worldplan.envs.bandits.domains import generate
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.source import Constraint
from worldplan.planners.bandits.lagrangian import LagrangianPlanner
from worldplan.world_models.arms.ends import ends_on, read_ends, without_ended
from worldplan.world_models.arms.programme import Programme, build, on_day

NAMES = ("ana", "bela", "chen")
MONDAY = datetime.date(2026, 11, 30)


def programme(folder: Path, ends: list[str], **constraint: Any) -> Programme:
    """Three clients who get well by a visit and ill without; ana and bela earn more than chen."""
    moves = [f"{name},{s},{k},{k},1" for name in NAMES for s in (0, 1) for k in (0, 1)]
    rewards = [f"{name},{s},{s * (3 - number)}" for number, name in enumerate(NAMES)
               for s in (0, 1)]  # fmt: skip
    for file, lines in {
        "transitions": ["arm,state,action,next_state,probability", *moves],
        "rewards": ["arm,state,reward", *rewards],
        "today": ["arm,state", *(f"{name},0" for name in NAMES)],
        "ends": ends,
    }.items():
        (folder / f"{file}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Programme(
        transitions="transitions.csv", rewards="rewards.csv", ends="ends.csv", horizon=5,
        constraint=Constraint(**{"kind": "budget", "budget": 1} | constraint),
    )  # fmt: skip


def test_steps_and_dates(tmp_path: Path) -> None:
    settings = programme(tmp_path, ["arm,steps", "bela,0", "ana,2"])
    built = build(settings, tmp_path)
    assert built.instance.ends is not None and built.instance.ends.tolist() == [2, 0, 5]
    state = np.zeros(3, int)
    for left, ended in ((5, ("bela",)), (4, ("bela",)), (3, ("ana", "bela")), (1, ("ana", "bela"))):
        today = on_day(built, settings, tmp_path, state, steps_left=left)
        assert today.ended == ended and today.later is built.instance.actions
        offered = [today.instance.actions.contains(row) for row in np.eye(3, dtype=np.int8)]
        assert offered == [name not in ended for name in NAMES]
    dated = programme(tmp_path, ["arm,until", "ana,2026-12-01", "bela,2026-11-29"])
    built = build(dated, tmp_path, dated=True)
    today = on_day(built, dated, tmp_path, state, date=MONDAY, steps_left=4)
    assert today.ended == ("bela",)
    assert today.instance.late is not None
    assert np.maximum(4 - today.instance.late, 0).tolist() == [2, 0, 4]  # today and tomorrow
    with pytest.raises(ConfigError, match="--date is missing: programme.ends has dates"):
        on_day(built, dated, tmp_path, state)
    with pytest.raises(ConfigError, match="give the column steps for simulated episodes"):
        build(dated, tmp_path)


@pytest.mark.parametrize("left", [1, 3, 5])
def test_days_of_the_calendar_are_steps(left: int) -> None:
    """A last day n - 1 days from now leaves n steps, whatever the horizon is."""
    until = [None, *(MONDAY + datetime.timedelta(days) for days in range(-3, 8))]
    for horizon in (5, 9):
        own = np.maximum(left - (horizon - ends_on(until, MONDAY, left, horizon)), 0)
        expected = [left] + [min(max(days + 1, 0), left) for days in range(-3, 8)]
        assert own.tolist() == expected


def test_a_set_that_demands_visits_keeps_who_has_ended(tmp_path: Path) -> None:
    settings = programme(tmp_path, ["arm,steps", "ana,0", "bela,0"], kind="exactly", budget=2)
    built = build(settings, tmp_path)
    today = on_day(built, settings, tmp_path, np.zeros(3, int))
    assert today.ended == ("ana", "bela")
    assert today.instance.actions is built.instance.actions


def test_rules_that_see_today_see_who_has_ended(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(
        "def build(block, today):\n"
        "    block.all = __import__('pyomo.environ').environ.ConstraintList()\n"
        "    for arm, name in enumerate(today.names):\n"
        "        if today.date and name not in today.absent:\n"
        "            block.all.add(block.a[arm] == 1)\n"
    )
    settings = programme(tmp_path, ["arm,until", "bela,2026-11-01", "ana,2026-11-29"],
                         rules="rules.py:build")  # fmt: skip
    built = build(settings, tmp_path, dated=True)
    today = on_day(built, settings, tmp_path, np.zeros(3, int), date=MONDAY)
    assert today.instance.actions.contains(np.array([0, 0, 1], np.int8))
    assert not today.instance.actions.contains(np.array([1, 0, 0], np.int8))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["arm,steps", "dora,2"], "line 2: unknown arm 'dora'"),
        (["arm,steps", "ana,2", "ana,3"], "line 3: this arm already appeared on line 2"),
        (["arm,steps", "ana,-1"], "line 2"),
        (["arm,steps", "ana,1.5"], "line 2"),
        (["arm,until", "ana,soon"], "line 2: until 'soon'"),
        (["arm,until", "ana,"], "line 2"),
        (["arm,end", "ana,2"], "line 1: neither steps nor until"),
        (["arm,steps,until", "ana,2,2026-11-30"], "line 1: steps and until"),
    ],
)
def test_files_that_do_not_say_when(lines: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "ends.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_ends(tmp_path / "ends.csv", NAMES, 5)


@pytest.mark.parametrize("policy", ["fluid", "whittle"])
def test_decide_and_day(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    programme(tmp_path, ["arm,until", "ana,2026-11-29"])
    text = (
        "name: p\nprogramme:\n  transitions: transitions.csv\n  rewards: rewards.csv\n"
        "  ends: ends.csv\n  horizon: 5\n  constraint: {kind: budget, budget: 1}\n"
    )
    Path("p.yaml").write_text(text, encoding="utf-8")
    decide = ["bandits", "decide", "p.yaml", "--state", "today.csv", "--policy", policy]
    for date, name in (("2026-11-29", "ana"), ("2026-11-30", "bela")):
        assert main([*decide, "--date", date, "--json", "d.json"]) == 0
        printed = capsys.readouterr().out
        assert (
            "ended before today, visited only where the constraints demand it: ana" in printed
        ) == (name == "bela")
        rows = json.loads(Path("d.json").read_text())["list"]
        assert [row["arm"] for row in rows] == [name]
    assert main([*decide, "--date", "2026-11-30", "--force", "ana"]) == 2
    assert "--force: 'ana' has ended before today" in capsys.readouterr().err
    assert main(["bandits", "bound", "p.yaml"]) == 2
    assert "give the column steps" in capsys.readouterr().err
    day = ["bandits", "day", "p.yaml", "--outcomes", "today.csv", "--policy", policy]
    assert main([*day, "--date", "2026-11-30", "--force", "ana"]) == 2
    assert "--force: 'ana' has ended before today" in capsys.readouterr().err
    assert main([*day, "--date", "2026-11-30"]) == 0
    assert "bela" in capsys.readouterr().out
    Path("ends.csv").write_text("arm,steps\nana,2\n", encoding="utf-8")
    assert main(["bandits", "bound", "p.yaml"]) == 0
    run = ["bandits", "run", "p.yaml", "--policies", "null,myopic,whittle,fluid", "--jobs", "1"]
    assert main([*run, "--episodes", "2"]) == 0
    capsys.readouterr()
    assert main([*day, "--date", "2026-12-01", "--database", "new.db"]) == 2
    assert "give the column until" in capsys.readouterr().err


def test_very_many_arms_that_have_ended_are_not_offered() -> None:
    """Prices decide above 1,000 arms, and a budget with arms left out is a budget for them too."""
    plain = generate("budget", 1200, 30, seed=0, horizon=4)
    ends = np.where(np.arange(1200) % 2, 4, 1)
    instance = dataclasses.replace(plain, ends=ends)
    actions, names = without_ended(instance, 3)
    assert len(names) == 600
    today = dataclasses.replace(instance, actions=actions)
    planner = LagrangianPlanner(today, later=instance.actions)
    action = planner.plan({"state": np.zeros(1200, int), "steps_left": 3}).action
    assert action is not None and action.sum() > 0 and not action[::2].any()
