"""A folder belongs to one process at a time, and a killed process leaves nothing in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldplan.milp.errors import FolderInUse
from worldplan.world_models.folders import exclusive

HOLD = """
import sys, time
from pathlib import Path
from worldplan.world_models.folders import exclusive
from worldplan.world_models.storage import replace_file
with exclusive(sys.argv[1]):
    print("held", flush=True)
    replace_file(Path(sys.argv[1]) / "deep" / "table.csv", lambda draft: (
        draft.write_text("half"), print("writing", flush=True), time.sleep(60)))
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert process.stdout.readline() == "writing\n"
    return process


def test_a_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with (
            pytest.raises(FolderInUse, match=f"process {process.pid} on .*wait for its end"),
            exclusive(tmp_path, wait=0.0),
        ):
            pass
    finally:
        process.kill()
        process.wait()


def test_a_kill_frees_the_folder_and_its_drafts_are_swept(tmp_path: Path) -> None:
    kept = tmp_path / ".mine.csv"
    kept.write_text("of the user")
    process = holder(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.rglob(".table.*"))
    with exclusive(tmp_path):
        assert not list(tmp_path.rglob(".table.*"))
    assert kept.read_text() == "of the user"


def test_the_folder_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), exclusive(tmp_path):
        raise RuntimeError
    start = time.monotonic()
    with exclusive(tmp_path):
        pass
    assert time.monotonic() - start < 2.0
