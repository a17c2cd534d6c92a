"""The first lines of a report say what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.worldplan.commands.overview.builders import make_run, policy
from worldplan.cli import main
from worldplan.output.page.sections import read_section
from worldplan.output.report import write_report
from worldplan.runs import Run


def answer_of(folder: Path) -> list[str]:
    return read_section(Run.open(folder), "r0-", folder / "report.html").answer


@pytest.mark.parametrize(
    ("second", "said"),
    [(9.0, "do not overlap"), (9.5, "overlap, so their order may be chance")],
)
def test_best_next_last_and_references(tmp_path: Path, second: float, said: str) -> None:
    rows = [
        policy("base", second),
        policy("ravl", 10.2, bound_share=0.5),
        policy("sac", 1.0),
        policy("random policy", 0.5, reference=True),
    ]
    run = make_run(tmp_path / "run", "study", summary=[{"reference": False} | row for row in rows])
    best, following, last, compared = answer_of(run)
    assert best == "Best of 3: ravl 10.20 [9.700, 10.70], 50.0 % (share of the oracle)."
    assert following.startswith(f"Next: base {second:.3f} ") and said in following
    assert last == "Last: sac 1.000 [0.5000, 1.500]."
    assert compared == "To compare with: random policy 0.5000 [0.000, 1.000]."
    text = write_report([run]).read_text()
    assert text.index("In short") < text.index("<table") and best in text


def test_rows_without_values(tmp_path: Path) -> None:
    diverged: dict[str, Any] = dict.fromkeys(("mean", "low", "high"), float("nan"))
    rows = [{"policy": "a", **diverged}, policy("b", 1.0)]
    run = make_run(tmp_path / "run", "study", summary=rows)
    assert answer_of(run)[1:] == ["Without a value: 1; the table says why."]
    only = make_run(tmp_path / "only", "study", summary=rows[:1])
    assert answer_of(only) == ["No row has a value: see the notes in the table."]
    assert answer_of(make_run(tmp_path / "none", "study")) == []


def test_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [{"step": 1, "check/planner_success": 0.2}, {"step": 2, "check/planner_success": 0.9}]
    run = make_run(tmp_path / "run", "MoDem", metrics=checks)
    assert answer_of(run) == ["Last check of the training: check/planner_success is 0.9000."]
    rows = [policy("planner", 0.8), policy("random policy", 0.1), policy("demonstrations", 1.0)]
    marked = [row | {"reference": place > 0} for place, row in enumerate(rows)]
    evaluated = make_run(tmp_path / "evaluated", "MoDem", metrics=checks, evaluation=marked)
    assert "random policy 0.1000" in answer_of(evaluated)[1]
    assert main(["runs", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "planner: success" in listed and "demonstrations" not in listed


def test_a_damaged_table_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "MoDem", metrics=[{"step": 1}], evaluation=[policy("a", 1.0)])
    (run / "evaluation.csv").write_text("policy,mean,low,high\na,many,x,y\n")
    assert answer_of(run) == ["Later evaluation: a."]
    (run / "evaluation.csv").write_bytes(b"\xff\xfe\x00")
    write_report([run])


def test_a_part_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", "study", summary=[policy("base", 1.0)])
    (run / "unfinished.txt").write_text("ravl is left")
    assert main(["runs", str(tmp_path)]) == 0
    assert "part of it" in capsys.readouterr().out
    (run / "summary.csv").unlink()
    assert main(["runs", str(tmp_path)]) == 0
    assert "broken off" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["metrics.csv", "summary.csv", "new.csv", "report.html"])
def test_outputs_are_checked_in_one_way(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        str(make_run(tmp_path / place, "study", summary=[policy("base", 1.0)])) for place in "ab"
    ]
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*"))
    for command in ("compare", "report"):
        assert main([command, *runs, "--output", f"{runs[0]}/{name}"]) == 2
        assert "choose another name" in capsys.readouterr().err
    assert before == sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*"))
    assert main(["compare", *runs, "--output", f"{runs[0]}/both.html"]) == 0
    assert main(["compare", *runs, "--output", f"{runs[0]}/both.html"]) == 0
