"""A scenario that names no policies, for clients with ends of their own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main

BRIEF = {
    "pretrain_steps": 4, "updates": 4, "check_every": 8, "check_episodes": 2, "solves": 2,
    "pool": 8, "episodes": 2, "batch": 4, "replay": 16, "hidden": [4],
}  # fmt: skip


def test_those_that_suit_are_compared_and_the_others_are_said(desk: Desk) -> None:
    desk.write("ends.csv", "arm,steps\na,2\n")
    desk.scenario(programme={"ends": "ends.csv"}, sequoia=BRIEF)
    text = Path("small.yaml").read_text().replace("policies:\n- random\n- fluid\n", "")
    assert "policies" not in text
    Path("small.yaml").write_text(text)
    assert main(["bandits", "run", "small.yaml", "--jobs", "1"]) == 0
    out = desk.capsys.readouterr().out
    assert out.count("left out of the default policies") == 1
    assert "left out of the default policies: iterative_dqn (programme.ends:" in out
    (summary,) = Path("runs").rglob("summary.csv")
    policies = set(pd.read_csv(summary, keep_default_na=False)["policy"])
    assert {"sequoia", "whittle", "fluid", "null"} <= policies and "iterative_dqn" not in policies
