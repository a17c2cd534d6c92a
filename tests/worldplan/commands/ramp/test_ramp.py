"""`worldplan ramp`: its run folder, resumption, and wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.planners.numeric.pddl_env.builders import delivery_files, delivery_problem
from worldplan.cli import main
from worldplan.planners.ramp.ramp import Ramp

QUICK = "--settings.net 8 --settings.rollout 64 --settings.epochs 1 --settings.imitation_epochs 1"
TIMES = ["planning_seconds"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # the table of runs is not folded
    delivery_files(tmp_path, 2, 1)  # in a folder they are sorted: 1 first
    return tmp_path


def ramp(words: str, *, quick: str = QUICK) -> int:
    return main(["ramp", "delivery.pddl", *words.split(), *quick.split(), "--jobs", "1"])


def metrics(folder: Path) -> pd.DataFrame:
    (file,) = folder.glob("runs/ramp/*/metrics.csv")
    return pd.read_csv(file).drop(columns=TIMES)


def test_a_run_has_tables_curves_and_a_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ramp(". --seeds 3,5 --steps 300 --json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["problem"] for row in printed["problems"]] == ["houses-1", "houses-2"]
    assert [row["solved"] for row in printed["problems"]] == ["2/2", "2/2"]
    rows = metrics(folder)
    assert list(zip(rows["seed"], rows["number"], strict=True)) == [(3, 1), (3, 2), (5, 1), (5, 2)]
    assert (rows["best"] == rows["number"] * 3).all() and not rows["broken_plans"].any()
    run = Path(printed["run"])
    page = (run / "report.html").read_text()
    assert "Result: RAMP, explorer optimistic" in page
    assert "reached in 4 of 4 problems" in page and "Results by problem" in page
    model = run / "checkpoints" / "seed3" / "action_model.json"
    assert main(["actions", "solve", str(model), "houses1.pddl"]) == 0
    assert "(serve van0 house1)" in capsys.readouterr().out
    assert main(["runs"]) == 0
    assert "problems solved 100.0 %" in " ".join(capsys.readouterr().out.split())


def test_an_interrupted_run_resumes_to_the_same_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ramp("houses1.pddl houses2.pddl --steps 200 --name whole") == 0
    (whole,) = folder.glob("runs/whole/*/metrics.csv")
    run_map, played = Ramp.run_map, []

    def interrupted(self: Ramp, *arguments: Any) -> Any:
        played.append(len(self.records))
        if played == [0, 1]:
            raise KeyboardInterrupt
        return run_map(self, *arguments)

    monkeypatch.setattr(Ramp, "run_map", interrupted)
    assert ramp("houses1.pddl houses2.pddl --steps 200") == 130
    assert "give the same command again" in capsys.readouterr().err
    assert ramp("houses1.pddl houses2.pddl --steps 200") == 0
    assert played == [0, 1, 1] and "continuing runs" in capsys.readouterr().err
    pd.testing.assert_frame_equal(metrics(folder), pd.read_csv(whole).drop(columns=TIMES))


def test_explorers_and_settings_go_together(folder: Path) -> None:
    words = "houses1.pddl --steps 60 --explorer policy --settings.curiosity 0.25"
    assert ramp(words) == 0
    (config,) = folder.glob("runs/ramp/*/config.yaml")
    text = config.read_text()
    assert "curiosity: 0.25" in text and "optimism: false" in text and "patience: 0" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "required"),
        ("nowhere.pddl", "nowhere.pddl"),
        ("house1.pddl", "did you mean 'houses1.pddl'"),
        ("houses1.pddl houses1.pddl", "given twice"),
        ("empty", "holds no problem"),
        ("houses1.pddl --explorer optimstic", "did you mean 'optimistic'"),
        ("houses1.pddl --explorer", "--explorer"),
        ("houses1.pddl --steps 0", "--steps"),
        ("houses1.pddl --episode-steps 0", "--episode-steps"),
        ("houses1.pddl --step 5", "did you mean 'steps'"),
        ("houses1.pddl --seeds many", "--seeds many: give their number"),
        ("houses1.pddl --seeds 0", "--seeds 0"),
        ("houses1.pddl --seeds 1001", "--seeds 1001: give their number"),
        ("houses1.pddl --seeds 99999999999999", "--seeds 99999999999999: give their number"),
        ("houses1.pddl --seeds 1,1", "--seeds 1,1"),
        ("houses1.pddl --settings.gama 1", "settings.gamma"),
        ("houses1.pddl --settings.gamma 2", "gamma"),
        ("houses1.pddl --settings.masks all", "masks"),
        ("houses1.pddl --declare missing.yaml", "missing.yaml"),
        ("houses1.pddl --jobs -1", "--jobs -1"),
        ("done.pddl", "its goal already holds at the start"),
        ("delivery.pddl", "delivery.pddl"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    folder: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir()
    solved = delivery_problem(1).replace("(served house1)", "(at van0 depot)")
    (folder / "done.pddl").write_text(solved)
    assert main(["ramp", "delivery.pddl", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert not (folder / "runs").exists()
