"""Targets of the dynamics ensemble and the likelihood that it is trained with."""

from __future__ import annotations

import torch
from torch import Tensor


def changes(observation: Tensor, next_observation: Tensor, reward: Tensor) -> Tensor:
    """Raw targets of the ensemble (batch, observation + 1): the change from observation (batch,
    observation) to next observation (batch, observation), and the reward (batch,).
    """
    return torch.cat([next_observation - observation, reward[..., None]], -1)


def gaussian_loss(
    mean: Tensor, log_variance: Tensor, targets: Tensor, power: float = 0.0
) -> Tensor:
    """Mean over rows and outputs of log s^2 + (y - mu)^2 / s^2, (members,): twice the negative
    log-likelihood without its constant.

    Args:
        mean: mu, (members, batch, out).
        log_variance: log s^2, (members, batch, out).
        targets: y, (members, batch, out) or (batch, out).
        power: weights the terms as in `GaussianEnsemble.loss`.
    """
    terms = log_variance + (targets - mean).square() * torch.exp(-log_variance)
    return (terms * torch.exp(power * log_variance.detach()) if power else terms).mean((-2, -1))
