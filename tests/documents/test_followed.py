"""How-tos and tutorials work from top to bottom: their files are written, code and commands run.

A fence names a file after its language and becomes that file; Python without a file is executed;
an indented block is commands; a text fence holds lines that what stands before it printed.
"""

from __future__ import annotations

import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.documents.blocks import FOLLOWED, Block, Document, blocks_of
from tests.places import ROOT
from worldplan.cli import main

PAGES = sorted(page for folder in FOLLOWED for page in (ROOT / "docs" / folder).glob("*.md"))


class Reader:
    """A user who follows a page in a folder of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
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
            self.code = main(words)
        else:
            assert (program, words[0]) == ("python", "-m"), line
            with mock.patch.object(sys, "argv", words[1:]):
                runpy.run_module(words[1], run_name="__main__")
        self.printed = "".join(self.capsys.readouterr())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    reader = Reader(capsys)
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(Document(str(page.relative_to(ROOT)), 1, text)):
        if block.language != "inline":
            reader.follow(block)
    assert reader.code == 0, reader.printed
