"""The comparison with peers: what their scripts import, and how they are run and measured."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import gymnasium
import numpy as np
import pandas as pd
import pytest

from benchmarks.offline import peers
from worldplan.cli import main
from worldplan.world_models.data.files import load_transitions, save_hdf5

# what a peer's script does with gym, d4rl and wandb
SCRIPT = """
import argparse
import d4rl, gym, wandb
from gym.envs.mujoco import mujoco_env
parser = argparse.ArgumentParser()
for name in ("env", "seed", "max_timesteps", "eval_freq", "n_episodes", "device", "tau"):
    parser.add_argument("--" + name)
options = parser.parse_args()
env = gym.wrappers.TransformObservation(gym.make(options.env), lambda seen: seen / 2)
env.seed(int(options.seed))
env.action_space.seed(int(options.seed))
data = d4rl.qlearning_dataset(env)
assert len(data["rewards"]) < env._max_episode_steps
wandb.init(project="x")
wandb.run.save()
for episode in range(12):
    state, done = env.reset(), False
    while not done:
        state, reward, done, _ = env.step(env.action_space.sample())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    file = folder / "hopper.npz"
    command = f"data collect Hopper-v5 --policy random --steps 120 --output {file}"
    assert main([*command.split(), "--folder", str(folder / "collect")]) == 0
    return file


def imported(name: str) -> ModuleType:
    """A module of `peer_modules`."""
    file = peers.HERE / "peer_modules" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"peer_{name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_script_of_a_peer_is_run_and_measured(data: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "algorithms/offline").mkdir(parents=True)
    (tmp_path / "algorithms/offline/td3_bc.py").write_text(SCRIPT)
    words = f"peers {data} --corl {tmp_path} --methods corl/td3_bc --updates 500"
    words += f" --workspace {tmp_path / 'work'} --results {tmp_path / 'results'}"
    monkeypatch.setattr(sys, "argv", words.split())
    peers.main()
    table = pd.read_csv(tmp_path / "results/peers.csv")
    assert len(table) == 1 and table["cpu_seconds"][0] > 0.1
    environment = gymnasium.make("Hopper-v5")
    environment.reset(seed=0)
    environment.action_space.seed(0)
    returns = []
    for _ in range(12):
        total, done = 0.0, False
        while not done:
            _, reward, terminated, truncated, _ = environment.step(
                environment.action_space.sample()
            )
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
        environment.reset()
    assert table["return"][0] == pytest.approx(np.mean(returns[-10:]), abs=1e-3)
    before = (tmp_path / "results/peers.csv").stat().st_mtime_ns
    peers.main()  # measured already
    assert (tmp_path / "results/peers.csv").stat().st_mtime_ns == before


def test_the_dataset_of_d4rl_is_that_of_its_loop(data: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(os.environ, "WORLDPLAN_PEER_DATA", str(tmp_path / "data.hdf5"))
    monkeypatch.setitem(os.environ, "WORLDPLAN_PEER_ENVIRONMENT", "Hopper-v5")
    transitions = load_transitions(data)
    save_hdf5(transitions, tmp_path / "data.hdf5")
    monkeypatch.setitem(sys.modules, "gym.envs.mujoco", None)
    env = imported("gym").make("hopper-own")
    dataset = env.get_dataset()
    for name in ("observation", "action", "reward", "next_observation"):
        np.testing.assert_array_equal(dataset[f"{name}s"], getattr(transitions, name))
    dataset["timeouts"][5] = True
    rows = imported("d4rl").qlearning_dataset(env, dataset)
    kept = [row for row in range(len(dataset["rewards"]) - 1) if not bool(dataset["timeouts"][row])]
    assert 5 not in kept and len(rows["rewards"]) == len(kept)
    for place, row in enumerate(kept):
        np.testing.assert_array_equal(rows["observations"][place], dataset["observations"][row])
        following = dataset["observations"][row + 1]
        np.testing.assert_array_equal(rows["next_observations"][place], following)
        assert rows["terminals"][place] == dataset["terminals"][row]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--methods corl/edac", "--corl"),
        ("--methods kit/none", "choose from"),
        ("--updates 250", "multiple of 500"),
    ],
)
def test_wrong_options_are_refused(options: str, message: str, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["peers", "data.npz", *options.split()])
    with pytest.raises(SystemExit):
        peers.main()
    assert message in capsys.readouterr().err
