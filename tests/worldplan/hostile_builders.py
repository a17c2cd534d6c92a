"""What the tests of hostile files share."""

from __future__ import annotations

import numpy as np
import pytest

from worldplan.cli import main

COLUMNS = {
    "observation": np.zeros((2, 1)),
    "action": np.zeros((2, 1)),
    "reward": np.zeros(2),
    "next_observation": np.zeros((2, 1)),
    "terminated": np.array([False, True]),
    "truncated": np.array([False, False]),
    "episode": np.zeros(2, int),
}


def refused(argv: list[str], capsys: pytest.CaptureFixture[str], file: str = "") -> str:
    """The line with which a command refuses its input."""
    capsys.readouterr()
    assert main(argv) == 2
    printed = capsys.readouterr().err
    lines = [line for line in printed.splitlines() if line.startswith("worldplan: ")]
    assert len(lines) == 1 and "Traceback" not in printed and len(lines[0]) < 1600
    assert file in lines[0]
    return lines[0]
