"""Bad tables, end to end: one line that names file and row; exit code 2; nothing written."""

from __future__ import annotations

import pytest

from tests.worldplan.commands.bandits.builders import FILES, KINDS, TRANSITIONS, Desk
from worldplan.cli import main


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_these_tests_damage_are_good(
    desk: Desk, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.scenario(kind)
    assert main(["bandits", "decide", "small.yaml", "--state", "today.csv"]) == 0
    assert (desk.folder / "decision.csv").exists()


DAMAGE = [
    # constraint kind, file, old text, new text, what the message must say
    (
        "budget",
        "transitions.csv",
        "a,0,0,0,0.7",
        "a,0,0,0,0.8",
        ("transitions.csv, line 2", "sum to"),
    ),
    (
        "budget",
        "transitions.csv",
        "b,0,0,0,0.7",
        "b,0,0,0,nan",
        ("transitions.csv, line 10", "NaN"),
    ),
    (
        "budget",
        "transitions.csv",
        "b,0,0,0,0.7",
        "b,0,0,0,-0.7",
        ("transitions.csv, line 10", "negative"),
    ),
    (
        "budget",
        "transitions.csv",
        "c,1,1,1,0.7",
        "z,1,1,1,0.7",
        ("transitions.csv, line 25", "unknown arm 'z'"),
    ),
    (
        "budget",
        "transitions.csv",
        "a,0,0,1,0.3",
        "a,0,0,0,0.3",
        ("transitions.csv, line 3", "line 2"),
    ),
    (
        "budget",
        "transitions.csv",
        "a,0,0,1,0.3",
        "a,0,0,7,0.3",
        ("transitions.csv, line 3", "out of range"),
    ),
    (
        "budget",
        "transitions.csv",
        "c,1,1,0,0.3\nc,1,1,1,0.7",
        "c,1,2,0,0.3\nc,1,2,1,0.7",
        ("transitions.csv",),
    ),
    (
        "budget",
        "transitions.csv",
        "probability",
        "chance",
        ("transitions.csv, line 1", "'probability' is missing"),
    ),
    ("budget", "rewards.csv", "b,1,1", "b,1,NaN", ("rewards.csv, line 5", "NaN")),
    ("budget", "rewards.csv", "b,1,1", "b,1,inf", ("rewards.csv, line 5", "not a finite number")),
    ("budget", "rewards.csv", "b,1,1", "b,0,1", ("rewards.csv, line 5", "line 4")),
    ("budget", "rewards.csv", "reward", "gain", ("rewards.csv, line 1", "'reward' is missing")),
    ("budget", "today.csv", "b,1", "b,2", ("today.csv, line 3", "out of range")),
    ("budget", "today.csv", "b,1", "b,-1", ("today.csv, line 3", "out of range")),
    ("budget", "today.csv", "b,1", "b,half", ("today.csv, line 3", "not an integer")),
    ("budget", "today.csv", "b,1", "z,1", ("today.csv, line 3", "unknown arm 'z'")),
    ("budget", "today.csv", "b,1", "a,1", ("today.csv, line 3", "line 2")),
    ("budget", "today.csv", "b,1\n", "", ("today.csv", "arm 'b' has no row")),
    ("budget", "today.csv", "state", "condition", ("today.csv, line 1", "'state' is missing")),
    ("budget", "today.csv", FILES["today.csv"], "", ("today.csv", "empty")),
    ("capacity", "costs.csv", "b,3", "b,nan", ("costs.csv, line 3", "NaN")),
    ("capacity", "costs.csv", "b,3", "b,inf", ("costs.csv, line 3", "finite")),
    ("capacity", "costs.csv", "b,3", "b,cheap", ("costs.csv, line 3", "'cheap'")),
    ("capacity", "costs.csv", "b,3", "b,-3", ("costs.csv",)),
    ("capacity", "costs.csv", "b,3", "b,3,4", ("costs.csv, line 3",)),
    ("capacity", "costs.csv", "b,3", "z,3", ("costs.csv, line 3", "arm 'z'")),
    ("capacity", "costs.csv", "b,3\n", "", ("costs.csv", "arm 'b'")),
    ("capacity", "costs.csv", "b,3", "a,3", ("costs.csv, line 3", "line 2")),
    ("capacity", "costs.csv", "cost", "price", ("costs.csv", "'cost' is missing")),
    (
        "capacity",
        "costs.csv",
        "a,2\nb,3\nc,4",
        "a,20\nb,30\nc,40",
        ("costs.csv", "every arm costs more"),
    ),
    ("capacity", "workers.csv", "x,4\ny,3\n", "", ("workers.csv",)),
    ("capacity", "workers.csv", "y,3", "x,3", ("workers.csv, line 3", "line 2")),
    ("capacity", "workers.csv", "y,3", "y,-3", ("workers.csv",)),
    ("schedule", "slots.csv", "b,9:00", "z,9:00", ("slots.csv, line 4", "arm 'z'")),
    ("schedule", "slots.csv", "slot", "time", ("slots.csv", "'slot' is missing")),
    ("schedule", "slots.csv", "b,9:00", "a,9:00", ("slots.csv, line 4", "line 2")),
    ("schedule", "shifts.csv", "y,9:00", "x,9:00", ("shifts.csv, line 4", "line 2")),
    ("schedule", "shifts.csv", "x,9:00\nx,10:00\ny,9:00\n", "x,3:00\n", ("shifts.csv",)),
    ("path", "links.csv", "b,c", "c,c", ("links.csv", "'c'")),
    ("path", "links.csv", "b,c", "b,z", ("links.csv", "'c'")),
    ("path", "links.csv", "b,c", "b,", ("links.csv, line 3", "empty")),
    ("path", "links.csv", "b,c", "b,c\nc,z", ("links.csv", "'z'")),
    ("path", "links.csv", "a,b\nb,c", "a,a\nb,c", ("links.csv", "'a'")),
]


@pytest.mark.parametrize(
    ("kind", "file", "old", "new", "words"),
    DAMAGE,
    ids=[f"{row[0]}-{row[1]}-{number}" for number, row in enumerate(DAMAGE)],
)
def test_damaged_tables(
    desk: Desk, kind: str, file: str, old: str, new: str, words: tuple[str, ...]
) -> None:
    assert old in FILES[file]
    desk.write(file, FILES[file].replace(old, new, 1))
    desk.scenario(kind)
    desk.decide(*words)
    if file != "today.csv":  # a run finds the same before it makes a folder
        desk.run(*words)


def test_a_disconnected_graph(desk: Desk) -> None:
    desk.scenario("path", programme={"transitions": "t4.csv", "rewards": "r4.csv"})
    desk.write(
        "t4.csv",
        TRANSITIONS + TRANSITIONS.split("\n", 1)[1][: len("a,0,0,0,0.7\n") * 8].replace("a,", "d,"),
    )
    desk.write("r4.csv", FILES["rewards.csv"] + "d,0,0\nd,1,1\n")
    desk.write("links.csv", "from,to\na,b\nc,d\n")
    desk.run("links.csv", "'c' cannot be reached", "join it or remove it")


@pytest.mark.parametrize(
    "name", ["transitions.csv", "rewards.csv", "today.csv", "costs.csv", "workers.csv"]
)
def test_missing_and_binary_files(desk: Desk, name: str) -> None:
    desk.scenario("capacity")
    (desk.folder / name).unlink()
    desk.decide(name, "no such file")
    (desk.folder / name).write_bytes(b"\xff\xfe\x00\x01")
    desk.decide(name)
    (desk.folder / name).unlink()
    (desk.folder / name).mkdir()
    desk.decide(name)


def test_logs(desk: Desk) -> None:
    programme = {"transitions": None, "log": "log.csv"}
    desk.scenario(programme=programme)
    desk.write("log.csv", FILES["log.csv"].replace("b,1,0,0", "b,1,2,0"))
    desk.decide("log.csv, line 3", "action 2 is out of range")
    desk.write("log.csv", FILES["log.csv"].replace("b,1,0,0", "q,1,1,0"))
    desk.decide("log.csv, line 3", "unknown arm 'q'")
    desk.write("log.csv", FILES["log.csv"])
    for wrong in ({"prior_strength": 0.0}, {"members": -1}, {"prior_strength": float("nan")}):
        desk.scenario(programme=programme | wrong)
        desk.decide(next(iter(wrong)))
