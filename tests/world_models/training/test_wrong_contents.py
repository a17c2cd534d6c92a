"""Checkpoints that torch can read but whose contents are wrong: refused, or all numbers finite."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.planners.modem.builders import SETTINGS, SPACE
from tests.planners.offline.builders import module_of
from worldplan.envs.bandits import generate
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.bandits.sequoia.planner import build_network, load_network, save_network
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.shared.planner import SharedPlanner
from worldplan.planners.bandits.sequoia.training import module_for
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.policy import load_policy, policy_record
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.world_models.ensemble import GaussianEnsemble, load_ensemble
from worldplan.world_models.training.checkpoints import load_tensors, save_tensors

Load = Callable[[Path], list[torch.nn.Module]]
LARGE = 10**15  # no machine has the memory


def ensemble(path: Path) -> Load:
    sizes = {"observation_size": 2, "action_size": 1, "members": 3, "elites": 2, "hidden": [4]}
    made = GaussianEnsemble(**sizes, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    save_tensors({"ensemble": {"sizes": sizes, "weights": made.state_dict()}}, path)
    return lambda file: [load_ensemble(file)]


def ravl(path: Path, **changes: bool) -> Load:
    save_tensors({"reach_aware": module_of(hidden=(4,), **changes).record()}, path)

    def load(file: Path) -> list[torch.nn.Module]:
        policies = ReachAwarePolicy.load_all(file)
        return [part for policy in policies for part in (policy.actor, policy.critics)]

    return load


def scaled_ravl(path: Path) -> Load:
    return ravl(path, layer_norm=True, normalise_observations=True, normalise_rewards=True)


def modem(path: Path) -> Load:
    agent = Modem(SPACE, 2, SETTINGS)
    save_tensors({"modem": policy_record(agent, SPACE, {"environment": "Nowhere-v0"})}, path)
    return lambda file: [load_policy(file)[0].agent]


def sequoia(path: Path) -> Load:
    instance = generate("capacity", arms=4, budget=2, horizon=3, seed=0)
    settings = SequoiaSettings(hidden=(4,))
    record = save_network(build_network(instance, settings), instance, settings)
    save_tensors({"sequoia": record}, path)
    return lambda file: [load_network(file, instance)]


def shared(path: Path) -> Load:
    instance = generate("budget", arms=4, budget=2, horizon=2, seed=0)
    module = module_for(instance, SequoiaSettings(network="shared", hidden=(4,)))
    save_tensors({"sequoia": module.record()}, path)
    return lambda file: list(SharedPlanner.load(file, instance).networks)


def places(entry: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries inside `entry`."""
    inside = entry.items() if isinstance(entry, dict) else ()
    inside = enumerate(entry) if isinstance(entry, list) else inside
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(value: Any) -> list[Any]:
    """Wrong values in the place of a right one."""
    wrong = [None, "text", [], {}, 1j, float("nan"), LARGE, torch.zeros(7, 7)]
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        infinite = value.clone()
        infinite.view(-1)[-1:] = torch.inf
        wrong += [value * torch.nan, infinite, value + 0j, value.long(), value[None]]
    elif isinstance(value, torch.Tensor):
        wrong += [value + 100, value - 100, value.float()]
    return wrong


@pytest.mark.parametrize("make", [ensemble, ravl, scaled_ravl, modem, sequoia, shared])
def test_a_wrong_entry_is_refused(make: Callable[[Path], Load], tmp_path: Path) -> None:
    """About 40 wrong entries of each kind of checkpoint."""
    path, rng = tmp_path / "made.ckpt", np.random.default_rng(0)
    load = make(path)
    assert all(load(path))
    content, refused = load_tensors(path), 0
    paths = list(places(content))
    for place in [paths[0], *(paths[i] for i in rng.permutation(len(paths))[:40])]:
        wrong = copy.deepcopy(content)
        *first, last = place
        holder = wrong
        for key in first:
            holder = holder[key]
        values = [partial(holder.__setitem__, last, value) for value in changed(holder[last])]
        rng.choice([*values, partial(holder.__delitem__, last)])()
        save_tensors(wrong, tmp_path / "wrong.ckpt")
        try:
            modules = load(tmp_path / "wrong.ckpt")
        except CheckpointError as error:
            refused += "wrong.ckpt" in str(error) and "\n" not in str(error)
            continue
        for module in modules:
            assert all(bool(value.isfinite().all()) for value in module.state_dict().values())
    assert refused >= 20


def test_a_policy_decides_for_finite_vectors_of_its_size(tmp_path: Path) -> None:
    ravl(tmp_path / "last.ckpt")
    policy = ReachAwarePolicy.load(tmp_path)
    right = np.zeros(policy.actor.network.sizes[0])
    assert np.isfinite(policy.plan(right).action).all()
    for wrong in (right * np.nan, right + np.inf, right[None], right[:1], 3.0, np.zeros((2, 2, 2))):
        with pytest.raises(ConfigError, match="observations"):
            policy.plan(wrong)
    for seed in (-1, 2, 1.5, "a", None, True):
        with pytest.raises(ConfigError, match="seed"):
            ReachAwarePolicy.load(tmp_path, seed)  # type: ignore[arg-type]
