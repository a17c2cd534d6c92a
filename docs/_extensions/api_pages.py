"""The API reference: a page for every package with a face, of the names that its face lists.

Docstrings are written in Markdown with sections as Google has them; here they become what Sphinx
reads. The pages are written into reference/api before each build.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

_ROOT = Path(__file__).resolve().parents[2]
_FAMILIES = ("worldplan", "milp", "envs", "world_models", "planners")
_SECTION = re.compile(r"^(Args|Arguments|Attributes|Returns|Raises|Yields|Note|Example)s?:$")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages, then convert each docstring before napoleon reads it."""
    app.connect("config-inited", lambda app, config: _write_pages(Path(app.srcdir)))
    app.connect("autodoc-process-docstring", _convert, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def faces() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Packages with their public names: (name, module that defines it)."""
    for family in _FAMILIES:
        for face in sorted((_ROOT / family).rglob("__init__.pyi")):
            folder = face.parent.relative_to(_ROOT).parts
            if not face.parent.is_symlink():
                parts = folder if family == "worldplan" else ("worldplan", *folder)
                yield ".".join(parts), list(_names(face, ".".join(parts)))


def _names(face: Path, package: str) -> Iterator[tuple[str, str]]:
    for node in ast.parse(face.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:  # without: a package in this one
            module = f"{package}.{node.module}" if node.level else node.module
            for alias in node.names:
                yield alias.name, module


def _write_pages(source: Path) -> None:
    folder = source / "reference" / "api"
    folder.mkdir(exist_ok=True)
    described = set[str]()
    pages = {f"{package}.rst": _page(package, names, described) for package, names in faces()}
    entries = "\n".join(f"   {name.removesuffix('.rst')}" for name in sorted(pages))
    pages["index.rst"] = (
        "API reference\n=============\n\nWhat each package offers. All else is internal and may "
        f"change.\n\n.. toctree::\n   :maxdepth: 1\n\n{entries}\n"
    )
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def _page(package: str, names: list[tuple[str, str]], described: set[str]) -> str:
    """The page of a package; a name of two packages is described on the first of their pages."""
    parts = [".. highlight:: text", "", package, "=" * len(package), ""]
    parts += [f".. automodule:: {package}", "   :no-members:", ""]
    for name, module in names:
        address = f"{module}.{name}"
        parts += [f":any:`{address}`", ""] if address in described else _entry(name, module)
        described.add(address)
    return "\n".join(parts) + "\n"


def _entry(name: str, module: str) -> list[str]:
    """The directive of one public name, under the module that defines it."""
    value: Any = getattr(importlib.import_module(module), name)
    if isinstance(value, type):
        return [f".. autoclass:: {module}.{name}", ""]
    if callable(value) and hasattr(value, "__code__"):
        return [f".. autofunction:: {module}.{name}", ""]
    return [f".. autodata:: {module}.{name}", "   :no-value:", ""]


def _convert(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Markdown as Sphinx reads it: fences, indented blocks, code spans, lists, plain characters."""
    if kind == "data" and not _has_docstring(name):
        lines.clear()  # of the type of the value
    elif kind == "data":
        lines[:0] = ["..", ""]  # else napoleon takes the first line, up to a colon, for a type
    converted: list[str] = []
    fenced = literal = section = False
    for line in lines:
        text = line.strip()
        if text.startswith("```"):
            fenced = not fenced
            language = text[3:].strip() or "text"
            converted += ["", f".. code-block:: {language}", ""] if fenced else [""]
            continue
        if fenced:
            converted.append(f"    {line}")
            continue
        section = _SECTION.match(line) is not None or (section and (not text or line[0] == " "))
        if literal := line.startswith("    ") and not section and (literal or _ends(converted)):
            if converted[-2:] != ["::", ""] and not _in_literal(converted):
                converted += ["::", ""]
            converted.append(line)
        else:
            converted += _item(_plain(line), converted)
    lines[:] = converted


def _has_docstring(name: str) -> bool:
    """Whether a text stands below the definition of a module's constant."""
    module, _, constant = name.rpartition(".")
    return ("", constant) in ModuleAnalyzer.for_module(module).find_attr_docs()


def _ends(before: list[str]) -> bool:
    """Whether a paragraph has ended."""
    return not before or not before[-1].strip()


def _in_literal(before: list[str]) -> bool:
    """Whether the last line that is not blank is part of an indented block."""
    return next((line for line in reversed(before) if line.strip()), "").startswith("    ")


def _plain(line: str) -> str:
    """A line whose code spans are literals and whose other marks mean themselves."""
    spans = line.split("`")
    if len(spans) % 2 == 0:
        return line.replace("`", "\\`")
    for i, span in enumerate(spans):
        if i % 2:
            after = "\\ " if re.match(r"\w", spans[i + 1]) else ""
            spans[i] = f"``{span}``{after}"
        else:
            begin = re.match(r"\s*([*-] )?", span)
            start = begin.end() if begin and not i else 0
            spans[i] = span[:start] + re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", span[start:])
    return "".join(spans)


def _item(line: str, before: list[str]) -> list[str]:
    """A line; a blank line goes before the first item of a list, which Markdown does not need."""
    begins = re.match(r"\s*([*-]|\d\.) ", line) is not None
    follows = bool(before) and bool(before[-1].strip())
    item_before = follows and re.match(r"\s*([*-]|\d\.) |\s+", before[-1]) is not None
    return ["", line] if begins and follows and not item_before else [line]
