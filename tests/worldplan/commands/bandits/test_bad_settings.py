"""Bad settings and command lines, end to end: one line; exit code 2; nothing written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worldplan.commands.bandits.builders import KINDS, Desk

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
    ({"constraint": {"costs": "costs.csv"}}, ("constraint.costs has no effect on kind 'budget'",)),
    ({"constraint": {"workers": "workers.csv"}}, ("constraint.workers", "capacity or schedule")),
    ({"constraint": {"visits": 2}}, ("constraint.visits has no effect", "schedule")),
    ({"constraint": {"same_slot": True}}, ("constraint.same_slot has no effect",)),
    ({"constraint": KINDS["capacity"] | {"moves": 4}}, ("constraint.moves", "path")),
    ({"constraint": KINDS["path"] | {"arm_slots": "slots.csv"}}, ("constraint.arm_slots",)),
    (
        {"constraint": {"kind": "custom", "rules": "rules.py:build", "budget": 1}},
        ("constraint.budget has no effect on kind 'custom': put it into a rule",),
    ),
    (
        {"constraint": KINDS["path"] | {"source": 5}},
        ("constraint.source is 5: give text in quotes",),
    ),
    ({"programme": {"constraint": "budget"}}, ("programme.constraint is budget: give settings",)),
    ({"seeds": 1.5}, ('seeds is 1.5: give text in quotes ("1.5") or a whole number or a list',)),
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
    none = {"transitions": None, "rewards": None, "constraint": {}}
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
