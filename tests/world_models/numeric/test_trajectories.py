"""Trajectory files and CSV logs: read exactly; mistakes are named with file and line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import State, Vocabulary
from worldplan.world_models.numeric.logs import read_log, read_trajectories
from worldplan.world_models.numeric.trajectories import (
    Trajectory,
    read_objects,
    read_trajectory,
    write_trajectory,
)

TRUCKS = Vocabulary(
    "trucks",
    {"truck": "object", "place": "object", "depot": "place"},
    {"home": "depot"},
    {"at": ("truck", "place"), "ready": ()},
    {"fuel": ("truck",), "total": ()},
    {"drive": (("t", "truck"), ("a", "place"), ("b", "place"))},
)
OBJECTS = {"t1": "truck", "p": "place", "q": "place"}
GOOD = """((:init (= (fuel t1) 3.5) (= (total ) 0) (at t1 p))  ; a comment
(operator: (DRIVE t1 p q))
(:state (= (fuel t1) 2.25) (= (total ) 1e3) (at t1 Q) (ready ))
(operator: (drive t1 q q))
(:transition_status failure)
(:state (= (fuel t1) 2.25) (= (total ) 1e3) (at t1 q) (ready )))
"""


def write(folder: Path, text: str, name: str = "one.trajectory") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read_exactly_and_written_back(tmp_path: Path) -> None:
    trajectory = read_trajectory(write(tmp_path, GOOD), TRUCKS, OBJECTS)
    assert trajectory.calls == (("drive", "t1", "p", "q"), ("drive", "t1", "q", "q"))
    assert trajectory.succeeded == (None, False)
    assert trajectory.objects["home"] == "depot"
    assert trajectory.states[0] == State(
        frozenset({("at", "t1", "p")}), {("fuel", "t1"): Fraction(7, 2), ("total",): 0}
    )
    assert (
        trajectory.states[1].values[("total",)] == 1000 and ("ready",) in trajectory.states[1].atoms
    )
    third = Trajectory(
        OBJECTS,
        (State(frozenset(), {("total",): Fraction(1, 3)}), *trajectory.states[1:]),
        trajectory.calls,
        (True, None),
    )
    for one in (trajectory, third):
        write_trajectory(one, tmp_path / "two.trajectory")
        back = read_trajectory(tmp_path / "two.trajectory", TRUCKS, OBJECTS)
        assert (back.states, back.calls, back.succeeded) == (one.states, one.calls, one.succeeded)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(ready )))", "(ready ))", r"line 1: the '\(' here is never closed"),
        ("(ready )))", "(ready ))))", "line 6: a '\\)' closes nothing"),
        ("((:init", "(:init) ((:init", "2 expressions instead of one"),
        ("((:init", "hello ((:init", "line 1: 'hello' stands outside"),
        ("(at t1 Q)", "(on t1 q)", "line 3: the domain declares no predicate 'on'"),
        ("(at t1 Q)", "(at t1)", "line 3: predicate 'at' takes 2 objects, not 1"),
        ("(at t1 Q)", "(at t1 mars)", "line 3: 'mars' in .at t1 mars. is not an object"),
        ("(at t1 Q)", "(at p q)", "line 3: 'p' in .at p q. is of type 'place', not 'truck'"),
        ("(at t1 Q)", "at", "line 3: 'at' is not a predicate with objects in parentheses"),
        (
            "(fuel t1) 2.25) (= (total ) 1e3) (at t1 Q)",
            "(speed t1) 2.25)",
            "line 3: the domain declares no function 'speed'",
        ),
        ("(= (fuel t1) 3.5)", "(= (fuel t1) much)", "line 1: 'much' is not a number"),
        ("(= (fuel t1) 3.5)", "(= (fuel t1) inf)", "line 1: 'inf' is not a number"),
        ("(= (fuel t1) 3.5)", "(= (fuel t1))", "line 1: expected .= .function"),
        (
            "(= (fuel t1) 3.5)",
            "(= (fuel t1) 3.5) (= (fuel t1) 4)",
            "line 1: .fuel t1. has two values in one state",
        ),
        ("(= (fuel t1) 3.5)", "(= (fuel t1) 1e999999999)", "line 1: '1e999999999' is not a number"),
        ("DRIVE", "fly", "line 2: the domain declares no action 'fly'"),
        ("DRIVE t1 p", "drive p t1", "line 2: 'p' in"),
        ("(operator: (DRIVE t1 p q))", "", "line 3: expected .:init"),
        ("(:transition_status failure)", "(:transition_status maybe)", "line 5: expected"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message) as error:
        read_trajectory(path, TRUCKS, OBJECTS)
    assert "one.trajectory" in str(error.value)


def test_missing_and_odd_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_trajectory(tmp_path / "none.trajectory", TRUCKS, OBJECTS)
    (tmp_path / "bytes.trajectory").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not a UTF-8 text file"):
        read_trajectory(tmp_path / "bytes.trajectory", TRUCKS, OBJECTS)
    with pytest.raises(
        DatasetError, match=r"object 'x' is of type 'ship', which the domain does not declare"
    ):
        read_trajectory(write(tmp_path, GOOD), TRUCKS, {"x": "ship"})
    with pytest.raises(DatasetError, match="ends after an operator"):
        read_trajectory(write(tmp_path, "((:init) (operator: (drive t1 p q)))"), TRUCKS, OBJECTS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no .trajectory"):
        read_trajectories([tmp_path / "empty"], TRUCKS)
    with pytest.raises(DatasetError, match="nosuch: no such file or folder"):
        read_trajectories([tmp_path / "nosuch"], TRUCKS)
    with pytest.raises(DatasetError, match="give .trajectory or .csv"):
        read_trajectories([write(tmp_path, "x", "x.txt")], TRUCKS)


def test_objects_come_from_the_problem_beside_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "(define (problem x) (:domain trucks) (:objects T1 - truck p q - place spare) (:init))",
        "one.pddl",
    )
    assert read_objects(tmp_path / "one.pddl") == {
        "t1": "truck",
        "p": "place",
        "q": "place",
        "spare": "object",
    }
    write(tmp_path, GOOD)
    assert read_trajectories([tmp_path], TRUCKS)[0].objects["q"] == "place"


LOG = """episode,action,success,at t1 p,at t1 home,fuel t1,total
1,drive t1 p home,1,1,0,3.5,0
1,drive t1 home home,0,0,1,2.5,1
1,,,0,1,2.5,1
2,drive t1 p home,,true,false,1/3,
2,,,false,true,0,
"""


def test_a_log_is_read_by_episode_with_types_from_its_columns(tmp_path: Path) -> None:
    first, second = read_log(write(tmp_path, LOG, "log.csv"), TRUCKS)
    assert first.objects == {"home": "depot", "t1": "truck", "p": "place"}
    assert first.calls == (
        ("drive", "t1", "p", "home"),
        ("drive", "t1", "home", "home"),
    ) and first.succeeded == (True, False)
    assert first.states[0] == State(
        frozenset({("at", "t1", "p")}), {("fuel", "t1"): Fraction(7, 2), ("total",): 0}
    )
    assert second.succeeded == (None,) and second.states[0].values == {
        ("fuel", "t1"): Fraction(1, 3)
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "fuel t1,total",
            "speed t1,total",
            "column 'speed t1': the domain declares no predicate 'speed'",
        ),
        ("fuel t1,total", "fuel,total", "column 'fuel': function 'fuel' takes 1 objects"),
        (
            "1,drive t1 p home,1,1,0,3.5,0",
            "1,fly t1,1,1,0,3.5,0",
            "row 2, column 'action': the domain declares no action 'fly'",
        ),
        (
            "1,drive t1 p home,1,1,0,3.5,0",
            "1,,1,1,0,3.5,0",
            "row 2, column 'action': no action, and the episode goes on",
        ),
        ("3.5", "much", "row 2, column 'fuel t1': 'much' is not a number"),
        ("home,1,1,0,", "home,1,2,0,", "row 2, column 'at t1 p': '2' is neither 1 nor 0"),
        ("1,,,0,1,2.5,1\n", "", "row 3: an episode's last row"),
        ("episode,action", "episode,did", "needs a row per state and a column 'action'"),
        ("fuel t1,total", "fuel t1,FUEL  t1", "the column 'fuel t1' is there more than once"),
        ("1,,,0,1,2.5,1", "1,,,0,1,2.5,1,9", "row 4: has 8 cells, the header 7"),
        ("1,,,0,1,2.5,1", "1,,,0,1", "row 4: has 5 cells, the header 7"),
        ("3.5", "1e5000", "row 2, column 'fuel t1': '1e5000' is not a number"),
    ],
)
def test_what_is_wrong_in_a_log_is_named_with_its_row(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in LOG
    with pytest.raises(DatasetError, match=message):
        read_log(write(tmp_path, LOG.replace(old, new, 1), "log.csv"), TRUCKS)


def test_a_name_used_for_two_types_asks_for_a_problem_file(tmp_path: Path) -> None:
    path = write(tmp_path, "action,fuel x,at t1 x\n,1,0\n", "log.csv")
    with pytest.raises(
        DatasetError, match=r"'x' is used as place and as truck; name its type in log.pddl"
    ):
        read_log(path, TRUCKS)
