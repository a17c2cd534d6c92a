"""A policy of one's own: one class in one new file, run and compared through the command line."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.packages import write_package
from worldplan.cli import main
from worldplan.commands.bandits.jobs import jobs_of
from worldplan.commands.bandits.run import run_scenario
from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.domains import generate
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.baselines import NullPolicy
from worldplan.planners.bandits.policies import (
    DEFAULT_POLICIES,
    POLICIES,
    PolicyContext,
    best_informed,
    make_policy,
)
from worldplan.planners.base import Decision, Planner
from worldplan.world_models.arms.programme import Programme

LAZY_PY = '''
from __future__ import annotations

import numpy as np

from worldplan.planners.base import Decision, Planner


class LazyPolicy(Planner):
    """Made from the instance alone: selects the component `first`."""

    first = 0

    def __init__(self, instance):
        self.size = instance.actions.size

    def plan(self, observation):
        action = np.zeros(self.size, np.int8)
        action[self.first] = 1
        return Decision(action, None, None, "heuristic", 0.0)


class SeededPolicy(LazyPolicy):
    """Made from the context."""

    notes = ["a note of its own"]

    @classmethod
    def from_context(cls, context):
        policy = cls(context.instance)
        policy.first = context.seed % policy.size
        return policy


class Unrelated:
    """Has a planner's methods, but is no `Planner`."""

    def __init__(self, instance):
        self.inner = LazyPolicy(instance)

    def reset(self, *, seed=None):
        self.inner.reset(seed=seed)

    def plan(self, observation):
        return self.inner.plan(observation)


def last(context):
    policy = LazyPolicy(context.instance)
    policy.first = policy.size - 1
    return policy


class Demanding(Planner):
    def __init__(self, instance, more):
        pass

    def plan(self, observation):
        raise AssertionError


class Failing(Planner):
    def __init__(self, instance):
        raise RuntimeError(f"{instance.actions.size} arms")

    def plan(self, observation):
        raise AssertionError


class NoPlanner:
    def __init__(self, instance):
        pass


