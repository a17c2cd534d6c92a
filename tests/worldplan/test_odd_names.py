"""Names of the user are printed as they are: brackets and colons are no markup of the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldplan.cli import main

SCENARIO = """
programme:
  transitions: transitions.csv
  rewards: rewards.csv
  horizon: 3
  constraint: {kind: exactly, budget: 5}
"""


def test_a_decision_for_arms_with_odd_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["[/bold]", "[red]x", ":one:", "01", "1"]
    moves = [
        f"{name},{state},{action},{state},1"
        for name in names
        for state in (0, 1)
        for action in (0, 1)
    ]
    files = {
        "transitions.csv": ["arm,state,action,next_state,probability", *moves],
        "rewards.csv": ["arm,state,reward", *(f"{n},{s},{s}" for n in names for s in (0, 1))],
        "today.csv": ["arm,state", *(f"{name},1" for name in reversed(names))],
        "own.yaml": [SCENARIO],
    }
    for file, lines in files.items():
        (tmp_path / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "out[/x]:one:.csv"
    call = ["bandits", "decide", str(tmp_path / "own.yaml"), "--state", str(tmp_path / "today.csv")]
    assert main([*call, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert "out[/x]:one:.csv" in printed.replace("\n", "")
    written = output.read_text(encoding="utf-8").splitlines()
    listed = [",".join(line.split(",")[:2]) for line in written]  # reasons follow
    assert listed == ["arm,state", *(f"{name},1" for name in names)]
