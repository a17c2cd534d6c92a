"""The summary of a bandit run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from worldplan.commands.bandits.jobs import BOUND, result_file
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.bandits.summary import summarise
from worldplan.files import write_csv


def test_own_notes_and_time_limits_are_told_apart(tmp_path: Path) -> None:
    scenario = Scenario(policies=["null"], seeds=0)
    table = pd.DataFrame({"return": [1.0, 2.0], "decision_seconds": 0.1})
    write_csv(result_file(tmp_path, BOUND, 0), table)
    noted = table.assign(time_limits=[1, 2], note="repaired")
    write_csv(result_file(tmp_path, "null", 0), noted)
    notes = summarise(tmp_path, scenario)["note"].tolist()
    assert notes == ["repaired; 3 decisions hit the time limit"]
