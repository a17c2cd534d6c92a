"""How-tos and tutorials work from top to bottom: their files are written, code and commands run.

A fence names a file after its language and becomes that file; Python without a file is executed;
an indented block is commands; a text fence holds lines that what stands before it printed.

Commands that take long as they stand get options and settings that make them short. A slow test,
which `make docs` runs as well, follows these pages without them.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from matplotlib.figure import Figure

from tests.documents.blocks import FOLLOWED, Block, Document, blocks_of
from tests.documents.sandbox import blank, shortened
from tests.documents.shrinking import PAGE_OPTIONS, PAGE_SETTINGS
from tests.places import ROOT
from worldplan.cli import main

PAGES = sorted(page for folder in FOLLOWED for page in (ROOT / "docs" / folder).glob("*.md"))


class Reader:
    """A user who follows a page in a folder of their own.

    Args:
        capsys: what is printed.
        short: whether commands get what makes them short.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], *, short: bool) -> None:
        self.capsys, self.short = capsys, short
        self.names: dict[str, Any] = {}
        self.code, self.printed = 0, ""

    def follow(self, block: Block) -> None:
        language, _, file = block.language.partition(" ")
        if language == "text":
            for line in block.text.splitlines():
                assert line.strip() in self.printed, f"{block.place}: {self.printed}"
            self.code = 0
            return
        assert self.code == 0, f"{block.place}: the command before it failed: {self.printed}"
        if file:
            Path(file).write_text(block.text)
            if language == "bash":  # for a cluster: read, not run
                subprocess.run(["bash", "-n", file], check=True)
        elif language == "python":
            self.capsys.readouterr()
            exec(compile("\n" * (block.line - 1) + block.text, block.path, "exec"), self.names)
            self.printed = "".join(self.capsys.readouterr())
        else:
            assert language == "indented", block.place
            for line in block.text.strip().splitlines():
                self.run(line.strip())

    def run(self, line: str) -> None:
        self.capsys.readouterr()
        program, *words = shlex.split(line)
        if program == "export":  # PYTHONPATH=., which the test sets
            assert words == ["PYTHONPATH=."], line
        elif program == "worldplan":
            if self.short:
                words += shortened(line, PAGE_OPTIONS, PAGE_SETTINGS)
            self.code = main(words)
        else:
            assert (program, words[0]) == ("python", "-m"), line
            with mock.patch.object(sys, "argv", words[1:]):
                runpy.run_module(words[1], run_name="__main__")
        self.printed = "".join(self.capsys.readouterr())


def page_blocks(page: Path) -> list[Block]:
    """The files, code, commands and printed lines of a page."""
    document = Document(str(page.relative_to(ROOT)), 1, page.read_text(encoding="utf-8"))
    return [block for block in blocks_of(document) if block.language != "inline"]


def command_lines(page: Path) -> list[str]:
    """The commands of a page."""
    return [
        line.strip()
        for block in page_blocks(page)
        if block.language == "indented"
        for line in block.text.strip().splitlines()
    ]


def is_shortened(page: Path) -> bool:
    """Whether a command of the page gets what makes it short."""
    patterns = [*PAGE_OPTIONS, *PAGE_SETTINGS]
    return any(re.search(pattern, line) for pattern in patterns for line in command_lines(page))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder of a user, from which Python imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Figure, "savefig", blank)
    follow(page, Reader(capsys, short=True))


@pytest.mark.slow
@pytest.mark.parametrize("page", filter(is_shortened, PAGES), ids=lambda page: page.stem)
def test_a_page_works_as_it_stands(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    follow(page, Reader(capsys, short=False))


def follow(page: Path, reader: Reader) -> None:
    """Follow a page to its end."""
    for block in page_blocks(page):
        reader.follow(block)
    assert reader.code == 0, reader.printed


@pytest.mark.parametrize("pattern", [*PAGE_OPTIONS, *PAGE_SETTINGS])
def test_what_makes_commands_short_is_needed(pattern: str) -> None:
    assert any(re.search(pattern, line) for page in PAGES for line in command_lines(page))


def test_make_docs_follows_every_page_as_it_stands() -> None:
    dry = subprocess.run(["make", "-n", "docs"], cwd=ROOT, capture_output=True, check=True)
    assert re.search(r'pytest -q -m "" tests/documents/test_followed\.py', dry.stdout.decode())
