"""Command lines that are refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from worldplan.cli import main


def refused(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that is refused; returns its one line on stderr, without the notes on files
    that come with worldplan.
    """
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "comes with worldplan" not in line]
    assert len(lines) == 1 and lines[0].startswith("worldplan: "), lines
    assert "Traceback" not in error
    return lines[0]
