"""Packages of a user, outside this repository, that tests write and Python finds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def write_package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **modules: str) -> None:
    """Write the package `name` into `folder`, which is put on Python's path.

    Args:
        folder: of the package's folder.
        monkeypatch: undoes the change of the path.
        name: of the package; what an earlier test has imported of it is forgotten.
        modules: their texts by name.
    """
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for module, text in modules.items():
        (package / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    for imported in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[imported]