number = 3
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and a package `my_package` that Python finds, here and in workers."""
    write_package(tmp_path / "code", monkeypatch, "my_package", lazy=LAZY_PY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_scenario(folder: Path, policies: list[str], **settings: Any) -> None:
    programme = {"domain": "budget", "arms": 5, "budget": 2, "horizon": 3}
    scenario = {"name": "own", "programme": programme, "policies": policies, "episodes": 2}
    (folder / "own.yaml").write_text(yaml.safe_dump(scenario | settings))


def test_run_and_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = [
        f"my_package.lazy:{name}" for name in ("LazyPolicy", "SeededPolicy", "Unrelated", "last")
    ]
    write_scenario(folder, ["null", *own], seeds="0..1")
    assert main(["bandits", "run", "own.yaml", "--jobs", "2"]) == 0
    (run,) = (folder / "runs" / "own").glob("[!.]*")
    summary = pd.read_csv(run / "summary.csv", keep_default_na=False).set_index("policy")
    assert set(summary.index) == {"null", *own}
    assert summary.loc[own[1], "note"] == "a note of its own"
    assert summary["mean"].min() == summary.loc["null", "mean"]
    assert (run / "jobs" / "my_package.lazy.LazyPolicy-0.csv").is_file()
    assert json.loads((run / "episode.json").read_text())["policy"] == own[0]
    assert (run / "plots" / "episode_my_package.lazy.LazyPolicy.svg").is_file()
    # again: nothing is left to do; and by the names as typed
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "1", "--policies", own[0]]) == 0
    again = ["bandits", "run", "own.yaml", "--jobs", "1", "--policies", f"null,{own[3]}", "--fresh"]
    assert main(again) == 0


def test_decide(folder: Path) -> None:
    write_scenario(folder, ["fluid"])
    (folder / "today.csv").write_text("arm,state\n" + "".join(f"{arm},0\n" for arm in range(5)))
    decide = ["bandits", "decide", "own.yaml", "--state", "today.csv"]
    assert main([*decide, "--policy", "my_package.lazy:last"]) == 0
    assert pd.read_csv(folder / "decision.csv")["arm"].tolist() == [4]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("my_package.lazy:Missing", ("my_package.lazy:Missing",)),
        ("my_package.nowhere:LazyPolicy", ("my_package.nowhere",)),
        ("my_package.lazy:Demanding", ("my_package.lazy:Demanding", "more", "from_context")),
        (
            "my_package.lazy:Failing",
            ("'my_package.lazy:Failing', seed 0: RuntimeError: 5 arms (", "lazy.py, line "),
        ),
        ("my_package.lazy:NoPlanner", ("my_package.lazy:NoPlanner", "no planner", "reset")),
        ("my_package.lazy:number", ("my_package.lazy:number", "from_context")),
        ("lazy", ("lazy", "choose from null, random", "module:Class")),
    ],
)
def test_bad_policies(
    folder: Path, policy: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    write_scenario(folder, ["fluid"])
    (folder / "today.csv").write_text("arm,state\n" + "".join(f"{arm},0\n" for arm in range(5)))
    assert main(["bandits", "decide", "own.yaml", "--state", "today.csv", "--policy", policy]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "Traceback" not in printed
    for word in words:
        assert word in printed, printed


def test_a_run_refuses_what_cannot_be_called(folder: Path) -> None:
    write_scenario(folder, ["null", "my_package.lazy:Demanding"])
    assert main(["bandits", "run", "own.yaml"]) == 2
    assert not (folder / "runs").exists()


FAILING = {
    "__init__": ("raise RuntimeError('no')", "RuntimeError: no (", True),
    "reset": ("raise ValueError('first\\nsecond')", "ValueError: first second (", False),
    "plan": ("{}['x']", "KeyError: 'x' (", False),
    "ends": ("raise SystemExit(0)", "SystemExit: 0 (", False),
    "nothing": ("return None", "plan returned None: return a Decision", False),
    "all": ("return Decision(np.ones(5), None, None, '', 0.0)", "InfeasibleAction: ", False),
    "shape": ("return Decision(np.ones(4), None, None, '', 0.0)", "InfeasibleAction: ", False),
    "nan": ("return Decision(np.full(5, np.nan), None, None, '', 0.0)", "is NaN", False),
}


@pytest.mark.parametrize("fault", FAILING)
def test_an_error_of_a_policy_names_policy_seed_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    statement, says, before = FAILING[fault]
    method = fault if fault in ("__init__", "reset") else "plan"
    (folder / "code" / f"failing_{fault}.py").write_text(
        "import numpy as np\nfrom worldplan.planners.base import Decision\n"
        "from worldplan.planners.bandits import NullPolicy\n"
        f"class Failing(NullPolicy):\n    def {method}(self, *_, **__):\n        {statement}\n"
    )
    name = f"failing_{fault}:Failing"
    write_scenario(folder, [name], seeds="3")
    assert main(["bandits", "run", "own.yaml", "--jobs", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and says in err and f"policy '{name}'" in err, err
    assert before or f"policy '{name}', seed 3: " in err, err
    assert (folder / "runs").exists() != before
    if says.endswith("("):
        assert f"failing_{fault}.py, line 6)" in err, err


def test_a_registered_name(folder: Path) -> None:
    programme = Programme("budget", arms=5, budget=2, horizon=3)
    with pytest.raises(ConfigError, match="test-null: choose from null, random"):
        Scenario("own", programme, ["test-null"])

    @POLICIES.register("test-null")
    class TestNull(Planner):
        def __init__(self, instance: Any) -> None:
            self.inner = NullPolicy(instance)

        def plan(self, observation: Any) -> Decision:
            return self.inner.plan(observation)

    try:
        scenario = Scenario("own", programme, ["test-null", "null"], episodes=2)
        run = run_scenario(scenario, Path("own.yaml"), jobs=1)
        table = run.read_csv("summary.csv")
        assert table is not None
        assert table["mean"].nunique() == 1
        assert "test-null" not in Scenario().policy_list()
    finally:
        POLICIES._members.pop("test-null")


def test_an_announced_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("announced", "my_package.lazy:last", "worldplan.policies")
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [entry])
    instance = generate("budget", 5, 2, seed=0, horizon=3)
    planner = make_policy("announced", PolicyContext(instance))
    assert planner.act({"state": [0] * 5, "steps_left": 3}).tolist() == [0, 0, 0, 0, 1]
    assert "announced" in POLICIES


def test_lists_of_policies() -> None:
    on_request = {"thompson", "ucwhittle", "sequoia_paper", "repaired_dqn"}
    assert tuple(POLICIES) == (
        "null",
        "random",
        "sampling",
        "myopic",
        "iterative_myopic",
        "iterative_dqn",
        "whittle",
        "thompson",
        "ucwhittle",
        "sequoia",
        "sequoia_paper",
        "repaired_dqn",
        "fluid",
    )
    assert tuple(name for name in POLICIES if name not in on_request) == DEFAULT_POLICIES
    jobs = jobs_of(Path(), Scenario(policies=list(POLICIES)), Path())
    assert [job.policy for job in jobs[:7]] == [
        "sequoia_paper",
        "repaired_dqn",
        "sequoia",
        "iterative_dqn",
        "fluid",
        "bound",
        "null",
    ]
    assert best_informed(["null", "myopic", "random"]) == "myopic"
    assert best_informed(POLICIES) == "sequoia"
