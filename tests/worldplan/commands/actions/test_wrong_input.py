"""`worldplan actions`: bad input gives one clear line, and limits are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.worldplan.commands.actions.builders import DELIVERY, LEARN, SOLVE, VALIDATE, Desk
from worldplan.commands.actions import solve as actions_solve
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.action_model.files import load_model


def test_wrong_logs(desk: Desk) -> None:
    log = desk.files / "log.csv"
    original = log.read_text()
    for old, new, *words in (
        ("battery van1", "bttery van1", "log.csv, column 'bttery van1'", "no predicate 'bttery'"),
        ("at lamp depot", "at lamp lamp", "'lamp' is used as"),
        (
            "pick-up lamp van1 depot",
            "fetch lamp van1 depot",
            "log.csv, row 2, column 'action'",
            "no action 'fetch'",
        ),
        ("pick-up lamp van1 depot", "pick-up van1 lamp depot", "is used as"),
        (
            "pick-up lamp van1 depot,1,40,",
            "pick-up lamp van1 depot,1,forty,",
            "row 2, column 'battery van1'",
            "'forty' is not a number",
        ),
        (
            "north,1,32.5,60,2.5",
            "north,1,32.5,59,2.5",
            "episode 1: transition 2, (drive van1 depot north)",
            "does not follow",
        ),
        (
            "\n1,,,0,60,2.5",
            "\n1,,,0,60,2",
            "transition 8, (drive van1 north depot)",
            "marked as failed and yet the state changed",
        ),
    ):
        assert old in original, old
        log.write_text(original.replace(old, new, 1))
        desk.refuses(LEARN, *words)
    log.unlink()
    desk.refuses(LEARN.replace(f"{DELIVERY}/log.csv", "log.csv"), "log.csv", "no such file")
    desk.refuses(LEARN.replace("/log.csv", "", 1), "holds no .trajectory and no .csv file")


def test_wrong_trajectories(desk: Desk) -> None:
    path = desk.folder / "a.trajectory"
    (desk.folder / "a.pddl").write_text(
        "(define (problem a) (:domain delivery)\n (:objects red - van depot mill - place) (:init) "
        "(:goal (and)))"
    )
    good = (
        "((:init (at red depot) (= (battery red) 5))\n(operator: (charge red depot))\n"
        "(:state (at red depot) (= (battery red) 9)))"
    )
    for old, new, *words in (
        ("9)))", "9))", "a.trajectory, line 1", "never closed"),
        ("9)))", "9))))", "a.trajectory, line 3", "closes nothing"),
        (
            "(charge red depot)",
            "(charge red lake)",
            "a.trajectory, line 2",
            "'lake' in (charge red lake) is not an object",
        ),
        (
            "(charge red depot)",
            "(charge depot red)",
            "line 2",
            "'depot' in (charge depot red) is of type 'place', not 'van'",
        ),
        ("(charge red depot)", "(refuel red depot)", "line 2", "no action 'refuel'"),
        ("(at red depot) (= (battery red) 9)", "(near red depot)", "line 3", "no predicate 'near'"),
        ("(battery red) 9", "(speed red) 9", "line 3", "no function 'speed'"),
        (
            "(at red depot) (= (battery red) 9)",
            "(at red mill) (= (battery red) 9)",
            "transition 1, (charge red depot)",
            "does not follow",
        ),
    ):
        assert old in good
        path.write_text(good.replace(old, new))
        desk.refuses(f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json", *words)
    path.write_text(good)
    printed = desk.run(f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json")
    assert "1 of 4 actions learned" in printed
    assert (
        "warning: never observed, so not in the model: drive, pick-up, drop-off" in desk.warnings
        and "not learned: never observed" in printed
    )
    assert "drive (never observed)" in desk.run(f"solve m.json {DELIVERY}/problem.pddl", code=1)
    (desk.folder / "a.pddl").unlink()  # the types of the objects are inferred
    assert "1 of 4 actions learned" in desk.run(
        f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json"
    )
    path.write_text(good.replace("(charge red depot)", "(charge depot depot)"))
    desk.refuses(
        f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json",
        "'depot' is used as place and as van",
        "name its type in a.pddl",
    )


def test_an_effect_that_is_not_affine_excludes_its_action(desk: Desk) -> None:
    states = "".join(
        f"\n(operator: (charge red depot)) (:state (at red depot) (= (battery red) {2**k}))"
        for k in (1, 2, 4, 8)
    )
    Path("a.trajectory").write_text(f"((:init (at red depot) (= (battery red) 1)){states})")
    Path("a.pddl").write_text(
        "(define (problem a) (:domain delivery) (:objects red - van depot - place) (:init) (:goal "
        "(and)))"
    )
    command = f"learn a.trajectory {DELIVERY}/log.csv --domain {DELIVERY}/domain.pddl -o m.json"
    outcomes = json.loads(desk.run(command + " --json"))["actions"]
    assert (
        outcomes["charge"]["learned"] is False
        and "(battery ?v)" in outcomes["charge"]["excluded"]
        and "not affine" in outcomes["charge"]["excluded"]
    )
    assert all(outcomes[name]["learned"] for name in ("drive", "pick-up", "drop-off"))
    assert "3 of 4 actions learned" in desk.run(command)
    assert "charge" not in load_model("m.json").actions
    desk.refuses(
        command.replace(f" {DELIVERY}/log.csv", ""),
        "no action could be learned from 1 trajectories",
        "charge: ",
    )


def test_wrong_declarations(desk: Desk) -> None:
    path = desk.files / "declarations.yaml"
    for text, *words in (
        ("actions: {drive: {preconditions: [", "declarations.yaml", "not valid YAML"),
        ("- 1", "must hold settings"),
        ("drive: {}", "'drive' is unknown: give 'default' and 'actions'"),
        ("actions: [drive]", "'actions' must map"),
        ("actions: {drive: monotone}", "drive: must hold settings"),
        ("actions: {fly: {}}", "'fly' is not an action of", "drive, charge, pick-up, drop-off"),
        ("actions: {drive: {preconditions: concave}}", "drive", "'concave' is unknown"),
        ("actions: {drive: {precondition: convex}}", "drive", "precondition"),
        ("actions: {drive: {directions: [1]}}", "drive", "directions"),
        (
            "actions: {drive: {preconditions: monotone, directions: {fuel: 1}}}",
            "declarations.yaml",
            "'drive' has no numeric fluent 'fuel'",
        ),
        (
            'actions: {drive: {precondition_fluents: ["fuel ?v"]}}',
            "declarations.yaml",
            "'drive' has no numeric fluent 'fuel ?v'",
            "battery ?v",
        ),
        ("default: {size: two}", "default", "size"),
        ("default: {groups: 3}", "default", "groups"),
        ("default: {effect_fluents: [battery]}", "default", "effect_fluents"),
    ):
        path.write_text(text)
        desk.refuses(LEARN, *words)
    path.unlink()
    command = LEARN.replace(f"{DELIVERY}/declarations.yaml", "declarations.yaml")
    desk.refuses(command, "declarations.yaml: no such file")


def test_a_refuted_declaration_is_named(desk: Desk) -> None:
    desk.edit(
        "declarations.yaml",
        '"battery ?v": 1, "distance ?a ?b": -1',
        '"battery ?v": -1, "distance ?a ?b": 1',
    )
    shown = desk.run(LEARN)
    assert "weaker class used" in shown and "it failed at" in shown
    outcomes = json.loads(desk.run(LEARN + " --json"))["actions"]
    assert (
        "not as declared" in outcomes["drive"]["refuted"] and "refuted" not in outcomes["pick-up"]
    )


def test_wrong_problems_and_models(desk: Desk) -> None:
    desk.run(LEARN)
    problem = desk.files / "problem.pddl"
    original = problem.read_text()
    for old, new, *words in (
        ("(at flour school)", "(at flour harbour)", "problem.pddl", "harbour"),
        ("(at flour school)", "(on flour station)", "problem.pddl", "on"),
        ("(at red depot)", "(at red books)", "problem.pddl"),
        ("(= (weight desk) 18)", "(= (height desk) 18)", "problem.pddl", "height"),
        ("desk - parcel)", "desk - parcel", "problem.pddl"),
        ("red blue - van", "red blue - lorry", "problem.pddl", "lorry"),
    ):
        assert old in original
        problem.write_text(original.replace(old, new))
        desk.refuses(SOLVE, *words)
    problem.write_text(original)
    desk.refuses(SOLVE.replace("vans.json", "no.json"), "no.json: no such file")
    desk.refuses(SOLVE.replace("vans.json", "no.pddl"), "no.pddl")
    desk.refuses(SOLVE.replace("problem.pddl", "no.pddl"), "no.pddl")
    desk.refuses(SOLVE.replace("vans.json", f"{DELIVERY}/declarations.yaml"), "declarations.yaml")
    desk.refuses(VALIDATE, "plan.txt")
    Path("plan.txt").write_text("(drive red depot school)\ndrive blue\n")
    desk.refuses(VALIDATE, "plan.txt: line 2")
    Path("vans.json").write_text(
        Path("vans.json").read_text().replace('"version": 1', '"version": 7')
    )
    desk.refuses(SOLVE, "vans.json: version: 7")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["the following arguments are required: verb"]),
        ("forget", ["invalid choice: 'forget'"]),
        (LEARN.replace("vans.json", "vans.txt"), ["-o vans.txt", "end it in .json"]),
        (LEARN + " --budget 9", ["--budget 9", "for a .pddl output only"]),
        (LEARN.replace("vans.json", "vans.pddl") + " --budget 0", ["--budget 0"]),
        (LEARN.replace("domain.pddl", "town.pddl"), ["town.pddl"]),
        (SOLVE + " --time-limit 0", ["--time-limit 0"]),
        (SOLVE + " --planner guess", ["invalid choice: 'guess'"]),
        (f"evaluate {DELIVERY} --domain true.pddl", ["delivery: holds no .trajectory file"]),
    ],
)
def test_wrong_arguments(desk: Desk, command: str, words: list[str]) -> None:
    desk.refuses(command, *words)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("time_limit", "within 7 s"),
        ("memory_limit", "within 99 MB"),
        ("no_plan_found", "nothing is proven"),
    ],
)
def test_no_plan_for_other_reasons(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: str, words: str
) -> None:
    desk.run(LEARN)
    monkeypatch.setattr(
        actions_solve,
        "solve",
        lambda *_, **__: PlanResult(None, status, "search", 1.0, detail={"reason": "because"}),
    )
    printed = desk.run(SOLVE + " --time-limit 7 --memory-limit 99", code=1)
    assert (
        "NO PLAN" in printed
        and words in printed
        and "because" in printed
        and "unsolvable" not in printed
    )


def test_the_planner_keeps_its_time_limit(desk: Desk) -> None:
    desk.run(LEARN)
    # an unreachable goal, which the search needs long to prove
    desk.edit("problem.pddl", "(at flour school))", "(at flour school) (< (battery red) 0))")
    answer = json.loads(desk.run(SOLVE + " --planner search --time-limit 0.3 --json", code=1))
    assert answer["status"] in ("time_limit", "unsolvable") and answer["seconds"] < 10
