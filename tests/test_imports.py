"""Imports follow one order, and sibling families do not import each other (import-linter)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the contracts of pyproject.toml on the package in `folder`."""
    command = [str(LINTER), "--no-cache", "--config", str(folder / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with real folders in the places of its links."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        ROOT / "worldplan", folder / "worldplan", ignore=shutil.ignore_patterns("configs")
    )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_our_packages_keep_the_order() -> None:
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("path", "imported"),
    [
        ("milp/errors.py", "worldplan.envs.dynamics"),
        ("envs/bandits/domains.py", "worldplan.world_models.arms"),
        ("world_models/storage.py", "worldplan.planners.base"),
        ("planners/base.py", "worldplan.runs"),
        ("planners/bandits/fluid.py", "worldplan.planners.offline.agent"),
        ("world_models/exact/affine.py", "worldplan.world_models.numeric.domain"),
        ("runs.py", "worldplan.commands.fit"),
    ],
)
def test_a_violation_is_caught(copy: Path, path: str, imported: str) -> None:
    file = copy / "worldplan" / path
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}\n\ndef late() -> None:\n    import {imported}\n", encoding="utf-8")
    answer = lint(copy)
    file.write_text(text, encoding="utf-8")
    assert answer.returncode == 1, answer.stdout
    assert imported in answer.stdout.replace("\n", "")


@pytest.mark.parametrize("name", ["milp", "envs", "world_models", "planners", "configs"])
def test_the_bare_name_of_a_folder_is_banned(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.py"
    file.write_text(f"from {name} import something\n\nprint(something)\n")
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID"]
    answer = subprocess.run(
        [*ruff, "--config", str(ROOT / "pyproject.toml"), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert f"import worldplan.{name}" in answer.stdout or f"worldplan.{name}" in answer.stdout
