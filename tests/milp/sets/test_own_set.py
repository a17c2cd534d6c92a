"""A feasible set of one's own: one class in one new file, named by address in the scenario."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.packages import write_package
from worldplan.cli import main
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.kinds import SETS, make_set
from worldplan.milp.sets.source import Constraint, SetContext

SETS_PY = '''
from __future__ import annotations

import numpy as np
from scipy import sparse

from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.source import naming_files, read_pairs


class Apart(ActionSet):
    """At most `budget` arms, and not both arms of a pair."""

    def __init__(self, size, budget=2, pairs=()):
        self.size, self.most = size, budget
        self.selectable = np.ones(size, bool)
        self.pairs = list(pairs) or [(j, j + 1) for j in range(size - 1)]

    def add_constraints(self, program, action, *, relaxed=False):
        rows = np.repeat(np.arange(len(self.pairs)), 2)
        ends = np.array(self.pairs).ravel()
        shape = (len(self.pairs), self.size)
        program.add_rows((action, np.ones((1, self.size))), upper=self.most)
        both = sparse.csr_array((np.ones(len(ends)), (rows, ends)), shape)
        program.add_rows((action, both), upper=1)

    def witness(self, action, *, exact=True):
        both = any(action[j] and action[k] for j, k in self.pairs)
        return None if both else np.zeros(0)

    def explain(self, action):
        return [{"arm": int(arm), "alone": True} for arm in np.flatnonzero(action)]


class FromFile(Apart):
    """The pairs stand in a file of its own."""

    @classmethod
    def from_files(cls, context):
        file = context.find(context.settings.options["pairs"])
        with naming_files(file):
            rows = read_pairs(file, ("first", "second"), names=context.arms)
            pairs = [(context.arms.index(a), context.arms.index(b)) for _, a, b in rows]
            return cls(len(context.arms), context.budget(), pairs)


def two_arms(context):
    return Apart(len(context.arms), 2)


class Other:
    pass


class Failing(Apart):
    def __init__(self, size):
        super().__init__(size, pairs=[(0, size)])
        self.selectable[size] = False


def nothing(context):
    return None
'''
ARMS = "abcd"
TABLES = {
    "rewards.csv": "arm,state,reward\n"
    + "".join(
        f"{arm},{state},{state * (k + 1)}\n" for k, arm in enumerate(ARMS) for state in (0, 1)
    ),
    "transitions.csv": "arm,state,action,next_state,probability\n"
    + "".join(
        f"{arm},{state},{action},{after},{0.1 + 0.8 * (after == action)}\n"
        for arm, state, action, after in itertools.product(ARMS, (0, 1), (0, 1), (0, 1))
    ),
    "today.csv": "arm,state\na,0\nb,0\nc,0\nd,0\n",
    "pairs.csv": "first,second\nc,d\nb,d\nb,c\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a package `my_package`, which Python finds, and a programme's files."""
    write_package(tmp_path / "code", monkeypatch, "my_package", sets=SETS_PY)
    monkeypatch.chdir(tmp_path)
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def write_scenario(folder: Path, constraint: dict[str, Any]) -> None:
    programme = {
        "transitions": "transitions.csv",
        "rewards": "rewards.csv",
        "horizon": 3,
        "constraint": constraint,
    }
    settings = {
        "name": "own",
        "programme": programme,
        "policies": ["random", "whittle", "fluid"],
        "episodes": 2,
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(settings))


def decide() -> int:
    return main(["bandits", "decide", "own.yaml", "--state", "today.csv"])


@pytest.mark.parametrize(
    ("constraint", "chosen"),
    [
        ({"kind": "my_package.sets:Apart"}, ["b", "d"]),
        ({"kind": "my_package.sets:Apart", "options": {"budget": 1}}, ["d"]),
        ({"kind": "my_package.sets:Apart", "options": {"pairs": [[0, 3], [1, 3]]}}, ["c", "d"]),
        ({"kind": "my_package.sets:two_arms"}, ["b", "d"]),
        (
            {
                "kind": "my_package.sets:FromFile",
                "budget": 2,
                "options": {"pairs": "pairs.csv"},
            },
            ["a", "d"],
        ),
    ],
)
def test_decide_and_run(folder: Path, constraint: dict[str, Any], chosen: list[str]) -> None:
    write_scenario(folder, constraint)
    assert decide() == 0
    table = pd.read_csv(folder / "decision.csv")
    assert table["arm"].tolist() == chosen
    assert table["alone"].all()
    assert main(["bandits", "run", "own.yaml", "--jobs", "1"]) == 0
    (run,) = (folder / "runs" / "own").glob("[!.]*")
    assert set(pd.read_csv(run / "summary.csv")["policy"]) == {"random", "whittle", "fluid"}


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ({"kind": "my_package.sets:Apart", "options": {"colour": 1}}, ("options", "colour")),
        ({"kind": "my_package.sets:Other"}, ("my_package.sets:Other", "subclass of ActionSet")),
        (
            {"kind": "my_package.sets:Failing"},
            ("constraint.kind 'my_package.sets:Failing': IndexError: ", "sets.py, line "),
        ),
        ({"kind": "my_package.sets:nothing"}, ("my_package.sets:nothing", "ActionSet")),
        ({"kind": "my_package.sets:Missing"}, ("my_package.sets:Missing", "Missing")),
        ({"kind": "my_package.nowhere:Apart"}, ("my_package.nowhere",)),
        ({"kind": "apart"}, ("constraint.kind 'apart'", "choose budget")),
        (
            {"kind": "budget", "budget": 1, "options": {"colour": 1}},
            ("constraint.options colour", "'budget'"),
        ),
        (
            {
                "kind": "my_package.sets:FromFile",
                "budget": 2,
                "options": {"pairs": "today.csv"},
            },
            ("today.csv, line 1", "'first' is missing"),
        ),
    ],
)
def test_bad_settings(
    folder: Path,
    constraint: dict[str, Any],
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_scenario(folder, constraint)
    assert decide() == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "Traceback" not in printed
    for word in words:
        assert word in printed, printed


def test_a_registered_name() -> None:
    context = SetContext(("a", "b", "c"), Constraint("test-all-but-one", budget=3))
    with pytest.raises(ConfigError, match="choose budget, exactly, capacity"):
        make_set(context)

    @SETS.register("test-all-but-one")
    def all_but_one(context: SetContext) -> Budget:
        return Budget(len(context.arms), context.budget() - 1)

    try:
        actions = make_set(context)
        assert actions.most == 2
        assert actions.contains(np.array([1, 0, 1]))
        assert "test-all-but-one" in SETS
    finally:
        SETS._members.pop("test-all-but-one")


def test_a_built_in_set_without_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("arm,cost\na,1\nb,2\n")
    (tmp_path / "workers.csv").write_text("worker,capacity\nx,2\n")
    settings = Constraint("capacity", costs="costs.csv", workers="workers.csv")
    context = SetContext(("a", "b"), settings, lambda name: str(tmp_path / name))
    assert make_set(context).most == 1
    with pytest.raises(DatasetError, match=r"costs\.csv, line 3: arm 'b' is not"):
        make_set(SetContext(("a",), settings, lambda name: str(tmp_path / name)))
