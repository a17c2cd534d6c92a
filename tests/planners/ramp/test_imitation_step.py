"""Weights and moments after RAMP's steps of imitation, against a plain masked cross-entropy."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.planners.ramp.builders import SMALL, sword
from tests.updates import assert_same_state, plain_optimizer, state_of
from worldplan.planners.ramp.policy import IMITATION_BATCH, DemonstratedStep, PolicyLearner
from worldplan.world_models.training.seeds import derived_seed


def demonstrations_of(count: int, seed: int) -> tuple[PolicyLearner, list[DemonstratedStep]]:
    """A policy, and random applicable steps of its environment."""
    env, _ = sword(1)
    settings = replace(SMALL, net=(6, 6), imitation_epochs=2, max_grad_norm=0.05)
    learner = PolicyLearner(env.observation_space, env.action_space, settings, seed)
    generator, steps = np.random.default_rng(seed), []
    observation, _ = env.reset()
    for _ in range(count):
        mask = env.action_masks()
        action = int(generator.choice(np.flatnonzero(mask)))
        steps.append(DemonstratedStep(observation, action, mask))
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
    return learner, steps


def log_probabilities(weights: dict[str, Tensor], rows: Tensor, masks: Tensor) -> Tensor:
    """Of all actions, (rows, actions), by the two hidden tanh layers of the policy."""
    for name in ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"):
        rows = rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        rows = rows if name == "action_net" else rows.tanh()
    return torch.log_softmax(rows.masked_fill(~masks, -1e8), -1)


@pytest.mark.parametrize("count", [1, 7, IMITATION_BATCH + 3])
@pytest.mark.parametrize("seed", range(3))
def test_imitation_steps_equal_plain_ones(count: int, seed: int) -> None:
    learner, steps = demonstrations_of(count, seed)
    policy, plain = learner.ppo.policy, copy.deepcopy(learner.ppo.policy)
    adam = plain_optimizer(policy.optimizer, policy, plain)
    learner.update(steps)

    rows, masks, actions = (
        torch.as_tensor(np.stack(column))
        for column in zip(
            *((step.observation, step.mask, step.action) for step in steps), strict=True
        )
    )
    weights = dict(plain.named_parameters())
    order = torch.Generator().manual_seed(derived_seed(seed, 1))
    for _ in range(learner.settings.imitation_epochs):
        places = torch.randperm(count, generator=order)
        for chosen in torch.split(places, IMITATION_BATCH):
            chances = log_probabilities(weights, rows[chosen].float(), masks[chosen].bool())
            loss = (
                -learner.settings.imitation_weight * chances.gather(1, actions[chosen, None]).mean()
            )
            adam.zero_grad()
            loss.backward()
            gradients = [w.grad for w in weights.values() if w.grad is not None]
            norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
            for gradient in gradients:
                gradient.mul_((0.05 / (norm + 1e-6)).clamp(max=1))
            adam.step()
    assert float(norm) > 0.05  # the gradients were clipped
    assert_same_state(
        state_of(policy, [policy.optimizer]), state_of(plain, [adam]), rtol=1e-3, atol=1e-7
    )
