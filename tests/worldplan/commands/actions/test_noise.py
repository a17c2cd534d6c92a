"""`worldplan actions`: logs with bounded noise, learned, planned and validated."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.worldplan.commands.actions.builders import Desk
from worldplan.commands.actions.declarations import read_declarations
from worldplan.milp.errors import ConfigError

DOMAIN = """(define (domain tank) (:requirements :typing :fluents) (:types tank)
  (:functions (level ?t - tank) (size ?t - tank))
  (:action fill :parameters (?t - tank)) (:action drain :parameters (?t - tank)))"""

PROBLEM = """(define (problem p) (:domain tank) (:objects a - tank)
  (:init (= (level a) 2) (= (size a) 9)) (:goal (>= (level a) 5.5)))"""

DECLARED = """noise: {size: 0}
actions:
  fill: {effects: increment, effect_fluents: {"level ?t": []}, precondition_fluents: ["level ?t"]}
  drain: {effects: increment, effect_fluents: {"level ?t": []}, precondition_fluents: ["level ?t"]}
"""

LEARN = "learn log.csv --domain words.pddl --declare declared.yaml --noise 0.1 -o tank.json"


def prepare(desk: Desk) -> None:
    """A log in which the level is off by up to a tenth; filling adds 2, draining takes 1."""
    for name, text in (("words", DOMAIN), ("p", PROBLEM)):
        (desk.folder / f"{name}.pddl").write_text(text)
    (desk.folder / "declared.yaml").write_text(DECLARED)
    rows, level = ["episode,action,success,level a,size a"], 0
    noise = [0.05, -0.08, 0.1, -0.02, 0.07, -0.1, 0.03]
    for step in range(24):
        fills = level < 8 and step % 3 != 2
        rows.append(f"1,{'fill' if fills else 'drain'} a,1,{round(level + noise[step % 7], 3)},9")
        level += 2 if fills else -1
    rows.append(f"1,,,{level},9")
    (desk.folder / "log.csv").write_text("\n".join(rows) + "\n")


def test_learn_solve_and_validate(desk: Desk) -> None:
    prepare(desk)
    shown = desk.run(LEARN)
    assert "2 of 2 actions learned" in shown and "(level ?t) within" in shown
    errors = json.loads(desk.run(f"{LEARN} --json"))["actions"]["fill"]["errors"]["level ?t"]
    assert -0.2 <= errors[0] <= 0 <= errors[1] <= 0.2
    printed = desk.run("solve tank.json p.pddl --planner search -o plan.txt")
    assert printed.count("(fill a)") == 2 and "robust: it works for every value" in printed
    verdict = desk.run("validate tank.json p.pddl plan.txt")
    assert "valid, 2 steps reach the goal, for every value within the noise bounds" in verdict
    # 2 + 2 * 2 is 6, which is above 5.95 but not for every value within the bounds
    problem = desk.folder / "p.pddl"
    problem.write_text(PROBLEM.replace("5.5", "5.95"))
    assert "not valid: the goal is not reached" in desk.run("validate tank.json p.pddl plan.txt", 1)
    problem.write_text(PROBLEM.replace("(>= (level a) 5.5)", "(= (level a) 4)"))
    printed = desk.run("solve tank.json p.pddl --planner search", 1)
    assert "only plans count that work for every value within them" in printed


def test_wrong_noise(desk: Desk) -> None:
    prepare(desk)
    desk.refuses(
        LEARN.replace("--noise 0.1", "--noise 0.02"),
        "the noise bound 0.02 of (level ?t) is below the data's own scatter",
        "would be needed",
    )
    desk.refuses(LEARN.replace("tank.json", "tank.pddl"), "end it in .json")
    desk.refuses(f"{LEARN} --decimals 1", "precision and noise are both declared")
    desk.refuses(LEARN.replace("0.1", "-1"), "largest error of an observed number, from 0")
    declared = desk.folder / "declared.yaml"
    for text, *words in (
        ("noise: {levle: 0.1}", "'levle' is not a function", "did you mean", "level"),
        ("noise: {level: x}", "noise of 'level'"),
        ("noise: 0.2", "both set the bound of all numbers"),
        ("nose: 0.2", "'nose' is unknown", "did you mean"),
    ):
        declared.write_text(text + "\n")
        desk.refuses(LEARN, *words)


def test_the_declarations_are_read_once_so_that_a_pipe_may_hold_them(desk: Desk) -> None:
    prepare(desk)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        file.write(DECLARED)
    try:
        shown = desk.run(LEARN.replace("declared.yaml", f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
    assert "2 of 2 actions learned" in shown and "(level ?t) within" in shown


@pytest.mark.parametrize("text", ["noise: 0.1", "precision: {level: 0.1}"])
def test_what_is_declared_of_numbers_is_refused_where_it_would_be_ignored(
    tmp_path: Path, text: str
) -> None:
    declared = tmp_path / "declared.yaml"
    declared.write_text(f"default: {{effects: increment}}\n{text}\n")
    with pytest.raises(ConfigError, match=r"declared.yaml: 'precision' and 'noise' are for logs"):
        read_declarations(declared)
    declared.write_text("default: {effects: increment}\nnoise:\n")
    assert read_declarations(declared)[1].effects == "increment"
