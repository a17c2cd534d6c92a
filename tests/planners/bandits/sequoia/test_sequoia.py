"""SEQUOIA: the networks as the MILP sees them, learning that learns, checkpoints, settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import RandomPolicy
from worldplan.planners.bandits.fluid import FluidPlanner
from worldplan.planners.bandits.sequoia.greedy import greedy_planner
from worldplan.planners.bandits.sequoia.network import NETWORKS
from worldplan.planners.bandits.sequoia.planner import (
    SequoiaPlanner,
    build_network,
    load_network,
    save_network,
)
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.training import SequoiaModule
from worldplan.planners.base import Planner, evaluate
from worldplan.world_models.training.trainer import fit

SMALL = SequoiaSettings(
    hidden=(8, 8),
    pretrain_steps=100,
    updates=60,
    solves=8,
    episodes=16,
    batch=64,
    pool=100,
    replay=2000,
    check_every=80,
    check_episodes=8,
)
DOMAINS = ("budget", "capacity", "schedule", "path", "interventions")


@pytest.fixture(scope="module")
def instance() -> BanditInstance:
    return generate("capacity", 6, 2, seed=0, horizon=8)


@pytest.fixture(scope="module")
def trained(instance: BanditInstance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(SequoiaModule(instance, SMALL, 0), tmp_path_factory.mktemp("fit") / "run")


def reward(planner: Planner, instance: BanditInstance) -> float:
    return float(evaluate(planner, BanditVectorEnv(instance, 40), 40, 7).episodes["return"].mean())


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_milp_sees_the_network_that_was_trained(kind: str, domain: str) -> None:
    instance = generate(domain, 10, 3, seed=2, horizon=5)
    settings = SequoiaSettings(network=kind, hidden=(7, 5, 3), discount=0.9)
    rng = np.random.default_rng(0)
    for trial in range(5):
        network = build_network(instance, settings, seed=trial).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.as_tensor(rng.standard_normal(parameter.shape)))
        state = rng.integers(instance.dynamics.states, size=(4, instance.dynamics.arms))
        left = rng.integers(0, instance.horizon + 1, size=4)
        actions = rng.integers(2, size=(4, 9, instance.dynamics.components)).astype(float)
        with torch.no_grad():
            forward = network(
                torch.as_tensor(state), torch.as_tensor(left), torch.as_tensor(actions)
            ).numpy()
        embedded = np.stack(
            [
                net(rows)
                for net, rows in zip(network.action_networks(state, left), actions, strict=True)
            ]
        )
        np.testing.assert_allclose(embedded, forward, rtol=1e-12, atol=1e-12)


def test_learning_comes_close_to_the_fluid_planner(instance: BanditInstance, trained: Path) -> None:
    found = reward(SequoiaPlanner.load(trained, instance), instance)
    fluid = reward(FluidPlanner(instance), instance)
    chance = reward(RandomPolicy(instance, seed=0), instance)
    assert found > chance + 0.5 * (fluid - chance), (chance, found, fluid)
    assert found > 0.97 * fluid


def test_the_same_seed_gives_the_same_bits(
    instance: BanditInstance, trained: Path, tmp_path: Path
) -> None:
    torch.manual_seed(12345)  # what happened before must not matter
    np.random.default_rng(5).random(3)
    again = load_network(
        fit(SequoiaModule(instance, SMALL, 0), tmp_path / "again"), instance
    ).state_dict()
    other = load_network(
        fit(
            SequoiaModule(instance, replace(SMALL, pretrain_steps=5, updates=5), 1),
            tmp_path / "other",
        ),
        instance,
    ).state_dict()
    first = load_network(trained, instance).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_global_random_state_alone(instance: BanditInstance) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    build_network(instance, SMALL, seed=9)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_ensemble_decides_by_its_minimum() -> None:
    instance = generate("capacity", 8, 3, seed=1, horizon=5)
    settings = SequoiaSettings(network="plain", hidden=(6, 5), discount=0.9)
    networks = [build_network(instance, settings, seed) for seed in (1, 2)]
    planner = SequoiaPlanner(instance, networks, SolverSettings(gap=0.0))
    rng = np.random.default_rng(0)
    every = np.array([[int(bit) for bit in f"{number:08b}"] for number in range(256)])
    every = every[instance.actions.contains_batch(every)]
    for state in instance.draw_start(rng, 6):
        decision = planner.plan({"state": state, "steps_left": 3})
        values = np.min(
            [
                net.action_networks(state[None], np.array([3]))[0](every.astype(float))
                for net in networks
            ],
            axis=0,
        )
        assert instance.actions.contains(decision.action)
        assert decision.value == pytest.approx(values.max(), rel=1e-6)
        assert decision.bound is not None and decision.bound >= values.max() - 1e-6


def test_checkpoints_come_back(instance: BanditInstance, trained: Path, tmp_path: Path) -> None:
    network = load_network(trained, instance)
    torch.save({"sequoia": save_network(network, instance, SMALL)}, tmp_path / "copy.ckpt")
    copy = load_network(tmp_path / "copy.ckpt", instance)
    state, left = (
        torch.as_tensor(instance.draw_start(np.random.default_rng(0), 3)),
        torch.tensor([1, 4, 8]),
    )
    actions = torch.eye(6).expand(3, -1, -1)
    assert torch.equal(copy(state, left, actions), network(state, left, actions))
    by_folder = SequoiaPlanner.load(trained.parent, instance).networks[0]
    assert by_folder.state_dict().keys() == network.state_dict().keys(), (
        "a folder stands for its best.ckpt"
    )
    with pytest.raises(CheckpointError, match="trained for 6 arms.*has 8 arms"):
        load_network(trained, generate("capacity", 8, 2, seed=0, horizon=8))
    with pytest.raises(CheckpointError, match="horizon 8.*horizon 9"):
        load_network(trained, replace(instance, horizon=9))


@pytest.mark.parametrize("domain", ["capacity", "interventions"])
@pytest.mark.parametrize("kind", ["paper", "greedy"])
def test_the_published_settings_run(kind: str, domain: str, tmp_path: Path) -> None:
    instance = generate(domain, 6, 2, seed=0, horizon=4)
    whole = getattr(SequoiaSettings, kind)()
    settings = replace(
        whole,
        pretrain_steps=min(whole.pretrain_steps, 5),
        updates=5,
        hidden=(6, 6),
        pool=20,
        check_every=5,
        check_episodes=1,
    )
    network = load_network(fit(SequoiaModule(instance, settings, 0), tmp_path / "run"), instance)
    planner: Planner = (
        greedy_planner(instance, network) if kind == "greedy" else SequoiaPlanner(instance, network)
    )
    assert np.isfinite(reward(planner, instance))


def test_the_target_network_follows(instance: BanditInstance) -> None:
    module = SequoiaModule(
        instance,
        replace(SMALL, pretrain_steps=0, updates=4, check_every=4, check_episodes=1),
        seed=0,
    )
    off = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "limit_val_batches": 0,
    }
    Trainer(accelerator="cpu", max_steps=2, **off).fit(module)
    online, target = dict(module.network.named_parameters()), dict(module.target.named_parameters())
    moved = {name: (online[name] - target[name]).detach().abs().max().item() for name in online}
    assert 0 < max(moved.values()) < 0.01, (
        "it begins at the online network and moves with it, slowly"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"network": "deep"}, "network"),
        ({"pretrain": "luck"}, "pretrain"),
        ({"argmax": "guess"}, "argmax"),
        ({"discount": 0.0}, "discount"),
        ({"discount": 1.01}, "discount"),
        ({"network": "plain"}, "discount below 1"),
        ({"batch": 0}, "batch"),
        ({"hidden": (8, 0)}, "hidden"),
        ({"hidden": ()}, "hidden"),
        ({"pretrain_steps": 0, "updates": 0}, "updates"),
        ({"pretrain_steps": -5}, "pretrain_steps"),
        ({"replay": 0}, "replay"),
        ({"check_episodes": 0}, "check_episodes"),
        ({"updates_per_step": 0}, "updates_per_step"),
        ({"solves": 0}, "solves"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"target_rate": 2.0}, "target_rate"),
        ({"explore": (2.0, 0.1)}, "explore"),
        ({"replay": 3}, "replay"),
        ({"coverage": "none"}, "coverage"),
    ],
)
def test_settings_are_checked(change: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SequoiaSettings(**change)


def test_settings_of_the_publication() -> None:
    paper, greedy = SequoiaSettings.paper(), SequoiaSettings.greedy()
    assert (paper.network, paper.argmax, paper.pretrain) == ("plain", "milp", "myopic")
    assert (greedy.argmax, greedy.network) == ("greedy", "plain")
