"""Bad rules and checkpoints, absent solvers, and limits: one line; exit code 2; nothing written."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.envs.bandits.domains import generate
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.planner import (
    SequoiaPlanner,
    build_network,
    save_network,
)
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

RULES = [
    (None, ("rules.py",)),
    ("def build(block:\n", ("rules.py", "SyntaxError")),
    ("import nothing_like_this\n", ("rules.py", "nothing_like_this")),
    ("def other(block): pass\n", ("rules.py", "no function 'build'")),
    ("def build(block):\n    raise ValueError('two\\nlines')\n", ("rules.py", "ValueError")),
    ("def build(block):\n    block.b = block.a[99]\n", ("rules.py", "99")),
    (
        "import pyomo.environ as p\ndef build(block):\n"
        "    block.c = p.Constraint(expr=block.a[0] * block.a[1] <= 0)\n",
        ("rules.py", "not linear"),
    ),
    (
        "import pyomo.environ as p\ndef build(block):\n"
        "    block.o = p.Objective(expr=block.a[0])\n",
        ("rules.py", "objective"),
    ),
    (
        "import pyomo.environ as p\ndef build(block):\n"
        "    block.c = p.Constraint(expr=sum(block.a.values()) >= 4)\n",
        ("rules.py", "no action"),
    ),
]


@pytest.mark.parametrize(
    ("text", "words"), RULES, ids=[f"rules{number}" for number in range(len(RULES))]
)
def test_rules(desk: Desk, text: str | None, words: tuple[str, ...]) -> None:
    desk.scenario("custom")
    if text is None:
        (desk.folder / "rules.py").unlink()
    else:
        desk.write("rules.py", text)
    desk.run(*words)


def test_checkpoints(desk: Desk) -> None:
    larger = generate("budget", 8, 2, seed=0, horizon=4)
    settings = SequoiaSettings(hidden=(4, 4))
    torch.save(
        {"sequoia": save_network(build_network(larger, settings), larger, settings)},
        desk.folder / "larger.ckpt",
    )
    desk.write("damaged.ckpt", "PK not really")
    whole = (desk.folder / "larger.ckpt").read_bytes()
    (desk.folder / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save(
        {"sequoia": {"settings": {"colour": 1}, "shape": {}, "weights": {}}},
        desk.folder / "other.ckpt",
    )
    (desk.folder / "folder").mkdir()
    desk.scenario(policies=["sequoia"])
    for name, words in {
        "larger.ckpt": ("trained for 8 arms", "this programme has 3 arms"),
        "damaged.ckpt": ("not a SEQUOIA checkpoint",),
        "half.ckpt": ("not a SEQUOIA checkpoint",),
        "other.ckpt": ("other.ckpt",),
        "folder": ("no best.ckpt",),
        "none": ("no such checkpoint",),
    }.items():
        desk.decide(name, *words, more=["--policy", "sequoia", "--checkpoint", name])
        desk.run(name, *words, more=["--checkpoint", name])


def test_a_checkpoint_with_other_weights(desk: Desk) -> None:
    desk.scenario()
    instance = generate("budget", 3, 1, seed=0, horizon=4, states=2)
    saved = save_network(
        build_network(instance, SequoiaSettings(hidden=(4, 4))),
        instance,
        SequoiaSettings(hidden=(8, 4)),
    )
    torch.save({"sequoia": saved}, desk.folder / "odd.ckpt")
    desk.decide("odd.ckpt", "train again", more=["--policy", "sequoia", "--checkpoint", "odd.ckpt"])


def test_a_solver_that_is_absent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("gurobipy", "ray"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    desk.scenario()
    desk.decide("Gurobi is not installed", "worldplan[gurobi]", more=["--solver", "gurobi"])
    desk.run("Gurobi is not installed", more=["--solver", "gurobi"])
    desk.refuses(
        ["bandits", "bound", "small.yaml", "--solver", "gurobi"], "Gurobi is not installed"
    )
    desk.run("worldplan[ray]", more=["--engine", "ray"])


def test_a_licence_that_is_too_small(desk: Desk) -> None:
    gurobipy = pytest.importorskip("gurobipy")
    model = gurobipy.Model(env=gurobipy.Env(params={"OutputFlag": 0}))
    model.addMVar(3000)
    try:
        model.optimize()
    except gurobipy.GurobiError:
        pass
    else:
        pytest.skip("this Gurobi has a full licence")
    generated = {
        "transitions": None,
        "rewards": None,
        "constraint": {},
        "domain": "capacity",
        "arms": 40,
        "horizon": 20,
    }
    desk.scenario(programme=generated)
    desk.write("today.csv", "arm,state\n" + "".join(f"{arm},0\n" for arm in range(40)))
    for words in (desk.decide, desk.run):
        words("size limit", "solver.name=highs", more=["--solver", "gurobi"])


def test_a_solve_that_hits_its_limit_says_so() -> None:
    instance = generate("capacity", 60, 12, seed=0, horizon=5)
    network = build_network(
        instance, SequoiaSettings(network="plain", hidden=(48, 48), discount=0.9), seed=1
    )
    state = instance.draw_start(np.random.default_rng(0), 1)
    limited = SolverSettings(gap=0.0, time_limit=0.3)
    planner = SequoiaPlanner(instance, network, limited, bounds="interval")
    decision = planner.plan({"state": state[0], "steps_left": 5})
    assert decision.status == "time_limit"
    assert instance.actions.contains(decision.action)
    assert decision.value is not None and decision.bound is not None
    assert decision.value < decision.bound
    assert isinstance(planner._argmax, NetworkArgmax)
