"""`worldplan actions`: logs of programs that compute in floating point, and `--decimals`."""

from __future__ import annotations

import json

from tests.worldplan.commands.actions.builders import Desk

DOMAIN = """(define (domain tank) (:requirements :typing :fluents) (:types tank)
  (:functions (level ?t - tank) (used))
  (:action fill :parameters (?t - tank)) (:action drain :parameters (?t - tank)))"""

LEARN = "learn tank.csv --domain words.pddl -o tank.json"


def write_log(desk: Desk) -> None:
    """Three episodes of a program that adds and subtracts tenths."""
    (desk.folder / "words.pddl").write_text(DOMAIN)
    rows = ["episode,action,level a,used"]
    for episode in range(3):
        level, used = 0.1 * episode, 0.0
        for step in range(8):
            rows.append(f"{episode},{'fill' if step % 3 else 'drain'} a,{level},{used}")
            if step % 3:
                level += 0.1
            else:
                level, used = level - 0.3, used + 0.3
        rows.append(f"{episode},,{level},{used}")
    (desk.folder / "tank.csv").write_text("\n".join(rows) + "\n")


def test_what_rounding_breaks_names_the_option(desk: Desk) -> None:
    write_log(desk)
    desk.refuses(
        LEARN,
        "fill: the effect on (level ?t) is not affine",
        "by rounding only: --decimals 1 makes it affine",
    )
    shown = desk.run(f"{LEARN} --decimals 1")
    assert "2 of 2 actions learned" in shown and "suggestion" not in shown
    assert "29 of 54 numbers changed by rounding, by at most 1e-16 (level a)" in shown
    model = json.loads((desk.folder / "tank.json").read_text())
    assert [entry["constant"] for entry in model["actions"]["fill"]["effects"]] == ["1/10"]


def test_the_suggestion_is_printed_and_not_applied(desk: Desk) -> None:
    write_log(desk)
    log = desk.folder / "tank.csv"
    log.write_text("\n".join(log.read_text().splitlines()[:5]) + "\n0,,0.123,0.3\n")
    shown = desk.run(LEARN)
    assert "suggestion: --decimals 3 makes every action free of rounding" in shown, shown
    assert "not applied unless given" in shown
    document = json.loads(desk.run(f"{LEARN} --json"))
    assert document["suggested_decimals"] == 3 and document["rounding"] is None
    document = json.loads(desk.run(f"{LEARN} --json --decimals 3"))
    assert document["suggested_decimals"] is None and document["rounding"]["changed"] > 0


def test_a_step_for_each_function(desk: Desk) -> None:
    write_log(desk)
    declared = desk.folder / "declared.yaml"
    declared.write_text("precision: {level: 0.1, used: 3/10}\n")
    command = f"{LEARN} --declare declared.yaml"
    assert "2 of 2 actions learned" in desk.run(command)
    declared.write_text("precision: {level: 0.1}\n")
    assert "drain" in desk.run(command)
    assert "2 of 2 actions learned" in desk.run(f"{command} --decimals 1")
    (desk.folder / "tank.json").unlink()
    for text, *words in (
        ("precision: {levle: 0.1}", "'levle' is not a function", "did you mean", "level"),
        ("precision: 0", "declared.yaml", "give a number above 0"),
        ("precision: {level: x}", "precision of 'level'", "give a number above 0"),
        ("precison: 0.1", "'precison' is unknown", "did you mean"),
    ):
        declared.write_text(text + "\n")
        desk.refuses(command, *words)
    declared.write_text("precision: 0.1\n")
    desk.refuses(f"{command} --decimals 1", "both set the step of all numbers")
    desk.refuses(f"{LEARN} --decimals -1", "whole number from 0 to 30")
