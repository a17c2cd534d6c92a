"""The documentation site: every page has its place, links and roles lead somewhere, no network."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

from tests.places import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_and_roles_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("https://") or (page.parent / link).is_file(), link
    for name in re.findall(r"\{py:\w+\}`([\w.]+)`", text):
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


def formulas(page: Path) -> list[str]:
    """The formulas of a page, without what is code."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    blocks = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    rest = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    return blocks + re.findall(r"(?<![\\$])\$([^$]+?)\$", rest)


@pytest.mark.parametrize("page", filter(formulas, PAGES), ids=lambda page: page.stem)
def test_formulas_are_converted(page: Path) -> None:
    """Docutils does not know all of LaTeX, and Sphinx itself is not installed where tests run."""
    for formula in formulas(page):
        assert "<math" in tex2mathml(formula.replace("\n", " ")), formula


def test_a_formula_that_is_not_converted_is_found() -> None:
    with pytest.raises(MathError, match="dots"):
        tex2mathml(r"x_0 < \dots < x_K")


def test_every_page_is_in_the_contents() -> None:
    entries = re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE)
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}
    assert pages - {"index"} == set(entries) - {"reference/api/index"}


def test_nothing_is_loaded_from_a_network() -> None:
    for file in (*DOCS.rglob("*.css"), *DOCS.rglob("*.html"), DOCS / "conf.py"):
        assert "http" not in file.read_text(encoding="utf-8"), file


def test_no_path_of_one_machine_is_named() -> None:
    for page in PAGES:
        assert not re.search(r"/(home|work|tmp|root|Users)/", page.read_text()), page
