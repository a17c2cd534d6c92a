"""A programme of which two days are decided; tests work in copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.worldplan.routine.builders import days, write_programme


@pytest.fixture(scope="session")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    write_programme(folder)
    days(folder, 2)
    return folder


@pytest.fixture
def clinic(two_days: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_days, tmp_path / "clinic"))
