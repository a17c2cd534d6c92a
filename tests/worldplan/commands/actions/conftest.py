"""A folder with the example of the README, and the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.worldplan.commands.actions.builders import DELIVERY, TRUE, Desk


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    shutil.copytree(ROOT / DELIVERY, tmp_path / DELIVERY)
    (tmp_path / "true.pddl").write_text(TRUE)
    return Desk(tmp_path, capsys)
