"""Bad input, end to end: exit code 2, nothing written, and one line on what to do.

The line names the file, and the row where there is one.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from worldplan.cli import main
from worldplan.envs.bandits.domains import generate
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.planner import (
    SequoiaPlanner,
    SequoiaSettings,
    build_network,
    save_network,
)

TRANSITIONS = "arm,state,action,next_state,probability\n" + "".join(
    f"{arm},{state},{action},{after},{0.3 + 0.4 * (after == action)}\n"
    for arm in "abc"
    for state in (0, 1)
    for action in (0, 1)
    for after in (0, 1)
)
FILES = {
    "rewards.csv": "arm,state,reward\n"
    + "".join(f"{arm},{state},{state}\n" for arm in "abc" for state in (0, 1)),
    "transitions.csv": TRANSITIONS,
    "today.csv": "arm,state\na,0\nb,1\nc,0\n",
    "costs.csv": "arm,cost\na,2\nb,3\nc,4\n",
    "workers.csv": "worker,capacity\nx,4\ny,3\n",
    "slots.csv": "arm,slot\na,9:00\na,10:00\nb,9:00\nb,10:00\nc,9:00\n",
    "shifts.csv": "worker,slot\nx,9:00\nx,10:00\ny,9:00\n",
    "links.csv": "from,to\na,b\nb,c\n",
    "log.csv": "arm,state,action,next_state\na,0,1,1\nb,1,0,0\n",
    "rules.py": "import pyomo.environ as p\ndef build(block):\n"
    "    block.limit = p.Constraint(expr=sum(block.a.values()) <= 1)\n",
}
TABLES = {"transitions": "transitions.csv", "rewards": "rewards.csv", "horizon": 4}
KINDS: dict[str, dict[str, Any]] = {
    "budget": {"kind": "budget", "budget": 1},
    "exactly": {"kind": "exactly", "budget": 1},
    "capacity": {"kind": "capacity", "costs": "costs.csv", "workers": "workers.csv"},
    "schedule": {"kind": "schedule", "arm_slots": "slots.csv", "workers": "shifts.csv"},
    "path": {"kind": "path", "connections": "links.csv", "source": "a", "budget": 2},
    "custom": {"kind": "custom", "rules": "rules.py:build"},
}


class Desk:
    """A folder with a small programme; `refuses` runs a command that must fail cleanly."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def scenario(
        self,
        kind: str = "budget",
        *,
        constraint: dict[str, Any] | None = None,
        programme: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        whole = TABLES | {"constraint": KINDS[kind] | (constraint or {})} | (programme or {})
        settings = {
            "name": "small",
            "programme": whole,
            "policies": ["random", "fluid"],
            "episodes": 2,
        } | rest
        self.write("small.yaml", yaml.safe_dump(settings))

    def files(self) -> set[str]:
        return {
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if "__pycache__" not in path.parts
        }

    def refuses(self, argv: list[str], *words: str) -> str:
        before = self.files()
        self.capsys.readouterr()
        assert main(argv) == 2
        printed = self.capsys.readouterr()
        assert printed.err.count("\n") == 1 and printed.err.endswith("\n"), printed.err
        assert printed.out == ""
        assert "Traceback" not in printed.err
        for word in words:
            assert word in printed.err, printed.err
        assert self.files() == before, self.files() - before
        return printed.err

    def decide(self, *words: str, more: list[str] | None = None) -> str:
        return self.refuses(
            ["bandits", "decide", "small.yaml", "--state", "today.csv", *(more or [])], *words
        )

    def run(self, *words: str, more: list[str] | None = None) -> str:
        return self.refuses(["bandits", "run", "small.yaml", "--jobs", "1", *(more or [])], *words)


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_these_tests_damage_are_good(
    desk: Desk, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.scenario(kind)
    assert main(["bandits", "decide", "small.yaml", "--state", "today.csv"]) == 0
    assert (desk.folder / "decision.csv").exists()


# --- tables: one cell or row wrong at a time ------------------------------------------------------

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


# --- settings -------------------------------------------------------------------------------------

SETTINGS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"constraint": {"kind": "lottery"}}, ("constraint.kind 'lottery'", "choose budget")),
    ({"constraint": {"budget": -1}}, ("constraint.budget is -1",)),
    ({"constraint": {"budget": 0}}, ("constraint.budget is 0",)),
    ({"constraint": {"kind": "exactly", "budget": 9}}, ("budget 9",)),
    ({"constraint": {"kind": "capacity"}}, ("constraint.costs is missing",)),
    ({"constraint": {"kind": "schedule"}}, ("constraint.arm_slots is missing",)),
    (
        {
            "constraint": {
                "kind": "schedule",
                "arm_slots": "slots.csv",
                "workers": "shifts.csv",
                "visits": 0,
            }
        },
        ("visits is 0",),
    ),
    ({"constraint": KINDS["capacity"] | {"budget": -1}}, ("budget is -1",)),
    ({"constraint": KINDS["capacity"] | {"costs": "none.csv"}}, ("none.csv", "no such file")),
    ({"constraint": KINDS["path"] | {"source": "z"}}, ("links.csv", "'z'")),
    ({"constraint": KINDS["path"] | {"source": None}}, ("constraint.source is missing",)),
    ({"constraint": KINDS["path"] | {"moves": -1}}, ("moves",)),
    ({"constraint": KINDS["path"] | {"budget": -1}}, ("budget",)),
    ({"constraint": {"kind": "custom"}}, ("constraint.rules is missing",)),
    ({"constraint": {"budgget": 1}}, ("budgget",)),
    ({"programme": {"domain": "path"}}, ("exactly one of domain",)),
    ({"programme": {"transitions": None}}, ("exactly one of domain",)),
    ({"programme": {"rewards": None}}, ("programme.rewards is missing",)),
    ({"programme": {"horizon": 0}}, ("horizon",)),
    ({"programme": {"start": "none.csv"}}, ("none.csv",)),
    ({"programme": {"colour": "red"}}, ("colour",)),
    ({"programme": {"horizon": "soon"}}, ("horizon",)),
    ({"policies": ["oracle"]}, ("oracle", "choose from")),
    ({"policies": []}, ("policies",)),
    ({"seeds": "3..1"}, ("seeds",)),
    ({"seeds": "-1"}, ("seeds",)),
    ({"seeds": "many"}, ("seeds",)),
    ({"seeds": [1, 1]}, ("seeds",)),
    ({"episodes": 0}, ("episodes",)),
    ({"episodes": -5}, ("episodes",)),
    ({"fluid_window": 0}, ("fluid_window",)),
    ({"name": "a/b"}, ("name 'a/b'",)),
    ({"name": ".."}, ("name '..'",)),
    ({"solver": {"time_limit": 0}}, ("time_limit",)),
    ({"solver": {"time_limit": -1}}, ("time_limit",)),
    ({"solver": {"gap": -0.1}}, ("gap",)),
    ({"solver": {"gap": float("nan")}}, ("gap",)),
    ({"solver": {"name": "cplex"}}, ("cplex", "highs")),
    ({"solver": {"threads": -2}}, ("threads",)),
    ({"sequoia": {"batch": 0}}, ("batch",)),
    ({"sequoia": {"network": "deep"}}, ("network", "deep")),
    ({"sequoia": {"discount": 1.5}}, ("discount",)),
    ({"checkpoint": "none.ckpt", "policies": ["sequoia"]}, ("none.ckpt", "no such checkpoint")),
    ({"colour": "red"}, ("colour",)),
]


