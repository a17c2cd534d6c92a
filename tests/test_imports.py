"""Imports follow one order: milp <- envs <- world_models <- planners <- worldplan. Nothing imports against it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ORDER = ("milp", "envs", "world_models", "planners", "worldplan")
OUTSIDE = ("tests", "benchmarks", "configs")  # these may import the packages, never the other way round
ROOT = Path(__file__).resolve().parent.parent


def imported(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import, inside functions and TYPE_CHECKING blocks too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            parents = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.lineno, [*parents, *name.split(".")][0]) for name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.split(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, node.args[0].value.split(".")[0]


def violations(root: Path) -> list[str]:
    """Every import of a package from one that stands before it."""
    found = []
    for place, package in enumerate(ORDER):
        forbidden = {*ORDER[place + 1 :], *OUTSIDE}
        for path in sorted((root / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            folders = list(path.relative_to(root).parent.parts)
            found += [f"{path.relative_to(root)}:{line} imports {name}" for line, name in imported(tree, folders) if name in forbidden]
    return found


def test_our_packages_keep_the_order() -> None:
    assert all(any((ROOT / package).rglob("*.py")) for package in ORDER), "a package is missing"
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("milp/a.py", "import envs"),
        ("milp/a.py", "import numpy, worldplan.planners.base as base"),
        ("envs/deep/a.py", "from worldplan.world_models.data.transitions import load"),
        ("world_models/a.py", "def late():\n    from planners import base"),
        ("planners/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import worldplan.runs"),
        ("planners/a.py", "import importlib\nimportlib.import_module('worldplan.cli')"),
        ("envs/a.py", "from ..planners import base"),
        ("envs/a.py", "from .. import planners"),
        ("worldplan/a.py", "from tests.test_imports import violations"),
    ],
)
def test_a_violation_is_caught(tmp_path: Path, path: str, code: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code)
    assert len(violations(tmp_path)) == 1, violations(tmp_path)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("worldplan/a.py", "import worldplan.milp.errors, envs, world_models, planners"),
        ("envs/a.py", "from worldplan.milp.sets.base import ActionSet\nfrom .planners import x\nfrom . import worldplan"),
        ("milp/a.py", "import numpy\nfrom .errors import ConfigError\nplanners = 'import planners'"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, path: str, code: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code)
    assert violations(tmp_path) == []
