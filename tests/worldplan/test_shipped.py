"""Files that come with worldplan are found by their names from every folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.places import ROOT
from worldplan.cli import main
from worldplan.shipped import PACKAGE, shipped_files, withheld_files

CLINIC = "configs/bandits/clinic.yaml"


def test_names_become_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [CLINIC, f"--config={CLINIC}", "--state", "today.csv", "configs/none.yaml", "--x=1"]
    words, names = shipped_files(argv)
    path = str(PACKAGE / CLINIC)
    assert words == [path, f"--config={path}", *argv[2:]]
    assert names == [CLINIC, CLINIC]
    assert Path(path).read_text() == (ROOT / CLINIC).read_text()


def test_a_file_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "bandits").mkdir(parents=True)
    (tmp_path / CLINIC).write_text("name: mine")
    assert shipped_files([CLINIC]) == ([CLINIC], [])
    missing = "configs/bandits/capacity.yaml"
    assert shipped_files([missing]) == ([missing], []), "the folder is the user's"
    assert withheld_files([CLINIC, f"--config={missing}", "configs/none.yaml"]) == [missing]


def test_a_decision_from_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    today = "configs/bandits/example_log/today.csv"
    assert main(["bandits", "decide", CLINIC, "--state", today]) == 0
    printed = capsys.readouterr()
    assert "worker" in printed.out
    assert printed.err.count("the file that comes with worldplan") == 2
    assert (tmp_path / "decision.csv").is_file()
    (tmp_path / "configs" / "bandits").mkdir(parents=True)
    assert main(["bandits", "decide", CLINIC, "--state", today]) == 2
    *_, withheld, error = capsys.readouterr().err.splitlines()
    assert str(PACKAGE / CLINIC) in withheld
    assert error == f"worldplan: ConfigError: {CLINIC}: no such file: check the path"