@pytest.mark.parametrize(
    ("change", "words"), SETTINGS, ids=[str(change)[:60] for change, _ in SETTINGS]
)
def test_bad_settings(desk: Desk, change: dict[str, Any], words: tuple[str, ...]) -> None:
    desk.scenario(**change)
    said = desk.run(*words)
    assert (
        "small.yaml" in said
        or "constraint." in said
        or any(word.endswith((".csv", ".ckpt")) for word in words)
    ), said


def test_decide_refuses_what_run_does(desk: Desk) -> None:
    desk.scenario(solver={"time_limit": 0})
    desk.decide("time_limit")
    desk.refuses(["bandits", "bound", "small.yaml"], "time_limit")


def test_generated_domains(desk: Desk) -> None:
    none = {"transitions": None, "rewards": None}
    desk.scenario(programme=none | {"domain": "mountain"})
    desk.run("mountain", "capacity")
    desk.scenario(programme=none | {"domain": "capacity", "arms": 0})
    desk.run("arms")
    desk.scenario(programme=none | {"domain": "capacity", "budget": -2})
    desk.run("budget")
    desk.scenario(programme=none | {"domain": "path", "connections": "links.csv", "arms": 20})
    desk.run("links.csv", "only 3 nodes", "choose fewer")
    desk.scenario(
        programme=none
        | {"domain": "path", "connections": "links.csv", "arms": 2, "budget": 1, "centre": "z"}
    )
    desk.run("links.csv", "'z' is not in the graph")
    desk.scenario(
        programme=none | {"domain": "path", "connections": "none.csv", "arms": 3, "budget": 1}
    )
    desk.run("none.csv", "no such file")
    desk.scenario(
        programme=none | {"domain": "interventions", "arms": 6, "budget": 2}, policies=["whittle"]
    )
    desk.run("Whittle index is not defined", "use the myopic")


