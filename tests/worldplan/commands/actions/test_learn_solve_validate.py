"""`worldplan actions` learn, solve and validate: the example of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.worldplan.commands.actions.builders import DELIVERY, LEARN, SOLVE, VALIDATE, Desk
from worldplan.world_models.action_model.files import load_model
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.logs import read_trajectories
from worldplan.world_models.pddl.plans import read_plan, validate_with_unified_planning
from worldplan.world_models.pddl.reading import read_model, read_problem, read_vocabulary


def test_the_three_commands_of_the_readme(desk: Desk) -> None:
    shown = desk.run(LEARN)
    assert "4 of 4 actions learned, written to vans.json" in shown and not desk.warnings
    printed = desk.run(SOLVE)
    plan = read_plan("plan.txt")
    (desk.folder / "printed.txt").write_text(printed)
    assert read_plan("printed.txt") == plan and len(plan) >= 11
    assert "worldplan: valid" in desk.run(VALIDATE)
    problem = desk.files / "problem.pddl"
    assert validate_with_unified_planning("true.pddl", problem, plan).valid
    true = read_model("true.pddl")
    assert is_valid(true, read_problem(problem, true.vocabulary), plan)


@pytest.mark.parametrize("command", [LEARN, SOLVE, VALIDATE])
def test_the_readme_shows_them(command: str) -> None:
    # long commands continue after a backslash
    text = re.sub(r" \\\n\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert f"worldplan actions {command}\n" in text


def test_the_example_log_is_true(desk: Desk) -> None:
    true = read_model("true.pddl")
    assert read_vocabulary(desk.files / "domain.pddl") == true.vocabulary
    outcomes = []
    for episode in read_trajectories([desk.files / "log.csv"], true.vocabulary):
        for i, (name, *binding) in enumerate(episode.calls):
            action, before, after = true.actions[name], episode.states[i], episode.states[i + 1]
            outcomes.append(action.applicable(tuple(binding), before))
            assert outcomes[-1] == episode.succeeded[i]
            assert after == (action.successor(tuple(binding), before) if outcomes[-1] else before)
    assert outcomes.count(True) == 36 and outcomes.count(False) == 13


def test_without_declarations_the_model_is_more_careful(desk: Desk) -> None:
    desk.run(LEARN.replace(f"--declare {DELIVERY}/declarations.yaml ", ""))
    printed = desk.run(SOLVE, code=1)
    assert (
        "NO PLAN: unsolvable in this model" in printed
        and "the world may have a plan all the same" in printed
    )
    assert not Path("plan.txt").exists()
    answer = json.loads(desk.run(SOLVE + " --json", code=1))
    assert (
        answer["status"] == "unsolvable"
        and answer["plan"] is None
        and answer["learned_model"] is True
    )


def test_export_to_pddl(desk: Desk) -> None:
    desk.run(LEARN)
    shown = desk.run(LEARN.replace("vans.json", "vans.pddl"))
    assert shown.count("exact") == 4 and "inner" not in shown
    desk.run(SOLVE)
    for domain in ("vans.pddl", "true.pddl"):
        verdict = desk.run(VALIDATE.replace("vans.json", domain))
        assert "worldplan: valid" in verdict and "unified-planning: valid" in verdict
    answer = json.loads(desk.run(SOLVE.replace("vans.json", "vans.pddl") + " --json"))
    exact_model = load_model("vans.json")
    problem = read_problem(desk.files / "problem.pddl", exact_model.vocabulary)
    assert (
        is_valid(exact_model, problem, [tuple(step) for step in answer["plan"]])
        and answer["learned_model"] is False
    )


def test_an_export_over_the_budget_says_so(desk: Desk) -> None:
    plain = f"learn {DELIVERY}/log.csv --domain {DELIVERY}/domain.pddl -o vans.pddl --budget 12"
    assert "inner approximation" in desk.run(plain)
    outcomes = json.loads(desk.run(plain + " --json"))["actions"]
    assert [outcomes[name]["exact"] for name in ("drive", "charge")] == [False, True]
    assert outcomes["drive"]["observations"] == 15 and outcomes["drive"]["points"] == 14
    true, learned = read_model("true.pddl"), read_model("vans.pddl")
    assert set(learned.actions) == set(true.actions)
    assert sum(len(learned.actions[name].comparisons) for name in outcomes) == sum(
        outcome["half_spaces"] for outcome in outcomes.values()
    )


def test_validate_names_step_and_reason(desk: Desk) -> None:
    desk.run(LEARN)
    for plan, reason in (
        (
            "(drive red depot mill)",
            (
                "step 1, (drive red depot mill): (battery red) is 12|(battery red) - (distance "
                "depot mill) >= 0 does not hold"
            ),
        ),
        ("(drive red depot school)\n(fly red)", "step 2, (fly red): the model has no action 'fly'"),
        (
            "",
            (
                "the goal is not reached: (at books school) is false; (at desk school) is false; "
                "(at flour school) is false"
            ),
        ),
    ):
        Path("plan.txt").write_text(plan)
        for domain in ("true.pddl", "vans.json"):
            verdict = desk.run(VALIDATE.replace("vans.json", domain), code=1)
            assert verdict.startswith("worldplan: not valid: ")
            assert (
                any(part in verdict for part in reason.split("|"))
                or "outside the learned region" in verdict
            )
            assert ("unified-planning: not valid" in verdict) == (domain == "true.pddl")
    answer = json.loads(desk.run(VALIDATE.replace("vans.json", "true.pddl") + " --json", code=1))
    assert answer["valid"] is False and set(answer["faults"]) == {"worldplan", "unified-planning"}
