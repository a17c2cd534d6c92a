"""A programme with hours of workers in a folder, outcomes of its days, and its database as text."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from worldplan.cli import main
from worldplan.commands.bandits.day import make_setup
from worldplan.commands.bandits.scenario import make_scenario, parse_scenario, scenario_parser
from worldplan.routine.request import Setup

NAMES = ("Ann", "Bob", "Cid", "Dee", "Eve")
LINES = [f"{name},1" for name in NAMES]  # of outcomes
STATES = 3
MONDAY = dt.date(2026, 11, 2)


def write_programme(folder: Path, *, names: tuple[str, ...] = NAMES, **settings: Any) -> Path:
    """Write clinic.yaml with its tables; `settings` replace those of the constraint."""
    rewards = [f"{name},{s},{s * (1 + 0.1 * i)}" for i, name in enumerate(names) for s in (0, 1, 2)]
    write_rows(folder / "rewards.csv", "arm,state,reward", rewards)
    write_rows(
        folder / "costs.csv", "arm,cost", [f"{name},{2 + i % 2}" for i, name in enumerate(names)]
    )
    write_rows(folder / "workers.csv", "worker,capacity", ["Xenia,4", "Yann,3"])
    generator = np.random.default_rng(1)
    states = generator.integers(STATES, size=(7, len(names)))
    log = [
        f"{week},{name},{states[week, i]},{generator.integers(2)},{states[week + 1, i]}"
        for week in range(6)
        for i, name in enumerate(names)
    ]
    write_rows(folder / "log.csv", "week,arm,state,action,next_state", log)
    constraint = {"kind": "capacity", "costs": "costs.csv", "workers": "workers.csv"} | settings
    programme = {"log": "log.csv", "rewards": "rewards.csv", "horizon": 4, "constraint": constraint}
    scenario = {"name": "clinic", "programme": programme, "policies": ["fluid"], "database": "c.db"}
    file = folder / "clinic.yaml"
    file.write_text(yaml.safe_dump(scenario))
    return file


def write_rows(path: Path, header: str, rows: list[str]) -> str:
    """Write a CSV file; returns its path."""
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def write_outcomes(path: Path, seed: int, names: tuple[str, ...] = NAMES) -> str:
    """Write random states of all clients; returns the path."""
    states = np.random.default_rng(seed).integers(STATES, size=len(names))
    rows = [f"{name},{state}" for name, state in zip(names, states, strict=True)]
    return write_rows(path, "arm,state", rows)


def day(folder: Path, number: int, *more: str) -> int:
    """Run `bandits day` for a day after MONDAY; returns the exit code."""
    date = MONDAY + dt.timedelta(number)
    return main(["bandits", "day", str(folder / "clinic.yaml"), "--date", str(date), *more])


def days(folder: Path, count: int) -> None:
    """Run the first days with random outcomes."""
    for number in range(count):
        assert day(folder, number, "--outcomes", write_outcomes(folder / "o.csv", number)) == 0


def refused(folder: Path, capsys: pytest.CaptureFixture[str], number: int, *more: str) -> str:
    """The line that a day is refused with; not a byte of the database is another."""
    database = folder / "c.db"
    before = database.read_bytes() if database.exists() else None
    capsys.readouterr()
    assert day(folder, number, *more) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1, printed
    assert (database.read_bytes() if database.exists() else None) == before
    return printed.err


def setup_of(folder: Path) -> Setup:
    """The programme in a folder."""
    parser = scenario_parser("bandits day", "")
    settings, base = parse_scenario(parser, [str(folder / "clinic.yaml")])
    return make_setup(make_scenario(parser, settings, base), base)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What SQLite itself answers."""
    with sqlite3.connect(folder / "c.db") as connection:
        return connection.execute(query).fetchall()


def content(folder: Path) -> list[str]:
    """The whole database as text, without the times of events and worldplan's own state in git."""
    with sqlite3.connect(folder / "c.db") as connection:
        connection.execute("update events set at = ''")
        connection.execute("update days set made_with = json_remove(made_with, '$.versions')")
        removed = "json_remove(detail, '$.made_with.versions')"
        connection.execute(f"update events set detail = {removed}")
        text = list(connection.iterdump())
        connection.rollback()
    return text