def test_bad_yaml(desk: Desk) -> None:
    desk.refuses(["bandits", "run", "none.yaml"], "none.yaml", "no such file")
    desk.write("small.yaml", "name: [unclosed\n")
    desk.run("small.yaml", "not valid YAML", "line")
    desk.write("small.yaml", "")
    desk.run("small.yaml", "holds nothing")
    desk.write("small.yaml", "- 1\n- 2\n")
    desk.run("small.yaml", "holds list")


def test_bad_command_lines(desk: Desk) -> None:
    desk.scenario()
    desk.refuses(["bandits", "decide", "small.yaml"], "--state")
    desk.refuses(["bandits", "decide"], "--state")
    desk.refuses(
        ["bandits", "decide", "small.yaml", "--state", "today.csv", "--policy", "oracle"], "oracle"
    )
    desk.decide("steps_left", more=["--steps_left", "99"])
    desk.decide("steps_left", more=["--steps_left", "-3"])
    desk.decide("must be trained", more=["--policy", "sequoia"])
    desk.run("engine", more=["--engine", "teleport"])
    desk.run("--colour", more=["--colour", "red"])
    desk.run("episodes", more=["--episodes", "few"])
    desk.run("jobs", more=["--jobs", "-7"])
    desk.refuses(["bandits", "run"], "programme")
    desk.refuses(["bandits", "ruin", "small.yaml"], "ruin")
    desk.refuses(["bandits"], "run")
    desk.refuses(["plan"], "plan")
    desk.refuses(["doctor", "--colour"], "--colour")
    desk.refuses(["evaluate"], "run")
    desk.refuses(["report"], "run")
    desk.refuses(["fit", "--config", "none.yaml"], "none.yaml")
    desk.refuses(["fit", "--colour", "red"], "colour")
    desk.write("fit.yaml", "model: [unclosed\n")
    desk.refuses(["fit", "--config", "fit.yaml"], "fit.yaml")
    desk.write("fit.yaml", "model:\n  class_path: planners.nothing.Here\n")
    desk.refuses(["fit", "--config", "fit.yaml"], "planners.nothing.Here")


def test_folders_that_are_no_runs(desk: Desk) -> None:
    (desk.folder / "empty").mkdir()
    for command in ("evaluate", "report"):
        desk.refuses([command, "none"], "none", "not a run folder")
        desk.refuses([command, "empty"], "empty", "not a run folder")
    (desk.folder / "empty" / "config.yaml").write_text("model: 1\n")
    desk.refuses(["evaluate", "empty"], "empty", "no such checkpoint")
    (desk.folder / "empty" / "config.yaml").write_text("other: 1\n")
    desk.refuses(["evaluate", "empty"], "empty", "bandits run")
    (desk.folder / "empty" / "config.yaml").write_text(
        "programme: {domain: capacity}\nepisodes: few\n"
    )
    (desk.folder / "empty" / "summary.csv").write_text("")
    desk.refuses(["evaluate", "empty"], "empty", "episodes")
    (desk.folder / "empty" / "config.yaml").write_text("programme: {domain: capacity}\n")
    (desk.folder / "empty" / "summary.csv").unlink()
    desk.refuses(["evaluate", "empty"], "empty", "not finished")
    desk.refuses(["evaluate", "empty", "--episodes", "0"], "episodes")


# --- rules, checkpoints, solvers ------------------------------------------------------------------

RULES = [
    (None, ("rules.py",)),
    ("def build(block:\n", ("rules.py", "SyntaxError")),
    ("import nothing_like_this\n", ("rules.py", "nothing_like_this")),
    ("def other(block): pass\n", ("rules.py", "no function 'build'")),
    ("def build(block):\n    raise ValueError('two\\nlines')\n", ("rules.py", "ValueError")),
    ("def build(block):\n    block.b = block.a[99]\n", ("rules.py", "99")),
    (
        "import pyomo.environ as p\ndef build(block):\n"
        "    block.c = p.Constraint(expr=block.a[0] * block.a[1] <= 0)\n",
        ("rules.py", "not linear"),
    ),
    (
        "import pyomo.environ as p\ndef build(block):\n"
        "    block.o = p.Objective(expr=block.a[0])\n",
        ("rules.py", "objective"),
    ),
    (
        "import pyomo.environ as p\ndef build(block):\n"
        "    block.c = p.Constraint(expr=sum(block.a.values()) >= 4)\n",
        ("rules.py", "no action"),
    ),
]


