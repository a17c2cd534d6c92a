"""The last line of defence: whatever a command raises becomes one line and an exit code, whatever
the terminal is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.places import ROOT
from worldplan import cli, unexpected

RAISED: dict[str, tuple[BaseException, int, str]] = {
    "index": (IndexError("list index out of range"), 3, "IndexError: list index out of range"),
    "long": (ValueError("x" * 10**6), 3, "xxx ..."),
    "lines": (RuntimeError("one\ntwo\r\nthree"), 3, "RuntimeError: one two three"),
    "assertion": (AssertionError(), 3, "AssertionError"),
    "recursion": (RecursionError("maximum recursion depth exceeded"), 3, "RecursionError"),
    "surrogate": (KeyError("\udcff"), 3, "KeyError"),
    "bare": (OSError("no number"), 3, "OSError: no number"),
    "pipe": (BrokenPipeError(32, "Broken pipe"), 3, "BrokenPipeError"),
    "memory": (MemoryError("Unable to allocate 146. TiB"), 2, "146. TiB"),
    "torch": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "sizes smaller"),
    "missing": (FileNotFoundError(2, "No such file", "a.csv"), 2, "a.csv: No such file: check"),
    "denied": (PermissionError(13, "Permission denied", "a"), 2, "a: Permission denied: check the"),
    "stop": (KeyboardInterrupt(), 130, "interrupted"),
    "exit": (SystemExit("why"), 2, "why"),
}


def raising(error: BaseException) -> Callable[..., int]:
    def run(_: object) -> int:
        raise error

    return run


@pytest.mark.parametrize("name", RAISED)
def test_anything_raised_is_one_line(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error, code, text = RAISED[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "run", raising(error))
    # pytest itself is neither worldplan nor a library
    monkeypatch.setattr(unexpected, "user_code", lambda _: None)
    monkeypatch.setattr(cli, "user_code", lambda _: None)
    assert cli.main(["data", "describe", "x.npz"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("worldplan: ") and printed.count("\n") == 1 and text in printed
    assert len(printed) < 1000
    reports = list(tmp_path.iterdir())
    assert len(reports) == (code == 3)
    if reports:
        written = reports[0].read_text(encoding="utf-8")
        assert str(reports[0]) in printed and "'data describe'" in printed
        assert "Traceback" in written and "'x.npz'" in written and "numpy: " in written


def test_reports_never_replace_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "run", raising(IndexError("again")))
    monkeypatch.setattr(unexpected, "user_code", lambda _: None)
    assert [cli.main(["doctor"]) for _ in range(5)] == [3] * 5
    assert len(set(tmp_path.iterdir())) == 5
    assert len(set(re.findall(r"worldplan-error-\S+\.txt", capsys.readouterr().err))) == 5


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(unexpected.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cli, "run", raising(IndexError("x")))
    monkeypatch.setattr(unexpected, "user_code", lambda _: None)
    assert cli.main(["doctor"]) == 3
    (report,) = tmp_path.iterdir()
    assert str(report) in capsys.readouterr().err
    monkeypatch.setattr(unexpected.tempfile, "gettempdir", lambda: str(tmp_path / "nowhere"))
    assert cli.main(["doctor"]) == 3
    printed = capsys.readouterr().err  # nothing is lost: the traceback is printed
    assert "Traceback" in printed and "no file could be written" in printed


@pytest.mark.parametrize("action", ["1 / 0", "raise SystemExit(0)", "exit()", "quit('done')"])
def test_the_users_own_code_is_named(
    action: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.py"
    file.write_text(f"import numpy\n\n\ndef fail(_):\n    {action}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cli, "run", lambda _: __import__("mine").fail(0))
    try:
        assert cli.main(["bandits", "run"]) == 2
    finally:
        del sys.modules["mine"]
    assert f"{file}, line 5" in capsys.readouterr().err


def test_warnings_are_few_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(_: object) -> int:
        for number in range(1000):
            warnings.warn("always the same", UserWarning, stacklevel=1)
            warnings.warn(f"number\n{number}", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(cli, "run", warn)
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "worldplan: UserWarning: always the same",
        "worldplan: UserWarning: number 0",
    ]
    assert len(lines) == 5


# --- terminals ------------------------------------------------------------------------------------

CODE = """
import os, sys
from worldplan import cli
def run(words):
    from rich.console import Console
    from rich.table import Table
    from rich.progress import track
    table = Table(title="mean ± interval → ≥", caption="µ\\udcff")
    table.add_column("größe")
    table.add_row("≤ 3 … ×")
    for _ in track(range(3)):
        pass
    Console().print(table)
    print("→ ±" * int(words[0]))
    print("→ ±", file=sys.stderr)
    open("written", "w").write(str(os.stat(0)) + str(os.stat(1)) + str(os.stat(2)))
    return 0
cli.run = run
sys.exit(cli.main(sys.argv[1:]))
"""


def shell(redirections: str, folder: Path, times: int = 1, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of `CODE` under a shell's redirections."""
    (folder / "code.py").write_text(CODE, encoding="utf-8")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" code.py {times} {redirections}', sys.executable],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    return done.returncode, done.stderr.decode(errors="replace")


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {},
    ],
)
def test_output_degrades_to_the_terminals_encoding(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, printed = shell("", tmp_path, **environment)
    assert code == 0 and "Traceback" not in printed, printed


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    ("redirections", "times", "codes"),
    [
        ("<&- >&- 2>&-", 1, (0,)),
        (">&-", 1, (0,)),
        ("| head -c 1", 10**6, (0,)),
        ("2> >(exit 0)", 1, (0, 2)),
        (">/dev/full", 10**6, (2,)),
        ("2>/dev/full", 1, (0, 2)),
    ],
)
def test_closed_full_and_broken_streams(
    redirections: str, times: int, codes: tuple[int, ...], tmp_path: Path
) -> None:
    code, printed = shell(redirections, tmp_path, times)
    assert code in codes and "Traceback" not in printed and "ignored" not in printed, printed
    if (tmp_path / "written").exists():  # nothing but its own text stands in a file
        assert (tmp_path / "written").read_text().count("os.stat_result") == 3


def test_a_current_folder_that_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in ("doctor", "report runs/a/b", "bandits bound configs/bandits/clinic.yaml"):
        assert cli.main(command.split()) == 2
        assert capsys.readouterr().err == (
            "worldplan: ConfigError: the current folder has been deleted: change to another one "
            "(cd)\n"
        )
    assert cli.main(["--help"]) == 0
