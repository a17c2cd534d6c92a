"""Clients of groups, and states seen by outcomes only, in the daily routine."""

from pathlib import Path

import yaml

from tests.worldplan.routine.builders import (
    NAMES,
    day,
    rows,
    setup_of,
    write_programme,
    write_rows,
)
from worldplan.routine.database import Database
from worldplan.routine.day import read_day
from worldplan.routine.explain import ExplainedDay


def test_a_newcomer_of_the_attributes_joins(tmp_path: Path) -> None:
    file = write_programme(tmp_path, attributes="people.csv")
    people = [f"{name},{'north' if i < 3 else 'south'}" for i, name in enumerate(NAMES)]
    write_rows(tmp_path / "people.csv", "arm,district", people)
    scenario = yaml.safe_load(file.read_text())
    scenario["programme"]["groups"] = "district"
    file.write_text(yaml.safe_dump(scenario))
    begin = write_rows(tmp_path / "o.csv", "arm,state", [f"{name},1" for name in NAMES])
    assert day(tmp_path, 0, "--outcomes", begin) == 0
    write_rows(tmp_path / "people.csv", "arm,district", [*people, "Fay,south"])
    more = [f"{name},{2 + i % 2}" for i, name in enumerate((*NAMES, "Fay"))]
    write_rows(tmp_path / "costs.csv", "arm,cost", more)
    after = write_rows(tmp_path / "o.csv", "arm,state", ["Ann,0", "Fay,0"])
    assert day(tmp_path, 1, "--outcomes", after, "--assume") == 2  # nobody joins unasked
    assert day(tmp_path, 1, "--outcomes", after, "--assume", "--join", "--force", "Fay") == 0
    assert ("Fay",) in rows(tmp_path, "select name from clients where left is null")


def test_a_day_is_planned_with_states_seen_by_outcomes_only(tmp_path: Path) -> None:
    file = write_programme(tmp_path)
    scenario = yaml.safe_load(file.read_text())
    scenario["programme"]["seen"] = "visits"
    file.write_text(yaml.safe_dump(scenario))
    begin = write_rows(tmp_path / "o.csv", "arm,state", [f"{name},1" for name in NAMES])
    assert day(tmp_path, 0, "--outcomes", begin) == 2  # outcomes are states after visits
    scenario["programme"]["seen"] = "outcomes"
    file.write_text(yaml.safe_dump(scenario))
    assert day(tmp_path, 0, "--outcomes", begin) == 0
    after = write_rows(tmp_path / "o.csv", "arm,state", ["Ann,0", "Bob,2"])
    for more in (["--policy", "whittle"], ["--policy", "fluid", "--redo"]):
        assert day(tmp_path, 1, "--outcomes", after, "--assume", *more) == 0
    setup = setup_of(tmp_path)
    database = Database(setup.database, setup.name)
    explained = ExplainedDay(database, setup, read_day(database))  # type: ignore[arg-type]
    for why in explained.reasons().chosen:
        assert len(why.next_with) == 3 and 0 <= why.expected_state_with <= 2  # type: ignore[operator]
