"""Programmes without an end through the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main

POLICIES = ["null", "random", "sampling", "myopic", "iterative_myopic", "whittle", "fluid"]
ENDLESS = {"endless": True, "discount": 0.8, "horizon": 25}
AVERAGE = {"endless": True, "horizon": 30}


def done(desk: Desk, *words: str) -> str:
    assert main(["bandits", *words]) == 0, desk.capsys.readouterr()
    return desk.capsys.readouterr().out


@pytest.mark.parametrize("programme", [ENDLESS, AVERAGE], ids=["discounted", "average"])
def test_policies_are_compared(desk: Desk, programme: dict[str, object]) -> None:
    desk.scenario("capacity", programme=programme, policies=POLICIES, episodes=20)
    printed = done(desk, "run", "small.yaml", "--jobs", "1")
    assert re.search(r"no end: (25 steps were played|averages per step of 30 steps)", printed)
    assert len(re.findall("no end: ", printed)) == 1
    (report,) = Path("runs").rglob("report.html")
    sentence = re.search(r"no end: (25 steps were played|averages per step of 30 steps)", printed)
    assert sentence is not None and sentence[0] in report.read_text(encoding="utf-8")
    (file,) = Path("runs").rglob("summary.csv")
    table = pd.read_csv(file, keep_default_na=False).set_index("policy")
    assert (table["share_low"] < 1.0).all()
    assert table.loc[["whittle", "fluid"], "bound_share"].min() > 0.8
    assert abs(table.loc["null", "bound_share"]) < 0.15
    per_step = float(re.findall(r"(\d\.\d+) per step", printed)[0])
    bound = done(desk, "bound", "small.yaml", "--episodes", "20")
    assert f"{per_step:.3g}" in bound
    assert main(["evaluate", str(file.parent), "--episodes", "2"]) == 0


@pytest.mark.parametrize("programme", [ENDLESS, AVERAGE], ids=["discounted", "average"])
@pytest.mark.parametrize("policy", ["fluid", "whittle", "myopic"])
def test_a_day_is_decided_with_reasons(
    desk: Desk, policy: str, programme: dict[str, object]
) -> None:
    desk.scenario(programme=programme, policies=[policy])
    words = ["small.yaml", "--state", "today.csv", "--policy", policy, "--json", "why.json"]
    printed = done(desk, "decide", *words)
    why = json.loads(Path("why.json").read_text())
    assert why["steps_left"] is None and why["reasons"] is not None
    assert "days that remain" not in printed
    if policy == "fluid":
        words_of = "on average in the long run" if programme is AVERAGE else "over all days to come"
        assert words_of in " ".join(printed.split())
        assert why["value"] <= why["bound"] + 1e-6
    forced = done(desk, "decide", *words[:-2], "--force", "c")
    assert "c" in pd.read_csv("decision.csv")["arm"].tolist(), forced


def test_the_routine_goes_on_without_an_end(desk: Desk) -> None:
    desk.scenario(programme=ENDLESS, policies=["fluid"])
    words = ["day", "small.yaml", "--date", "2026-03-02", "--outcomes", "today.csv"]
    printed = done(desk, *words, "--days", "2", "--by", "x")
    assert "provisional" in printed
    assert "left" not in printed
    desk.refuses(
        ["bandits", *words, "--steps_left", "3", "--redo", "--by", "x"], "leave --steps_left out"
    )


@pytest.mark.parametrize(
    ("programme", "more", "word"),
    [
        ({"discount": 0.99, "horizon": 20}, [], "give programme.horizon 459 or more"),
        ({"ends": "today.csv"}, [], "programme.ends says when clients end"),
        ({"seen": "visits"}, [], "need a discount"),
        ({}, ["--bound", "hull"], "choose auto or fluid"),
        ({}, ["--policies", "sequoia"], "fluid and whittle"),
    ],
)
def test_what_does_not_fit_is_refused(
    desk: Desk, programme: dict[str, object], more: list[str], word: str
) -> None:
    desk.scenario(programme={"endless": True} | programme)
    desk.run(word, more=more)


def test_hidden_states_with_a_discount(desk: Desk) -> None:
    desk.scenario(programme=ENDLESS | {"seen": "visits"}, policies=["null", "whittle", "fluid"])
    done(desk, "run", "small.yaml", "--jobs", "1")
    (file,) = Path("runs").rglob("summary.csv")
    table = pd.read_csv(file, keep_default_na=False).set_index("policy")
    assert (table["mean"] <= table["mean"] / table["bound_share"].clip(0.01) + 1).all()
    assert table.loc["whittle", "mean"] > table.loc["null", "mean"]
