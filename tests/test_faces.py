"""What a package shows of itself: a docstring, names that resolve, and an import that is cheap."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.places import ROOT

HEAVY = ("mujoco", "OpenGL", "lightning", "minari", "stable_baselines3")


def packages(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """(import name, folder) of a package and of all packages in it; imports none of them."""
    yield name, folder
    for module in pkgutil.iter_modules([str(folder)]):
        if module.ispkg:
            yield from packages(folder / module.name, f"{name}.{module.name}")


FOLDERS = dict(packages(ROOT / "worldplan", "worldplan"))


def misleading(face: ModuleType, folder: Path) -> list[str]:
    """Names in `__all__` that a submodule of the same name would replace once it is imported."""
    modules = {module.name for module in pkgutil.iter_modules([str(folder)])}
    return [
        name
        for name in face.__all__
        if name in modules
        and getattr(face, name) is not importlib.import_module(f"{face.__name__}.{name}")
    ]


def test_packages_are_found() -> None:
    assert {"worldplan", "worldplan.milp", "worldplan.planners.bandits.sequoia"} <= set(FOLDERS)


@pytest.mark.parametrize("package", FOLDERS)
def test_import_is_cheap(package: str) -> None:
    code = f"import sys, {package}; print(*(name for name in {HEAVY} if name in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []


@pytest.mark.parametrize("package", FOLDERS)
def test_names_and_docstring(package: str) -> None:
    face = importlib.import_module(package)
    assert face.__all__
    assert len((face.__doc__ or "").strip().splitlines()) >= 2
    missing = [name for name in face.__all__ if not hasattr(face, name)]
    assert missing == []
    assert misleading(face, FOLDERS[package]) == []


def test_a_function_named_like_its_module_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shadowed"
    folder.mkdir()
    (folder / "search.py").write_text("def search() -> None: ...\n")
    (folder / "__init__.pyi").write_text("from .search import search as search\n")
    (folder / "__init__.py").write_text(
        "import lazy_loader\n"
        "__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert misleading(importlib.import_module("shadowed"), folder) == ["search"]
