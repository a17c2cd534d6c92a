"""A user's own data get no convention of a paper silently, and stations are their ids."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from worldplan.envs.bandits.domains import generate
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet, WorldplanError
from worldplan.milp.sets.kinds import make_set
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.routes.graph import read_graph
from worldplan.milp.sets.schedule import Schedule
from worldplan.milp.sets.source import Constraint, SetContext

ARMS = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path: FilePath) -> FilePath:
    slots = "".join(f"{arm},{slot}\n" for arm in ARMS for slot in ("9:00", "10:00", "11:00"))
    (tmp_path / "slots.csv").write_text(f"arm,slot\n{slots}")
    (tmp_path / "shifts.csv").write_text("worker,slot\nx,9:00\nx,10:00\nx,11:00\ny,9:00\n")
    (tmp_path / "stations.csv").write_text(
        "id,name,latitude,longitude\n"
        "a,Market,51.0,0.0\nb,Bridge,51.1,0.1\nc,Market,51.2,0.2\nd,NA,51.3,0.3\n"
    )
    (tmp_path / "links.csv").write_text("from,to\na,b\nb,c\nc,d\n")
    return tmp_path


def context(folder: FilePath, arms: tuple[str, ...] = ARMS, **settings: Any) -> SetContext:
    return SetContext(arms, Constraint(**settings), lambda name: str(folder / name))


def scheduled(folder: FilePath, **settings: Any) -> Schedule:
    files = {"arm_slots": "slots.csv", "workers": "shifts.csv"}
    made = make_set(context(folder, kind="schedule", **files, **settings))
    assert isinstance(made, Schedule)
    return made


def test_a_schedule_serves_as_many_arms_as_its_slots_allow(folder: FilePath) -> None:
    assert scheduled(folder, visits=1).contains([1, 1, 1, 1])  # 2 workers, 4 slots, 4 arms
    assert not scheduled(folder, visits=1, budget=2).contains([1, 1, 1, 0])
    twice = scheduled(folder, visits=2)
    assert twice.contains([1, 0, 0, 0]) and not twice.contains([1, 1, 1, 0])
    for row in (twice.explain(np.array([1, 1, 0, 0], np.int8)),):
        assert len({(visit["arm"], visit["slot"]) for visit in row}) == 4
    with pytest.raises(ConfigError, match=r"constraint\.visits is missing: give the number"):
        scheduled(folder)


def test_two_visits_share_a_slot_only_where_that_is_said(folder: FilePath) -> None:
    (folder / "slots.csv").write_text("arm,slot\na,9:00\nb,9:00\nb,10:00\nc,10:00\nd,11:00\n")
    apart, together = scheduled(folder, visits=2), scheduled(folder, visits=2, same_slot=True)
    assert apart.selectable.tolist() == [False, True, False, False]
    assert together.selectable.tolist() == [True, True, False, False]


def test_generated_schedules_follow_the_paper() -> None:
    actions = generate("schedule", 20, 5, seed=0).actions
    assert isinstance(actions, Schedule)
    assert (actions.visits, actions.budget, actions.same_slot) == (2, 5, True)


def routed(folder: FilePath, arms: tuple[str, ...] = ARMS, source: str = "a") -> Path:
    files = {"connections": "links.csv", "stations": "stations.csv"}
    made = make_set(context(folder, arms, kind="path", source=source, budget=3, **files))
    assert isinstance(made, Path)
    return made


def test_stations_of_the_same_name_are_two(folder: FilePath) -> None:
    actions = routed(folder)
    assert list(actions.arm_names) == list(ARMS)
    rows = actions.explain(np.array([1, 0, 1, 0], np.int8))
    assert rows == [
        {"arm": "a", "station": "Market", "stop": 0},
        {"arm": "c", "station": "Market", "stop": 2},
    ]
    assert actions.explain(np.array([0, 0, 0, 1], np.int8))[0]["station"] == "NA"


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"source": "Market"}, InfeasibleActionSet, "name of the station with the id 'a' and 'c'"),
        ({"source": "z"}, InfeasibleActionSet, "source 'z' is not a node"),
        ({"arms": ("a", "Bridge", "c", "d")}, DatasetError, "'Bridge' .* with the id 'b'"),
    ],
)
def test_a_name_in_the_place_of_an_id_is_refused(
    folder: FilePath, change: dict[str, Any], error: type[WorldplanError], says: str
) -> None:
    with pytest.raises(error, match=says):
        routed(folder, **change)


@pytest.mark.parametrize(
    ("stations", "links", "says"),
    [
        ("id,name,latitude,longitude\na,A,1,1\na,B,1,1\n", None, "line 3: id 'a' already appeared"),
        ("id,name,latitude,longitude\n,A,1,1\n", None, "line 2: id '' is empty"),
        (None, "from,to\nMarket,b\n", "line 2: station 'Market' .* with the id 'a' and 'c'"),
    ],
)
def test_bad_ids_are_named(
    folder: FilePath, stations: str | None, links: str | None, says: str
) -> None:
    for name, text in (("stations.csv", stations), ("links.csv", links)):
        if text is not None:
            (folder / name).write_text(text)
    with pytest.raises(DatasetError, match=says):
        read_graph(folder / "links.csv", folder / "stations.csv")


def test_ids_with_spaces_around_them_are_the_same_stations(folder: FilePath) -> None:
    (folder / "links.csv").write_text("from,to\na , b\n b,c\nc,d\n")
    assert set(read_graph(folder / "links.csv", folder / "stations.csv")) == set(ARMS)
