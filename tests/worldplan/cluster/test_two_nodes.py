"""Jobs on two Ray nodes that share no folder with the command, and of which one is lost: the
results are those of this machine, bit for bit.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.places import CONFIGS
from tests.worldplan.cluster.nodes import MARKS, Nodes, finish, start, until
from tests.worldplan.commands.test_shared_folders import assert_equal_runs

pytest.importorskip("ray", reason="Ray is not installed: pip install 'worldplan[ray]'")
pytestmark = pytest.mark.slow

SCENARIO = {
    "name": "small",
    "programme": {
        "horizon": 5,
        "rewards": "../tables/rewards.csv",
        "transitions": "{home}/tables/transitions.csv",
        "constraint": {"kind": "budget", "budget": 3, "rules": "rules.py:build"},
    },
    "policies": ["mine:Marking", "random", "fluid", "null"],
    "seeds": "0..1",
    "episodes": 10,
}
RULES = """
import pyomo.environ as pyo
from limits import MOST

def build(block):
    block.most = pyo.Constraint(expr=block.a[0] + block.a[1] <= MOST)
"""
POLICY = """
from marks import mark
from worldplan.planners.bandits import NullPolicy

class Marking(NullPolicy):
    def plan(self, observation):
        mark(__file__)
        return super().plan(observation)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's folder, with tables, rules and modules."""
    folder = tmp_path / "home"
    (folder / "scenarios").mkdir(parents=True)
    (folder / "modules").mkdir()
    shutil.copytree(CONFIGS / "bandits" / "example_log", folder / "tables")
    (folder / "modules" / "mine.py").write_text(POLICY)
    (folder / "modules" / "marks.py").write_text(MARKS)
    (folder / "modules" / "limits.py").write_text("MOST = 1\n")
    (folder / "scenarios" / "rules.py").write_text(RULES)
    text = yaml.safe_dump(SCENARIO).replace("{home}", str(folder))
    (folder / "scenarios" / "small.yaml").write_text(text)
    return folder


def run_of(home: Path, runs: str) -> Path:
    (run,) = (home / runs / "small").glob("[!.]*")
    return run


def test_bandits_while_a_node_is_lost(home: Path, nodes: Nodes) -> None:
    words = ("bandits", "run", "scenarios/small.yaml")
    finish(start(home, *words, "--runs", "local"))
    nodes.add(cores=1)
    nodes.add(cores=1)
    command = start(home, *words, "--runs", "ray", "--engine", "ray", address=nodes.address)
    until((nodes.root / "begun").exists, command)
    nodes.kill(1)
    err = finish(command)
    assert_equal_runs(run_of(home, "ray"), run_of(home, "local"))
    assert not err, err
    assert not list((nodes.root / "node0" / "tmp").glob("worldplan-ray-*"))