@pytest.mark.parametrize(
    ("text", "words"), RULES, ids=[f"rules{number}" for number in range(len(RULES))]
)
def test_rules(desk: Desk, text: str | None, words: tuple[str, ...]) -> None:
    desk.scenario("custom")
    if text is None:
        (desk.folder / "rules.py").unlink()
    else:
        desk.write("rules.py", text)
    desk.run(*words)


def test_checkpoints(desk: Desk) -> None:
    larger = generate("budget", 8, 2, seed=0, horizon=4)
    settings = SequoiaSettings(hidden=(4, 4))
    torch.save(
        {"sequoia": save_network(build_network(larger, settings), larger, settings)},
        desk.folder / "larger.ckpt",
    )
    desk.write("damaged.ckpt", "PK not really")
    whole = (desk.folder / "larger.ckpt").read_bytes()
    (desk.folder / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save(
        {"sequoia": {"settings": {"colour": 1}, "shape": {}, "weights": {}}},
        desk.folder / "other.ckpt",
    )
    (desk.folder / "folder").mkdir()
    desk.scenario(policies=["sequoia"])
    for name, words in {
        "larger.ckpt": ("trained for 8 arms", "this programme has 3 arms"),
        "damaged.ckpt": ("not a SEQUOIA checkpoint",),
        "half.ckpt": ("not a SEQUOIA checkpoint",),
        "other.ckpt": ("other.ckpt",),
        "folder": ("no best.ckpt",),
        "none": ("no such checkpoint",),
    }.items():
        desk.decide(name, *words, more=["--policy", "sequoia", "--checkpoint", name])
        desk.run(name, *words, more=["--checkpoint", name])


def test_a_checkpoint_with_other_weights(desk: Desk) -> None:
    desk.scenario()
    instance = generate("budget", 3, 1, seed=0, horizon=4, states=2)
    saved = save_network(
        build_network(instance, SequoiaSettings(hidden=(4, 4))),
        instance,
        SequoiaSettings(hidden=(8, 4)),
    )
    torch.save({"sequoia": saved}, desk.folder / "odd.ckpt")
    desk.decide("odd.ckpt", "train again", more=["--policy", "sequoia", "--checkpoint", "odd.ckpt"])


def test_a_solver_that_is_absent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("gurobipy", "ray"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    desk.scenario()
    desk.decide("Gurobi is not installed", "worldplan[gurobi]", more=["--solver", "gurobi"])
    desk.run("Gurobi is not installed", more=["--solver", "gurobi"])
    desk.refuses(
        ["bandits", "bound", "small.yaml", "--solver", "gurobi"], "Gurobi is not installed"
    )
    desk.run("worldplan[ray]", more=["--engine", "ray"])


def test_a_licence_that_is_too_small(desk: Desk) -> None:
    gurobipy = pytest.importorskip("gurobipy")
    model = gurobipy.Model(env=gurobipy.Env(params={"OutputFlag": 0}))
    model.addMVar(3000)
    try:
        model.optimize()
    except gurobipy.GurobiError:
        pass
    else:
        pytest.skip("this Gurobi has a full licence")
    generated = {
        "transitions": None,
        "rewards": None,
        "domain": "capacity",
        "arms": 40,
        "horizon": 20,
    }
    desk.scenario(programme=generated)
    desk.write("today.csv", "arm,state\n" + "".join(f"{arm},0\n" for arm in range(40)))
    for words in (desk.decide, desk.run):
        words("size limit", "solver.name=highs", more=["--solver", "gurobi"])


# --- limits ---------------------------------------------------------------------------------------


def test_a_solve_that_hits_its_limit_says_so() -> None:
    instance = generate("capacity", 60, 12, seed=0, horizon=5)
    network = build_network(
        instance, SequoiaSettings(network="plain", hidden=(48, 48), discount=0.9), seed=1
    )
    state = instance.draw_start(np.random.default_rng(0), 1)
    limited = SolverSettings(gap=0.0, time_limit=0.3)
    planner = SequoiaPlanner(instance, network, limited, bounds="interval")
    decision = planner.plan({"state": state[0], "steps_left": 5})
    assert decision.status == "time_limit"
    assert instance.actions.contains(decision.action)
    assert decision.value is not None and decision.bound is not None
    assert decision.value < decision.bound
    assert isinstance(planner._argmax, NetworkArgmax)
