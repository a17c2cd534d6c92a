"""Commands with run folders: several at once, stopped by Ctrl-C or a kill, continued by the same
call; every run ends like an unbroken one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.places import ROOT

SCENARIO = {
    "name": "small",
    "programme": {"domain": "capacity", "arms": 6, "budget": 2, "horizon": 5},
    "policies": ["random", "fluid", "null"],
    "seeds": "0..1",
    "episodes": 10,
}
LARGE = {"domain": "budget", "arms": 100, "budget": 20, "horizon": 20}
STUDY = {
    "name": "small",
    "epochs": 2,
    "check_every": 1,
    "check_episodes": 2,
    "episodes": 3,
    "seeds": 2,
    "side_by_side": 1,
    "plane": {},
    "settings": {"hidden": [8], "updates": 5, "batch": 16, "real_share": 0.0},
    "methods": {"base": {"critics": 2, "diversity": 0}},
}
RUN = ("bandits", "run", "small.yaml")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unbroken")
    write_scenario(root)
    process = start(root, *RUN, "--jobs", "1")
    assert process.wait() == 0
    return only_run(root)


def write_scenario(folder: Path) -> None:
    (folder / "small.yaml").write_text(yaml.safe_dump(SCENARIO))


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`worldplan WORDS` in `folder`, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "worldplan", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def runs_in(folder: Path) -> list[Path]:
    return list((folder / "runs" / "small").glob("[!.]*"))


def only_run(folder: Path) -> Path:
    (run,) = runs_in(folder)
    return run


def assert_equal_runs(run: Path, other: Path) -> None:
    for name, times in (("summary.csv", "decision_ms"), ("episodes.csv", "decision_seconds")):
        tables = [pd.read_csv(folder / name).drop(columns=times) for folder in (run, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert (run / "report.html").is_file()
    assert not list(run.rglob(".*.*")), "drafts"


def works(pid: int, folder: Path) -> bool:
    """Whether the process has begun its work on a run."""
    locks = [run / ".lock" for run in runs_in(folder)]
    return any(lock.exists() and f"process {pid} " in lock.read_text() for lock in locks)


def group_ends(group: int) -> bool:
    """Whether no process of the group is left after a while."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_several_at_once_and_a_little_later(tmp_path: Path, unbroken: Path) -> None:
    write_scenario(tmp_path)
    processes = []
    for delay in (0.0, 0.0, 1.5):
        time.sleep(delay)
        processes.append(start(tmp_path, *RUN, "--jobs", "1"))
    codes = []
    for process in processes:
        _, err = process.communicate(timeout=200)
        codes.append(process.returncode)
        if process.returncode:
            assert "FolderInUse" in err and "--fresh" in err and err.count("\n") == 1, err
    assert set(codes) <= {0, 2} and 0 in codes, codes
    for run in runs_in(tmp_path):
        assert_equal_runs(run, unbroken)
    assert len(runs_in(tmp_path)) == codes.count(0)


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_ctrl_c_and_kills_at_random_moments(tmp_path: Path, unbroken: Path, jobs: str) -> None:
    write_scenario(tmp_path)
    draw = random.Random(int(jobs))
    for stop in (signal.SIGINT, signal.SIGKILL, signal.SIGINT):
        process = start(tmp_path, *RUN, "--jobs", jobs)
        while process.poll() is None and not works(process.pid, tmp_path):
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, 1.5))
        if process.poll() is not None:
            break
        os.killpg(process.pid, stop)  # as a terminal does: all processes
        for _ in range(2 if stop is signal.SIGINT else 0):  # impatient: while it cleans up
            time.sleep(0.05)
            if process.poll() is None:
                os.killpg(process.pid, stop)
        _, err = process.communicate(timeout=60)
        assert group_ends(process.pid)
        if stop is signal.SIGINT:
            lines = [line for line in err.splitlines() if not line.startswith("continuing")]
            assert process.returncode == 130, err
            assert len(lines) == 1 and lines[0].startswith("worldplan: interrupted"), err
        assert len(runs_in(tmp_path)) <= 1
    if not runs_in(tmp_path) or not (only_run(tmp_path) / "report.html").exists():
        assert start(tmp_path, *RUN, "--jobs", jobs).wait(timeout=200) == 0
    assert_equal_runs(only_run(tmp_path), unbroken)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "study.yaml", "--jobs", "1"),
        ("bandits", "bound", "large.yaml"),
        ("evaluate", "{run}", "--episodes", "100000"),
        ("report", "{run}"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_ends_with_130_and_one_line(
    words: tuple[str, ...], tmp_path: Path, unbroken: Path
) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**STUDY, "epochs": 100_000}))
    large = {**SCENARIO, "programme": LARGE, "seeds": "0..500"}
    (tmp_path / "large.yaml").write_text(yaml.safe_dump(large))
    latest = random.Random(" ".join(words)).uniform(0.3, 4.0)
    for _ in range(6):
        process = start(tmp_path, *(word.format(run=unbroken) for word in words))
        try:
            _, err = process.communicate(timeout=latest)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        if process.returncode != 0:
            break
        latest /= 2  # the command was done before the signal
    assert process.returncode == 130, err
    assert err.count("\n") == 1 and err.startswith("worldplan: interrupted"), err


def test_a_killed_job_is_one_line_and_the_run_continues(tmp_path: Path) -> None:
    write_scenario(tmp_path)
    (tmp_path / "deadly.py").write_text(
        "import os, signal\nfrom pathlib import Path\n"
        "from worldplan.planners.bandits import NullPolicy\n"
        "class Deadly(NullPolicy):\n"
        "    def plan(self, observation):\n"
        "        if not Path('mended').exists():\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().plan(observation)\n"
    )
    words = (*RUN, "--policies", "deadly:Deadly", "--seeds", "0", "--jobs", "2")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "worldplan", *words]
    for code in (2, 0):
        answer = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == code, answer.stderr
        if code == 2:
            assert answer.stderr.startswith("worldplan: JobKilled: "), answer.stderr
            assert answer.stderr.count("\n") == 1 and "repeat the command" in answer.stderr
        (tmp_path / "mended").touch()
    assert (only_run(tmp_path) / "report.html").is_file()
