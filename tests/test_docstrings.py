"""Every public function that takes or returns arrays names their shapes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

FOLDERS = ("milp", "envs", "world_models", "planners", "worldplan")
ARRAY = re.compile(r"\b(ndarray|Tensor|ArrayLike|NDArray)\b")
SHAPE = re.compile(r"\([\w*+\-/ .]+(, ?[\w*+\-/ .]+)*,?\)|\bscalar\b")  # (batch, dim), (n,), scalar


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """(name, function, docstring of its class) of every public function and method."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for name, function, _ in public(node.body, f"{node.name}."):
                yield name, function, ast.get_docstring(node) or ""
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node, ""


def handles_arrays(function: ast.FunctionDef) -> bool:
    """Whether an array stands in the annotations."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments] + [function.returns]
    return any(node is not None and ARRAY.search(ast.unparse(node)) for node in annotations)


def without_shapes(file: Path) -> list[str]:
    """Public functions of a file that handle arrays and name no shape, nor does their class."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        f"{file.name}:{function.lineno} {name}"
        for name, function, of_class in public(tree.body)
        if handles_arrays(function)
        and not SHAPE.search((ast.get_docstring(function) or "") + of_class)
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_shapes_are_named(folder: str) -> None:
    files = [file for file in sorted((ROOT / folder).rglob("*.py")) if not file.is_symlink()]
    assert [line for file in files for line in without_shapes(file)] == []


def test_a_docstring_without_a_shape_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('def f(x: Tensor) -> Tensor:\n    """The square of `x`."""\n')
    assert without_shapes(file) == ["a.py:1 f"]
    file.write_text('def f(x: Tensor) -> Tensor:\n    """The square of `x` (batch, 2)."""\n')
    assert without_shapes(file) == []
