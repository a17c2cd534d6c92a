"""Weights and moments after steps of the benchmark's cloned policy and offline DQN, against plain
ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.crafting import networks
from benchmarks.crafting.experts import Expert
from benchmarks.crafting.networks import GAMMA, LEARNERS, RATE, Transitions
from tests.updates import PLAIN, assert_same_state, optimizers_seen, state_of
from worldplan.envs.crafting.generator import generate

UPDATES = 5


@pytest.fixture(scope="module")
def data() -> Transitions:
    """The steps of six experts, in double precision."""
    maps = generate("wooden_sword", 6, 6, np.random.default_rng(3))
    steps = networks.transitions([Expert.on(instance) for instance in maps])
    return Transitions(
        *(column.double() if column.is_floating_point() else column for column in steps)
    )


def values_of(network: Any, rows: Tensor) -> Tensor:
    """Outputs of the two hidden ReLU layers."""
    rows = (rows - network[0].mean) / network[0].deviation
    for layer in (network[1], network[3], network[5]):
        rows = rows @ layer.weight.T + layer.bias
        rows = rows if layer is network[5] else rows.clamp_min(0)
    return rows


def bc_loss(network: Any, target: Any, data: Transitions, rows: Tensor) -> Tensor:
    outputs = values_of(network, data.observation[rows])
    chosen = outputs.gather(1, data.action[rows][:, None])[:, 0]
    return (outputs.exp().sum(1).log() - chosen).mean()


def dqn_loss(network: Any, target: Any, data: Transitions, rows: Tensor) -> Tensor:
    with torch.no_grad():
        best = values_of(network, data.next_observation[rows]).argmax(1, keepdim=True)
        following = values_of(target, data.next_observation[rows]).gather(1, best)[:, 0]
        goal = data.reward[rows] + GAMMA * (1 - data.terminated[rows]) * following
    error = values_of(network, data.observation[rows]).gather(1, data.action[rows][:, None])
    error = (error[:, 0] - goal).abs()
    return torch.where(error < 1, error.square() / 2, error - 0.5).mean()


@pytest.mark.parametrize(("method", "loss"), [("bc", bc_loss), ("dqn", dqn_loss)])
@pytest.mark.parametrize("seed", range(3))
def test_steps_equal_plain_ones(
    method: str,
    loss: Callable[..., Tensor],
    seed: int,
    data: Transitions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(networks, "HIDDEN", (6, 6))
    monkeypatch.setattr(networks, "BATCH", 16)
    monkeypatch.setattr(networks, "TARGET_EVERY", 2)
    made: list[nn.Module] = []
    network = networks.network

    def recorded(*arguments: Any) -> nn.Module:
        module = network(*arguments).double()
        made.append(copy.deepcopy(module))
        return module

    monkeypatch.setattr(networks, "network", recorded)
    generator = torch.Generator().manual_seed(seed)
    with optimizers_seen() as seen:
        learned = LEARNERS[method]("wooden_sword", data, UPDATES, generator)

    plain, target = made[0], made[-1]
    adam = torch.optim.Adam(plain.parameters(), RATE[method], **PLAIN)
    again = torch.Generator().manual_seed(seed)
    for _ in made:
        network("wooden_sword", data, again)  # the same draws
    for update in range(UPDATES):
        adam.param_groups[0]["lr"] = RATE[method] * (1 - update / UPDATES)
        rows = torch.randint(len(data.action), (16,), generator=again)
        if update % 2 == 0:
            target = copy.deepcopy(plain)
        adam.zero_grad()
        loss(plain, target, data, rows).backward()
        adam.step()
    assert_same_state(state_of(learned, seen), state_of(plain, [adam]))
