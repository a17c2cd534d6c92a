"""A study on two Ray nodes that share no folder with the command, and of which one is lost: dataset
(a file, or of Minari), ensemble and the user's own environment travel there, and the table is that
of this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.worldplan.cluster.nodes import MARKS, Nodes, finish, start, until
from tests.worldplan.commands.pendulum import pendulum_study
from worldplan.world_models.data.files import load_transitions, save_transitions

pytest.importorskip("ray", reason="Ray is not installed: pip install 'worldplan[ray]'")
pytestmark = pytest.mark.slow

ENVIRONMENT = """
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.envs.registration import register
from marks import mark

class Marking(PendulumEnv):
    def reset(self, *, seed=None, options=None):
        mark(__file__)
        return super().reset(seed=seed, options=options)

register("Marking-v0", "marking:Marking", max_episode_steps=20)
"""
MINARI = "worldplan/pendulum-random-own-v0"
TIMES = ["decision_seconds", "cpu_seconds"]


@pytest.fixture(params=["file", "minari"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with a study, its data and a module."""
    folder = tmp_path / "home"
    (folder / "modules").mkdir(parents=True)
    (folder / "modules" / "marking.py").write_text(ENVIRONMENT)
    (folder / "modules" / "marks.py").write_text(MARKS)
    study: dict[str, Any] = pendulum_study(folder)
    dataset = "pendulum.npz"
    if request.param == "minari":
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder / "datasets"))
        dataset = save_transitions(load_transitions(folder / dataset), MINARI)
        (folder / "pendulum.npz").unlink()
    study["data"] |= {"dataset": dataset, "ensemble": "ensemble.ckpt"}
    study["data"]["environment"] = {"id": "marking:Marking-v0", "differs_from_data": True}
    study |= {"side_by_side": 1, "methods": {"base": {}, "bc": {"algorithm": "bc"}}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder


def _run_of(home: Path, runs: str) -> Path:
    (run,) = (home / runs / "pendulum").glob("[!.]*")
    return run


def test_a_study_while_a_node_is_lost(home: Path, nodes: Nodes) -> None:
    finish(start(home, "run", "study.yaml", "--runs", "local", "--jobs", "1"))
    nodes.add(cores=1)
    nodes.add(cores=1)
    words = ("run", "study.yaml", "--runs", "ray", "--engine", "ray")
    command = start(home, *words, address=nodes.address)
    until((nodes.root / "begun").exists, command)
    nodes.kill(1)
    err = finish(command)
    assert not err, err
    runs = [_run_of(home, root) for root in ("local", "ray")]
    for name in ("seeds.csv", "curves.csv", "jobs/base-0-spread.csv"):
        tables = [pd.read_csv(run / name) for run in runs]
        kept = [table.drop(columns=TIMES, errors="ignore") for table in tables]
        pd.testing.assert_frame_equal(*kept, check_exact=True)
    seeds = pd.read_csv(runs[1] / "seeds.csv")
    assert len(seeds) == 4 and seeds["return"].notna().all()
    assert (runs[1] / "report.html").is_file()
    assert not list((nodes.root / "node0" / "tmp").glob("worldplan-ray-*"))
