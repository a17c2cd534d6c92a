"""`worldplan compare`: one table and one plot of several runs."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from tests.worldplan.commands.overview.builders import make_run, policy
from worldplan.cli import main

SUMMARY = [policy("fluid", 2.0, bound_share=0.9), policy("null", 1.0, bound_share=0.1)]
CURVES = {
    "bandits": {"metrics": [{"policy": "sequoia", "seed": 0, "step": 1, "val/reward": 1.0}]},
    "study": {"curves": [{"policy": "ravl", "seed": 0, "epoch": 1, "check/return": 1.0}]},
    "tuning": {"trials": [{"trial": 0, "state": "finished", "score": 1.0}]},
    "action models": {"results": [{"count": 1, "solved_mean": 1.0}]},
    "policy from data": {"metrics": [{"epoch": 1, "check/return/0": 1.0}]},
    "MoDem": {"metrics": [{"epoch": 1, "step": 100, "check/planner_success": 1.0}]},
    "ensemble": {"metrics": [{"epoch": 1, "best_val_mse": 1.0}]},
}


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a refused `worldplan compare`."""
    assert main(["compare", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("kind", CURVES)
def test_table_and_curves_of_every_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    runs = [str(make_run(tmp_path / name, kind, summary=SUMMARY, **CURVES[kind])) for name in "ab"]
    files = [str(tmp_path / f"out.{ending}") for ending in ("csv", "svg", "html")]
    assert main(["compare", *runs, "--output", *files]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[-3:] == files
    table = pd.read_csv(files[0])
    assert set(table["run"]) == {f"{tmp_path.name}/{name}" for name in "ab"}
    assert table["mean"].notna().all()
    picture = ElementTree.parse(files[1]).getroot()
    lines = [
        each.attrib.get("id", "")
        for each in picture.iter("{http://www.w3.org/2000/svg}g")
        if each.attrib.get("id", "").startswith("line2d")
    ]
    assert len(lines) > 2
    assert "<table" in Path(files[2]).read_text(encoding="utf-8")


def test_the_means_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_run(tmp_path / "a", "bandits", summary=SUMMARY)
    second = make_run(tmp_path / "b", "bandits", summary=[policy("fluid", 3.0)], finished=False)
    for columns in ("200", "80", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["compare", str(first), str(second)]) == 0
        printed = capsys.readouterr()
        text = " ".join(printed.out.split())
        assert "2.000 [1.500, 2.500]" in text and "3.000 [2.500, 3.500]" in text
        assert "90.0 %" in text
        assert printed.err == f"{second}: broken off: what it has so far\n"
        assert max(map(len, printed.out.splitlines())) <= int(columns)


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bandits, other = (
        str(make_run(tmp_path / name, "bandits", summary=SUMMARY)) for name in ("a", "other")
    )
    study = str(make_run(tmp_path / "b", "study", summary=SUMMARY))
    empty = [str(make_run(tmp_path / name, "study", finished=False)) for name in ("c", "d")]
    assert "different kinds" in error_of(capsys, bandits, study)
    assert f"{bandits}: given twice" in error_of(capsys, bandits, other, f"{bandits}/")
    assert f"worldplan report {bandits}" in error_of(capsys, bandits)
    assert "none of these runs has results" in error_of(capsys, *empty)
    assert "not a run folder" in error_of(capsys, bandits, str(tmp_path))
    assert "ends in none of .csv" in error_of(capsys, bandits, other, "--output", "x.pdf")
    table = str(Path(bandits) / "summary.csv")
    before = Path(table).read_text()
    assert "the command reads this file" in error_of(capsys, bandits, other, "--output", table)
    assert Path(table).read_text() == before
    svg = tmp_path / "x.svg"
    assert main(["compare", bandits, other, "--output", str(svg)]) == 2
    assert "no curves" in capsys.readouterr().err
    assert not svg.exists()
    (Path(other) / "summary.csv").write_text("policy,mean\nfluid,high\n")
    assert f"{other}/summary.csv: column 'mean'" in error_of(capsys, bandits, other)


def test_runs_of_one_name_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        str(make_run(tmp_path / root / "x" / "20260101-000000", "study", summary=SUMMARY))
        for root in ("one", "two")
    ]
    out = tmp_path / "out.csv"
    assert main(["compare", *runs, "--output", str(out)]) == 0
    assert set(pd.read_csv(out)["run"]) == set(runs)
