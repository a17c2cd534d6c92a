"""Scales of observations and rewards, from a dataset or from the first rollouts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_CONSTANT = 1e-6  # standard deviation over magnitude of a column that differs by rounding only
_CHUNK = 100_000
_TINY = 1e-30  # float32 still divides by it


class ObservationScaler(nn.Module):
    """Observations with mean 0 and standard deviation 1 in every column; before `fit`, as they are.

    A constant column is divided by its magnitude, so that the result does not depend on units.

    Args:
        size: of an observation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, observations: Tensor) -> None:
        """Take mean and standard deviation of the columns of `observations` (n, observation)."""
        mean = observations.mean(0, dtype=torch.float64)
        squares = torch.zeros_like(mean)
        for chunk in torch.split(observations, _CHUNK):  # a dataset may fill half of the memory
            squares += (chunk - mean).square().sum(0)
        deviation = (squares / len(observations)).sqrt()
        varies = deviation > mean.abs() * _CONSTANT
        scale = torch.where(varies, deviation, mean.abs())
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > _TINY, scale, 1.0))

    def forward(self, observation: Tensor) -> Tensor:
        """(..., observation) -> (..., observation)."""
        return (observation - self.mean) / self.scale


def reward_scale(rewards: Tensor) -> Tensor:
    """Root mean square of `rewards` (..., n) along the last axis, (...,) float64; 1 where all are
    zero. NaN is left out.

    Unlike the standard deviation, it is not zero where every step has the same reward.
    """
    scale: Tensor = rewards.double().square().nanmean(-1).sqrt()
    return torch.where(scale > _TINY, scale, 1.0)
