"""Clients with fewer states than others: no input of the routine holds a state that one lacks."""

from pathlib import Path

import pytest
import yaml

from tests.worldplan.routine.builders import NAMES, day, write_programme, write_rows

OWN = [f"{name},{2 if name == 'Bob' else 3}" for name in NAMES]


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Bob has two states, in a log in which he has no other."""
    file = write_programme(tmp_path)
    write_rows(tmp_path / "own.csv", "arm,states", OWN)
    rewards = (tmp_path / "rewards.csv").read_text().splitlines()
    write_rows(tmp_path / "rewards.csv", rewards[0], [r for r in rewards[1:] if r[:5] != "Bob,2"])
    log = [f"{name},{s},{a},{(s + a) % 2}" for name in NAMES for s in (0, 1) for a in (0, 1)]
    write_rows(tmp_path / "log.csv", "arm,state,action,next_state", log)
    scenario = yaml.safe_load(file.read_text())
    scenario["programme"]["own_states"] = "own.csv"
    file.write_text(yaml.safe_dump(scenario))
    return tmp_path


def outcomes(folder: Path, bob: int) -> str:
    rows = [f"{name},{bob if name == 'Bob' else 2}" for name in NAMES]
    return write_rows(folder / "o.csv", "arm,state", rows)


def test_days_are_decided(clinic: Path) -> None:
    for number in range(2):
        assert day(clinic, number, "--outcomes", outcomes(clinic, number)) == 0


def test_an_outcome_with_a_state_that_the_client_lacks(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert day(clinic, 0, "--outcomes", outcomes(clinic, 2)) == 2
    assert "'Bob' in state 2: give 0 to 1" in capsys.readouterr().err


def test_a_log_with_a_state_that_the_client_lacks(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (clinic / "log.csv").open("a") as file:
        file.write("Bob,1,1,2\n")
    assert day(clinic, 0, "--outcomes", outcomes(clinic, 1)) == 2
    line = capsys.readouterr().err
    assert "log.csv" in line and "Bob" in line and line.count("\n") == 1
