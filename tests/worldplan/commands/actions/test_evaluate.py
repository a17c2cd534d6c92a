"""`worldplan actions evaluate`: cross validation as a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.worldplan.commands.actions.builders import DELIVERY, Desk, make_data
from worldplan.cli import main
from worldplan.commands.actions import jobs as action_jobs
from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import NumericProblem


def test_evaluate(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(Path("data"))
    command = (
        "evaluate data --domain true.pddl --folds 2 --counts 1,2 --problems 1 --walk-steps 30 "
        "--jobs 1 --time-limit 5 --name vans"
    )
    done: list[tuple[int, int]] = []
    real = action_jobs._plan_row

    def interrupted(study: action_jobs.CrossValidation, *rest: object) -> dict:
        done.append((0, 0))
        if len(done) == 2:
            raise KeyboardInterrupt
        return real(study, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(action_jobs, "_plan_row", interrupted)
    assert main(["actions", *command.split()]) == 130
    (run,) = Path("runs/vans").glob("[!.]*")
    assert len(list((run / "jobs").glob("fold?-?.csv"))) == 1 and not (run / "summary.csv").exists()
    monkeypatch.setattr(action_jobs, "_plan_row", real)
    began = (run / "jobs" / "fold0-1.csv").stat().st_mtime_ns
    shown = desk.run(command)
    assert (
        "continuing" in desk.warnings and (run / "jobs" / "fold0-1.csv").stat().st_mtime_ns == began
    )
    assert "self-consistency" in shown and "run folder: runs/vans/" in shown
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics[["fold", "count"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert (
        (metrics["self_consistency"] == 1).all()
        and (metrics["precondition_precision"] == 1).all()
        and (metrics["effect_precision"] == 1).all()
    )
    assert (metrics["false_plans"] == 0).all() and (metrics["disagreements"] == 0).all()
    assert metrics["precondition_recall"].between(0, 1).all() and (metrics["problems"] == 1).all()
    for file in (
        "config.yaml",
        "versions.json",
        "actions.csv",
        "problems.csv",
        "results.csv",
        "report.html",
        "plots/learning_curve.svg",
    ):
        assert (run / file).stat().st_size > 0, file
    actions = pd.read_csv(run / "actions.csv")
    assert len(actions) == 4 * 4 and (actions["precondition_learned_only"] == 0).all()
    answer = json.loads(desk.run(command + " --fresh --json"))
    assert [row["count"] for row in answer["results"]] == [1, 2] and answer["run"] != str(run)
    again = pd.read_csv(Path(answer["run"]) / "metrics.csv")
    times = ["learn_seconds", "plan_seconds"]
    pd.testing.assert_frame_equal(again.drop(columns=times), metrics.drop(columns=times))


def test_evaluate_finds_false_plans(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(Path("data"))

    def careless(model: object, problem: object, *_: object, **__: object) -> PlanResult:
        return PlanResult((("charge", "van1", "north"),), "satisficing", "careless", 0.1)

    monkeypatch.setattr(action_jobs, "solve", careless)
    answer = json.loads(
        desk.run(
            "evaluate data --domain true.pddl --folds 2 --counts 2 --problems 1 --walk-steps 5 "
            "--jobs 1 --json"
        )
    )
    (row,) = answer["results"]
    assert (
        row["false_plans"] == 2
        and row["false_plan_ratio_mean"] == 1
        and row["solved_mean"] == 0
        and row["satisficing"] == 2
    )


def test_evaluate_refuses(desk: Desk) -> None:
    make_data(Path("data"))
    base = "evaluate data --domain true.pddl --jobs 1"
    desk.refuses(base + " --folds 9", "--folds 9: there are 5 trajectories only")
    desk.refuses(base + " --folds 1", "--folds 1: give at least 2")
    desk.refuses(base + " --counts 5", "--counts 5: each fold leaves 4 trajectories")
    desk.refuses(base + " --counts few", "--counts few")
    desk.refuses(base + " --time-limit 0", "--time-limit 0")
    desk.refuses(base + " --jobs -1", "--jobs -1")
    desk.refuses(base.replace("true.pddl", f"{DELIVERY}/no.pddl"), "no.pddl")
    desk.refuses("evaluate true.pddl --domain true.pddl", "true.pddl: a PDDL domain or problem")
    Path("log.csv").write_text("action,battery van1\n,1\n")
    desk.refuses("evaluate log.csv --domain true.pddl", "log.csv: a table; give trajectory files")


def test_evaluate_without_problem_files(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(Path("data"))
    true = action_jobs.true_model(Path("true.pddl"))

    def in_the_true_model(_: object, problem: NumericProblem, *__: object, **___: object) -> Any:
        return search_plan(true, problem)

    monkeypatch.setattr(action_jobs, "solve", in_the_true_model)
    command = (
        "evaluate data --domain true.pddl --folds 2 --counts 2 --problems 2 --walk-steps 5 "
        "--jobs 1 --json"
    )
    rows = []
    for _ in range(2):
        answer = json.loads(desk.run(command))
        rows.append(answer["results"][0])
        for problem in Path("data").glob("*.pddl"):
            problem.unlink()
    assert rows[1]["problems"] == rows[0]["problems"] == 4
    assert rows[1]["false_plans"] == rows[1]["disagreements"] == 0
    assert rows[1]["solved_mean"] == rows[0]["solved_mean"] == 1
    assert rows[1]["self_consistency_mean"] == rows[0]["self_consistency_mean"] == 1


def test_fold_split_covers_everything_once() -> None:
    files = tuple(Path(f"p{i}") for i in range(11))
    study = action_jobs.CrossValidation(files, Path("d"), (1, 8), 4, 2, 5, 42, "search", 1.0, 100)
    held = [study.split(fold) for fold in range(4)]
    assert sorted(file for _, out in held for file in out) == sorted(files)
    assert all(
        not set(training) & set(out) and len(training) + len(out) == 11 for training, out in held
    )
    assert held == [study.split(fold) for fold in range(4)]
    with pytest.raises(DatasetError, match="nowhere"):
        action_jobs.true_model(Path("nowhere"))
