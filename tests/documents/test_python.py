"""Every Python, YAML and TOML block of the documentation works as it stands."""

from __future__ import annotations

import ast
import io
import re
import sys
import tomllib
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents.blocks import Block, blocks
from tests.documents.commands import BEGINS, Command
from tests.documents.sandbox import run_documented, run_small, sandbox
from tests.places import ROOT
from worldplan.envs.dynamics import DYNAMICS
from worldplan.envs.environments import ADAPTERS
from worldplan.milp.registry import Registry
from worldplan.milp.sets import SETS
from worldplan.planners import offline
from worldplan.planners.bandits import POLICIES
from worldplan.planners.numeric import PLANNERS, solve
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.pddl import read_model, read_problem

LANGUAGES = ("python", "yaml", "toml")
REGISTRIES: tuple[Registry[Any], ...] = (POLICIES, SETS, DYNAMICS, ADAPTERS, PLANNERS)
VALUE_LEARNING = "docs/methods/offline.md"
FILE = re.compile(r"# (\S+\.py)\n")  # a first line that says which file of a user's the block is
SHOWN = re.compile(r"^print\(.*#\s+-> (.*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder of a user, whose modules and registered names are forgotten afterwards."""
    sandbox(tmp_path, monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] in ("my_package", "my_module")]:
        monkeypatch.delitem(sys.modules, name)
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_members", dict(registry._members))


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let value learning from Python be short, and make what it learns from."""
    run_documented(r"pendulum\.npz")
    settings = partial(ReachAwareSettings, hidden=(8,), starts=10, updates=2, batch=40)
    monkeypatch.setattr(offline, "ReachAwareSettings", settings)
    module = lambda *given, **named: ReachAwareModule(*given, **named | {"epochs": 1})  # noqa: E731
    monkeypatch.setattr(offline, "ReachAwareModule", module)


def execute(block: Block) -> dict[str, Any]:
    """Run a block, compare what it prints with what it says, and return its names."""
    file = FILE.match(block.text)
    if file:
        Path(file[1]).parent.mkdir(exist_ok=True)
        Path(file[1]).write_text(block.text)
        return vars(import_module(file[1].removesuffix(".py").replace("/", ".")))
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile("\n" * (block.line - 1) + block.text, block.path, "exec"), names)
    for line in SHOWN.findall(block.text):
        assert line in printed.getvalue().splitlines(), f"{block.place}: {printed.getvalue()}"
    return names


@pytest.mark.parametrize("path", sorted({block.path for block in blocks("python")}))
def test_python(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(block.path == path and "pendulum.npz" in block.text for block in blocks("python")):
        small(monkeypatch)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        if block.path == path:
            names |= execute(block)
    check = CHECKS.get(path)
    if check:
        check(names)


def plans(names: Mapping[str, Any]) -> None:
    """The numeric planner of the docstring finds a plan."""
    files = ROOT / "configs/actions/delivery"
    model = read_model("true.pddl")
    problem = read_problem(files / "problem.pddl", model.vocabulary)
    assert solve(model, problem, "mine").plan
    assert solve(model, problem, "my_package.mine:my_plan").planner == "mine"


CHECKS = {"planners/numeric/planning.py": plans}


@pytest.mark.parametrize("path", ["milp/sets/kinds.py", "planners/bandits/policies.py"])
def test_a_scenario_with_a_class_of_ones_own(path: str) -> None:
    for block in blocks("python"):
        if block.path == path:
            execute(block)
    (block,) = [block for block in blocks("yaml") if block.path == path]
    tables = ROOT / "configs/bandits/example_log"
    programme = {"horizon": 2, "constraint": {"budget": 2}}
    programme |= {name: str(tables / f"{name}.csv") for name in ("transitions", "rewards")}
    given = yaml.safe_load(block.text)
    programme |= given.pop("programme", {})
    scenario = {"policies": ["myopic"], **given, "programme": programme, "name": "own"}
    Path("scenario.yaml").write_text(yaml.safe_dump(scenario))
    assert run_small(Command(path, "worldplan bandits run scenario.yaml")) == 0
    assert list(Path("runs/own").glob("*/summary.csv"))


def test_the_settings_of_value_learning_train() -> None:
    (block,) = [block for block in blocks("yaml") if block.path == VALUE_LEARNING]
    run_documented(r"(?i)(collect|convert) \S*inverteddouble\S* .*(5000|mixed)")
    run_documented(r"fit --config configs/ensemble/inv\S+$")
    Path("value.yaml").write_text(block.text)
    command = "worldplan fit --config value.yaml --trainer.default_root_dir runs/value"
    assert run_small(Command(block.place, command)) == 0
    assert list(Path("runs/value").glob("*.ckpt"))


def test_entry_points_are_in_the_group_of_a_registry() -> None:
    groups = {registry.group for registry in REGISTRIES}
    for block in blocks("toml"):
        assert tomllib.loads(block.text)["project"]["entry-points"].keys() <= groups, block.place


def test_every_fence_is_in_a_language_that_is_run() -> None:
    fences = {block.language for block in blocks(*LANGUAGES, "", "py", "sh", "bash", "console")}
    assert fences == set(LANGUAGES)
    places = {block.path for block in blocks("yaml")}
    assert places == {VALUE_LEARNING, "milp/sets/kinds.py", "planners/bandits/policies.py"}


def test_no_code_is_indented_instead() -> None:
    for block in blocks("indented"):
        code = re.search(r"^(@\w|(from|import|class|def) \w|>>> )", block.text, re.MULTILINE)
        assert not code, f"{block.place}: put code in a fence"
        try:
            tree = ast.parse(block.text)
        except SyntaxError:
            continue
        assert not tree.body or BEGINS.match(block.text), f"{block.place}: put code in a fence"
