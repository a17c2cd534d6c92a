"""What a wheel holds: the package with its data, and no other top-level name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.places import ROOT


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Files in a wheel that is built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def sources(folder: str) -> set[str]:
    """Files of a folder that git would keep, by their names in the wheel."""
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    found = {path.relative_to(ROOT) for path in files if "__pycache__" not in path.parts}
    return {str(Path("worldplan") / path) for path in found if path.suffix != ".pyc"}


def test_only_worldplan_lands_in_site_packages(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"worldplan"}


@pytest.mark.parametrize("folder", ["milp", "envs", "world_models", "planners", "configs"])
def test_every_file_of_a_folder_is_in(names: set[str], folder: str) -> None:
    missing = sources(folder) - names
    assert not {name for name in missing if "MUJOCO_LOG" not in name}


def test_data_files_are_in(names: set[str]) -> None:
    assert "worldplan/configs/bandits/clinic/workers.csv" in names
    assert "worldplan/configs/actions/delivery/domain.pddl" in names
    assert "worldplan/output/report_template.html" in names
    assert "worldplan/routine/list.html" in names
    assert "worldplan/routine/web/templates/base.html" in names
    assert "worldplan/routine/web/static/style.css" in names
    assert "worldplan/py.typed" in names
    assert any(name.endswith(".xml") for name in names)
