"""Reasons in `bandits decide`: columns, JSON, forced arms, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import KINDS, Desk
from worldplan.cli import main
from worldplan.commands.bandits import why
from worldplan.envs.bandits import generate
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import NullPolicy
from worldplan.planners.bandits.reasons.results import Reasons
from worldplan.planners.base import Decision

NEW = {
    "benefit", "cost_of_leaving_out", "expected_state_if_visited", "expected_state_if_not",
}  # fmt: skip


def decide(desk: Desk, *more: str) -> tuple[pd.DataFrame, dict[str, Any], str]:
    desk.capsys.readouterr()
    words = ["small.yaml", "--state", "today.csv", "--json", "day.json", *more]
    assert main(["bandits", "decide", *words]) == 0
    text = " ".join(desk.capsys.readouterr().out.split())
    return pd.read_csv("decision.csv"), json.loads(Path("day.json").read_text()), text


@pytest.mark.parametrize("policy", ["fluid", "myopic", "whittle"])
@pytest.mark.parametrize("kind", KINDS)
def test_old_columns_are_unchanged_and_new_ones_follow(desk: Desk, kind: str, policy: str) -> None:
    desk.scenario(kind, programme={"unit": "visits attended"})
    old, without, _ = decide(desk, "--policy", policy, "--reasons", "0")
    assert without["reasons"] is None and not NEW & set(old)
    new, with_, text = decide(desk, "--policy", policy)
    pd.testing.assert_frame_equal(new[old.columns], old)
    assert list(new.columns) == [*old.columns, *(c for c in new.columns if c in NEW)]
    assert set(new.columns) >= NEW
    reasons = with_["reasons"]
    assert with_["schema"] == "worldplan.decision/1" and reasons["schema"] == "worldplan.reasons/1"
    assert reasons["status"] == "optimal" and reasons["gap"] == pytest.approx(0)
    assert len(reasons["chosen"]) + len(reasons["not_chosen"]) <= 3
    assert "visits attended" in text and "no feasible list is worth more" in text


def test_forced_and_forbidden_arms(desk: Desk) -> None:
    desk.scenario("budget")
    first, _, _ = decide(desk)
    for name in "abc":
        forced, day, _ = decide(desk, "--force", name)
        assert forced["arm"].tolist() == [name]
        assert day["reasons"]["chosen"][0]["asked"] == "forced"
        assert day["reasons"]["force"] == [name]
        assert "no feasible list that does what was asked" in day["reasons"]["sentence"]
    table, _, _ = decide(desk, "--forbid", first["arm"][0], "--reasons", "0")
    assert table["arm"].tolist() != first["arm"].tolist()
    assert not NEW & set(table)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_conflicts_are_named(desk: Desk, solver: str) -> None:
    desk.scenario("budget")
    words = ("'a' forced in", "'b' forced in", "at most 1 visits a day", "allow 2 visits a day")
    desk.decide(*words, more=["--force", "a,b", "--solver", solver])
    rules = "import pyomo.environ as p\ndef build(block):\n"
    rules += "    block.few = p.Constraint(expr=sum(block.a.values()) <= 1)\n"
    rules += "    block.many = p.Constraint(expr=sum(block.a.values()) >= 2)\n"
    desk.write("rules.py", rules)
    desk.scenario("custom")
    desk.decide("rules.py", "the rule 'few'", "the rule 'many'", "loosen 'few' to 2")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--force", "aa"], ["--force" and "force", "'aa' is unknown", "did you mean a"]),
        (["--force", "a", "--forbid", "a"], ["'a' is both forced and forbidden"]),
        (["--force", "a,,b"], ["--force 'a,,b' holds an empty name"]),
        (["--force", "a", "--policy", "random"], ["random", "has no reasons", "myopic"]),
        (["--reasons", "-1"], ["--reasons is -1.0"]),
        (["--json", "decision.csv"], ["--json decision.csv: is --output too"]),
        (["--json", "today.csv"], ["--json today.csv: the command reads this file"]),
    ],
)
def test_what_is_refused(desk: Desk, more: list[str], words: list[str]) -> None:
    desk.scenario("budget")
    desk.decide(*words, more=more)


def test_a_policy_without_reasons_says_so(desk: Desk) -> None:
    desk.scenario("budget")
    table, day, text = decide(desk, "--policy", "random")
    assert not NEW & set(table) and day["reasons"] is None
    assert "no reasons: RandomPolicy" in text and "RandomPolicy" in day["note"]


@pytest.mark.parametrize(("earlier", "shown"), [(8.0, 8.0), (None, 15.0), (5.9, 6.0), (20.0, 15.0)])
def test_a_better_list_of_the_reasons_keeps_what_was_proven_before(
    earlier: float | None, shown: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ran out of time: the looser bound of the reasons was shown."""
    better = Reasons(
        "reward", "", np.array([0, 1], np.int8), 6.0, 15.0, "time_limit", (), (), (), (), 1.0
    )

    class Late:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def reasons(self, **_: Any) -> Reasons:
            return better

    monkeypatch.setattr(why, "Explainer", Late)
    first = Decision(np.array([1, 0], np.int8), 4.0, earlier, "time_limit", 1.0)
    instance = generate("budget", 2, 1, seed=0)
    decision, _, _ = why.reasons_of(
        NullPolicy(instance), instance, {}, first, solver=SolverSettings(), unit="reward",
        force=[], forbid=[], seconds=1.0,
    )  # fmt: skip
    assert (decision.value, decision.bound, decision.status) == (6.0, shown, "time_limit")
