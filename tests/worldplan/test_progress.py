"""The progress bar of commands with jobs: what runs, how many are done, how long is left."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from worldplan.parallel import run_waiting, running


class Terminal(io.TextIOWrapper):
    """A terminal's stderr."""

    def isatty(self) -> bool:
        return True


def shown(
    monkeypatch: pytest.MonkeyPatch, folder: Path, columns: int, encoding: str = "utf-8"
) -> str:
    """What a terminal shows of three jobs, one of which is done before."""
    buffer = io.BytesIO()
    monkeypatch.setattr("sys.stderr", Terminal(buffer, encoding=encoding, errors="strict"))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    (folder / "first").write_text("")
    jobs = [folder / name for name in ("first", "second", "third")]
    run_waiting(touched, jobs, Path.exists, lambda job: f"{job.name} policy, seed 0", 1)
    import sys

    sys.stderr.flush()
    return buffer.getvalue().decode(encoding)


def touched(job: Path) -> Path:
    """A job."""
    job.write_text("")
    return job


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_the_bar_names_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    text = shown(monkeypatch, tmp_path, columns)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert max(map(len, lines)) <= columns
    assert "3/3" in lines[-1] and "left:" in lines[-1]
    if columns == 120:
        assert any("second policy, seed 0" in line and "1/3" in line for line in lines)
        assert "first policy" not in plain


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_ascii_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    assert "3/3" in shown(monkeypatch, tmp_path, 80, encoding)


def test_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(monkeypatch, tmp_path, 80)
    assert not re.search(r"\x1b\[(3[0-7]|38|9[0-7]|4[0-7])[;m]", text)


def test_names() -> None:
    assert running(["a", "b", "c"], 2) == "a (and 1 more)"
    assert running(["a", "b", "c"], 8) == "a (and 2 more)"
    assert running(["a"], 8) == "a"
    assert running([], 8) == "done"
