"""The command `bandits serve`: address, token, Ctrl-C, and what it refuses."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.places import ROOT
from worldplan.cli import main


@contextmanager
def serving(clinic: Path, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own, and the address that it printed."""
    command = [
        sys.executable,
        "-u",
        "-m",
        "worldplan",
        "bandits",
        "serve",
        str(clinic / "clinic.yaml"),
    ]
    with subprocess.Popen(
        [*command, "--port", "0", *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, line
            yield found[0], process
        finally:
            process.kill()


def test_it_serves_until_it_is_interrupted(clinic: Path) -> None:
    with serving(clinic) as (address, process):
        assert address.startswith("http://127.0.0.1:") and "token" not in address
        assert httpx.get(f"{address}api/days", timeout=60).json()[0] == "2026-11-04"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "stopped" in out and err == ""


def test_other_addresses_print_a_token(clinic: Path) -> None:
    with serving(clinic, "--host", "0.0.0.0") as (address, _):
        port, token = re.fullmatch(r"http://[^:]+:(\d+)/\?token=(\S{32})", address).groups()  # type: ignore[union-attr]
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/api/days", timeout=60).status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{base}/api/days", headers=headers, timeout=60).status_code == 200


def refused(capsys: pytest.CaptureFixture[str], clinic: Path, *more: str) -> str:
    capsys.readouterr()
    assert main(["bandits", "serve", str(clinic / "clinic.yaml"), *more]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


def test_what_is_refused(
    clinic: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "another --port" in refused(capsys, clinic, "--port", port)
    assert "give 0 to 65535" in refused(capsys, clinic, "--port", "70000")
    assert "is no address" in refused(capsys, clinic, "--host", "no such host")
    assert "--host" in refused(capsys, clinic, "--host", "192.0.2.1", "--port", "0")
    (clinic / "c.db").write_text("no database")
    assert "no SQLite database" in refused(capsys, clinic)
    (clinic / "c.db").unlink()
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "worldplan[serve]" in refused(capsys, clinic)
