"""Processes of the daily routine that are killed with SIGKILL lose no day and decide none twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.worldplan.routine.builders import content, days, rows, write_programme


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork and SIGKILL")
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_days_are_decided_once(tmp_path: Path, kills: int) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
        write_programme(folder)
    command = [sys.executable, "-m", "tests.worldplan.routine.killed", str(killed), str(kills), "3"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    count, inside = map(int, answer.stdout.split()[-2:])
    assert inside or kills < 20  # a transaction takes most of a day's time
    days(whole, count)
    assert rows(killed, "pragma integrity_check") == [("ok",)]
    decided = rows(killed, "select date from events where what = 'decided' order by id")
    assert len(decided) == len(set(decided)) == count
    mended = [text.replace(str(killed), str(whole)) for text in content(killed)]
    assert mended == content(whole)
    assert not list((killed / "c-lists").rglob(".*"))
    for path in (whole / "c-lists").rglob("*.*"):
        assert (killed / path.relative_to(whole)).read_text() == path.read_text()
