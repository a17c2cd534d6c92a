"""Moves of the daily routine weighted by their age."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.worldplan.routine.builders import (
    MONDAY,
    NAMES,
    STATES,
    day,
    days,
    rows,
    setup_of,
    write_outcomes,
    write_programme,
)
from worldplan.routine.database import Database
from worldplan.routine.history import observed_moves
from worldplan.world_models.arms.drift import HalfLife
from worldplan.world_models.arms.rewards import read_reward_table


def write_dated(folder: Path, half_life: str, **columns: object) -> None:
    """The programme with dates in its log, a week apart, the last a week before MONDAY."""
    file = write_programme(folder)
    log = pd.read_csv(folder / "log.csv")
    dates = [MONDAY - dt.timedelta(7 * (6 - week)) for week in log["week"]]
    columns = {"date": dates, "episode": range(len(log))} | columns
    log.assign(**columns).to_csv(folder / "log.csv", index=False)
    scenario = yaml.safe_load(file.read_text())
    scenario["programme"]["half_life"] = half_life
    file.write_text(yaml.safe_dump(scenario))


def test_log_and_outcomes_count_by_their_age(tmp_path: Path) -> None:
    write_dated(tmp_path, "2 weeks")
    days(tmp_path, 3)
    today = MONDAY + dt.timedelta(5)
    rewards = read_reward_table(tmp_path / "rewards.csv")
    reward, names = rewards.reward, rewards.arm_names
    setup = setup_of(tmp_path)
    expected = np.zeros((len(NAMES), 2, STATES, STATES))
    for row in pd.read_csv(tmp_path / "log.csv", parse_dates=["date"]).itertuples():
        weight = 0.5 ** ((today - row.date.date()).days / 14)
        expected[NAMES.index(row.arm), row.action, row.state, row.next_state] += weight
    query = "select client, visited, state, next_state, date from visits where next_state >= 0"
    outcomes = rows(tmp_path, query)
    for name, visited, state, after, date in outcomes:
        weight = 0.5 ** ((today - dt.date.fromisoformat(date)).days / 14)
        expected[NAMES.index(name), visited, state, after] += weight
    assert len(outcomes) == 2 * len(NAMES)
    with Database(setup.database, "clinic").read() as connection:
        log, imported, observed = observed_moves(
            connection, today, names, reward, HalfLife.parse("14 days"), tmp_path / "log.csv"
        )
    np.testing.assert_allclose(log.weights, expected)
    assert (imported, observed) == (30, 10)


@pytest.mark.parametrize(
    ("half_life", "columns", "words"),
    [
        ("5 steps", {}, "write it in days or weeks"),
        ("5 days", {"date": "yesterday"}, "write it as"),
        ("5 days", {"date": str(MONDAY + dt.timedelta(9))}, "is not from before"),
        ("soon", {}, "programme.half_life 'soon'"),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path,
    half_life: str,
    columns: dict[str, object],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "date" in columns:  # two rows of a client and date would be refused first
        columns = {"when": columns["date"]}
    write_dated(tmp_path, half_life)
    if columns:
        log = pd.read_csv(tmp_path / "log.csv")
        log.loc[29, "date"] = columns["when"]
        log.to_csv(tmp_path / "log.csv", index=False)
    assert day(tmp_path, 0, "--outcomes", write_outcomes(tmp_path / "o.csv", 0)) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error


def test_a_log_without_dates_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dated(tmp_path, "5 days")
    log = pd.read_csv(tmp_path / "log.csv")
    log.drop(columns="date").to_csv(tmp_path / "log.csv", index=False)
    assert day(tmp_path, 0, "--outcomes", write_outcomes(tmp_path / "o.csv", 0)) == 2
    assert "needs the column date" in capsys.readouterr().err
