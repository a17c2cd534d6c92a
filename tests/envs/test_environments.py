"""Environments by name: gymnasium ids, and adapters to other libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from worldplan.envs.environments import ADAPTERS, make_environment, make_environments
from worldplan.milp.errors import ConfigError, MissingExtra
from worldplan.planners.base import Decision, Planner, evaluate

ADAPTER = '''
import gymnasium as gym
import numpy as np
import worldplan

LENGTH = {"short": 3, "long": 5}

class Corridor(gym.Env):
    """Walk right; every step pays what it moves."""
    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Box(0, 2, (1,), np.float32)

    def __init__(self, length, pay):
        self.length, self.pay = length, pay

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.length
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.zeros(1, np.float32), self.pay * float(action[0]), False, self.left == 0, {}

def corridor(task, pay=1.0):
    return Corridor(LENGTH[task], pay)

gym.register("worldplan/Corridor-v0", entry_point=lambda **options: corridor("long", **options))
'''


class Still(Planner):
    def plan(self, observation: object) -> Decision:
        return Decision(np.ones(1, np.float32), None, None, "heuristic", 0.0)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user's package `corridors` with an adapter, announced as "corridor" once installed."""
    (tmp_path / "corridors").mkdir()
    (tmp_path / "corridors" / "__init__.py").write_text("")
    (tmp_path / "corridors" / "adapter.py").write_text(ADAPTER)
    monkeypatch.syspath_prepend(tmp_path)
    yield "corridors.adapter"
    for name in ("corridors", "corridors.adapter"):
        sys.modules.pop(name, None)
    gym.registry.pop("worldplan/Corridor-v0", None)


def announce(folder: Path) -> None:
    info = folder / "corridors-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: corridors\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[worldplan.environments]\ncorridor = corridors.adapter:corridor\n"
    )


def test_an_adapter_at_an_address(package: str) -> None:
    name = f"{package}:corridor/short"
    table = evaluate(Still(), make_environments(name, 2, pay=3.0), 2, seed=0).episodes
    assert table["return"].tolist() == [9, 9] and table["length"].tolist() == [3, 3]


def test_an_announced_adapter(package: str, tmp_path: Path) -> None:
    announce(tmp_path)
    env = make_environment("corridor/long", scale_actions=True)
    assert evaluate(Still(), env, 1, seed=0).episodes["return"].tolist() == [10]
    assert list(ADAPTERS) == ["MetaWorld", "corridor"]


def test_an_address_is_not_taken_for_an_id_nor_an_id_for_an_address(package: str) -> None:
    # the module has imported worldplan, so that "module:worldplan" names something in it
    env = make_environment(f"{package}:worldplan/Corridor-v0", pay=2.0)
    assert env.spec is not None and env.spec.id == "worldplan/Corridor-v0"
    env.reset()
    assert env.step(np.ones(1, np.float32))[1] == 2


def test_plain_ids_and_scaled_actions() -> None:
    env = make_environment("Pendulum-v1", g=9.0)
    assert env.action_space == gym.spaces.Box(-2, 2, (1,)) and env.unwrapped.g == 9.0  # type: ignore[attr-defined]
    scaled = make_environments("Pendulum-v1", 2, scale_actions=True)
    assert scaled.single_action_space == gym.spaces.Box(-1, 1, (1,)) and scaled.num_envs == 2
    assert make_environment("worldplan.envs.swing_up:worldplan/CartPoleSwingUp-v0").spec is not None


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Nowhere-v0", {}, "environment 'Nowhere-v0' cannot be made"),
        ("nowhere_at_all:Nowhere-v0", {}, "cannot be made"),
        ("nowhere_at_all:some/task", {}, "cannot be made"),
        ("Pendulum-v1", {"gravity": 1}, r"with {'gravity': 1} cannot be made \(.*gravity"),
        ("CartPole-v1", {"scale_actions": True}, "actions: Discrete"),
    ],
)
def test_what_cannot_be_made(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_environment(name, **options)  # type: ignore[arg-type]


def test_an_adapter_that_fails(package: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"KeyError: 'lang' \(.*adapter.py, line \d+\)"):
        make_environment(f"{package}:corridor/lang")
    with pytest.raises(ConfigError, match=r"ADAPTER is MetaWorld or your own module:function"):
        make_environment(f"{package}:corridr/long")
    (tmp_path / "leaving.py").write_text("\nraise SystemExit(0)\n")
    with pytest.raises(ConfigError, match=r"'leaving:task': SystemExit: 0 \(.*leaving.py, line 2"):
        make_environment("leaving:task/long")
    with pytest.raises(ConfigError, match=r"SystemExit: 0 \(.*leaving.py, line 2"):
        make_environment("leaving:Task-v0")


def test_an_adapter_must_make_an_environment(package: str) -> None:
    with pytest.raises(ConfigError, match="its adapter made a str"):
        make_environment("builtins:str/x")


def test_metaworld_is_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDPLAN_METAWORLD_PYTHON", raising=False)
    with pytest.raises(MissingExtra, match="make metaworld"):
        make_environment("MetaWorld/push-v3")
