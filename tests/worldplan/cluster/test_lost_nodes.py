"""Jobs whose Ray node is lost: they continue from the files that they handed over, and the tables
are those of this machine.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.places import ROOT
from tests.worldplan.cluster.nodes import Nodes, finish, launch, start, until
from tests.worldplan.commands.actions.builders import DELIVERY, TRUE, make_data
from tests.worldplan.commands.tuning.builders import TUNING

pytest.importorskip("ray", reason="Ray is not installed: pip install 'worldplan[ray]'")

COUNTING = """
import os, time
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Job:
    folder: Path
    name: str

    @property
    def files(self):
        return self.folder / "checkpoints" / self.name, self.folder / "jobs" / self.name

def count(job):
    training, result = job.files
    training.mkdir(parents=True, exist_ok=True)
    saved = training / "count"
    start = int(saved.read_text()) if saved.exists() else 0
    for number in range(start, 30):
        draft = training / ".draft"
        draft.write_text(str(number + 1))
        draft.replace(saved)
        time.sleep(0.1)
        while os.environ["NODE"] == "1" and number > 10 and job.name in "ab":
            time.sleep(1)
    result.write_text(f"{start} {number + 1}")
    return job
"""
EVALUATE = (
    "actions evaluate data --domain true.pddl --folds 2 --counts 1,2 --problems 1 --walk-steps 30 "
    "--time-limit 5 --name vans"
)
PROGRAM = """
import sys
from pathlib import Path
from worldplan.cluster import engine
import counting

engine.SAVE_EVERY, engine.PATIENCE = 0.3, float(sys.argv[1])
jobs = [counting.Job(Path("run").absolute(), name) for name in sys.argv[2]]
for job in engine.run_on_ray(counting.count, jobs, 0, []):
    print(job.name, flush=True)
"""


def _program(
    folder: Path, address: str, names: str = "ab", patience: float = 60.0
) -> subprocess.Popen[str]:
    for name in ("run", "modules"):
        (folder / name).mkdir()
    (folder / "modules" / "counting.py").write_text(COUNTING)
    return launch(folder, "-c", PROGRAM, str(patience), names, address=address)


def test_a_lost_job_continues_from_its_last_checkpoint(tmp_path: Path, nodes: Nodes) -> None:
    nodes.add(cores=1)
    nodes.add(cores=1)
    process = _program(tmp_path, nodes.address)
    counts = [tmp_path / "run" / "checkpoints" / name / "count" for name in "ab"]
    until(lambda: all(c.exists() and int(c.read_text()) > 11 for c in counts), process)
    nodes.kill(1)
    assert finish(process) == ""
    starts = sorted((tmp_path / "run" / "jobs" / name).read_text() for name in "ab")
    assert starts == ["0 30", "12 30"]


@pytest.mark.slow
def test_no_core_is_free(tmp_path: Path, nodes: Nodes) -> None:
    nodes.add(cores=0)
    process = _program(tmp_path, nodes.address, "cd", patience=2.0)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "the Ray cluster has no core: add a machine with 'ray start --address" in line
    nodes.add(cores=2)
    finish(process)


@pytest.mark.slow
def test_trials_while_a_node_is_lost(tmp_path: Path, nodes: Nodes) -> None:
    tuning = TUNING | {"trials": 4, "settings": TUNING["settings"] | {"updates": 100}}
    (tmp_path / "tune.yaml").write_text(yaml.safe_dump(tuning))
    finish(start(tmp_path, "tune", "tune.yaml", "--runs", "local"))
    nodes.add(cores=1)
    nodes.add(cores=1)
    words = ("tune", "tune.yaml", "--runs", "ray", "--engine", "ray")
    command = start(tmp_path, *words, address=nodes.address)

    def begun() -> int:
        files = list((tmp_path / "ray" / "tiny").glob("[!.]*/trials.journal"))
        return files[0].read_text().count('"token"') if files else 0

    until(lambda: begun() >= 2, command)
    nodes.kill(1)
    assert finish(command) == ""
    tables = [
        pd.read_csv(next((tmp_path / root / "tiny").glob("[!.]*")) / "trials.csv")
        for root in ("local", "ray")
    ]
    assert (tables[1]["state"] == "finished").all() and len(tables[1]) == 4
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))
    (run,) = (tmp_path / "ray" / "tiny").glob("[!.]*")
    assert len(list((run / "trials").glob("*/last.ckpt"))) == 4


@pytest.mark.slow
def test_folds_while_a_node_is_lost(
    tmp_path: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "true.pddl").write_text(TRUE)
    with monkeypatch.context() as here:
        here.chdir(tmp_path)
        shutil.copytree(ROOT / DELIVERY, DELIVERY)
        make_data(Path("data"))
    words = EVALUATE.split()
    finish(start(tmp_path, *words, "--runs", "local", "--jobs", "1"))
    nodes.add(cores=1)
    nodes.add(cores=1)
    command = start(tmp_path, *words, "--runs", "ray", "--engine", "ray", address=nodes.address)
    until(lambda: list((tmp_path / "ray").glob("*/[!.]*/jobs/*.csv")), command)
    nodes.kill(1)
    assert finish(command) == ""
    tables = []
    for root in ("local", "ray"):
        (run,) = (tmp_path / root).glob("*/[!.]*")
        table = pd.read_csv(run / "results.csv")
        tables.append(table[[name for name in table if "seconds" not in name]])
    pd.testing.assert_frame_equal(*tables)
