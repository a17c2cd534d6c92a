"""Weights and moments after steps of SEQUOIA's and the DQN's training, against plain ones."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.planners.bandits.sequoia.test_sequoia import SMALL
from tests.updates import PLAIN, assert_same_state, optimizers_seen, state_of
from worldplan.envs.bandits.domains import generate
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.training import SequoiaModule
from worldplan.world_models.training.trainer import fit

SHORT = replace(SMALL, pretrain_steps=3, updates=4, check_every=7, hidden=(5, 5), batch=8)
PLAIN_NETWORK: dict[str, Any] = {"network": "plain", "discount": 0.9}


def rate(settings: SequoiaSettings, horizon: int, step: int) -> float:
    """The learning rate of a step."""
    if step < settings.pretrain_steps:
        return settings.learning_rate * max(1 - step / settings.pretrain_steps, 0.05)
    update = step - settings.pretrain_steps
    if settings.rate_decay < 1:
        return settings.fine_learning_rate * settings.rate_decay ** (update // horizon)
    return settings.fine_learning_rate * max(1 - update / settings.updates, 0.05)


def smooth_l1(error: Tensor) -> Tensor:
    return torch.where(error.abs() < 1, error.square() / 2, error.abs() - 0.5).mean()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target_rate": 1.0, "pretrain": "myopic"},
        {"hidden": (4,), "rate_decay": 0.5},
        {"pretrain": "none", "pretrain_steps": 0},
        PLAIN_NETWORK,
        {**PLAIN_NETWORK, "hidden": (5, 5, 5), "pretrain": "myopic"},
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_steps_equal_plain_ones(
    changes: dict[str, Any], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches and targets are recorded; losses, clipping, rates and slow copies are computed
    again. Clipped at 5, gradients of larger rewards are clipped in part of the steps.
    """
    instance = generate("capacity", 6, 2, seed=seed, horizon=2)
    settings = replace(SHORT, **changes)
    module = SequoiaModule(instance, settings, seed)
    module.network.double()
    module.target.double()
    inputs: list[tuple[Tensor, ...]] = []
    targets: list[Tensor] = []
    start: list[nn.Module] = []
    forward, loss_of = module.network.forward, nn.functional.smooth_l1_loss

    def recorded_forward(state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        values = forward(state, left, actions.double())
        if not torch.is_grad_enabled():
            return values.float()  # to choose actions
        inputs.append((state, left, actions.double()))
        if not start:
            start.append(copy.deepcopy(module.network))
        return values

    def recorded_loss(values: Tensor, target: Tensor) -> Tensor:
        targets.append(50 * target.double())
        return loss_of(50 * values, targets[-1])

    monkeypatch.setattr(module.network, "forward", recorded_forward)
    slow_forward = module.target.forward
    monkeypatch.setattr(module.target, "forward", lambda s, n, a: slow_forward(s, n, a.double()))
    monkeypatch.setattr(nn.functional, "smooth_l1_loss", recorded_loss)
    with optimizers_seen() as seen:
        fit(module, tmp_path)

    (plain,) = start
    vars(plain).pop("forward")  # the recording one, of the trained network
    slow = copy.deepcopy(plain)
    adam = torch.optim.AdamW(plain.parameters(), lr=1.0, amsgrad=True, weight_decay=1e-4, **PLAIN)
    norms = []
    assert len(inputs) == len(targets) == settings.pretrain_steps + settings.updates
    for step, ((state, left, actions), target) in enumerate(zip(inputs, targets, strict=True)):
        adam.param_groups[0]["lr"] = rate(settings, instance.horizon, step)
        values = plain(state, left, actions)
        adam.zero_grad()
        smooth_l1(50 * values.reshape(target.shape) - target).backward()
        gradients = [weight.grad for weight in plain.parameters() if weight.grad is not None]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        for gradient in gradients:
            gradient.mul_((5 / (norms[-1] + 1e-6)).clamp(max=1))
        adam.step()
        share = 1.0 if step < settings.pretrain_steps else settings.target_rate
        with torch.no_grad():
            for slow_weight, weight in zip(slow.parameters(), plain.parameters(), strict=True):
                slow_weight += share * (weight - slow_weight)
    assert max(norms) > 5
    assert_same_state(state_of(module.network, seen), state_of(plain, [adam]))
    assert_same_state(state_of(module.target, []), state_of(slow, []))
