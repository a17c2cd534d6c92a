"""Regression of numbers of any size as classification: two-hot targets on a symlog scale (Hafner et
al. 2023; Hansen et al. 2024, TD-MPC2).
"""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 10.0  # symlog units; symexp(10) is about 22 000


def symlog(value: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): close to x near zero, logarithmic far away."""
    return torch.sign(value) * torch.log1p(value.abs())


def symexp(value: Tensor) -> Tensor:
    """Inverse of `symlog`."""
    return torch.sign(value) * torch.expm1(value.abs())


def two_hot(target: Tensor, bins: int) -> Tensor:
    """(...) -> (..., bins): the two bins around symlog(target) share a weight of one, so that their
    mean is symlog(target).

    Targets beyond +-symexp(10) count as that. A target that is not a number gives weights that are
    not numbers.
    """
    position = (symlog(target).clamp(-LIMIT, LIMIT) + LIMIT) * (
        (bins - 1) / (2 * LIMIT)
    )  # between 0 and bins - 1
    return (
        1
        - (
            position.unsqueeze(-1) - torch.arange(bins, dtype=target.dtype, device=target.device)
        ).abs()
    ).clamp(min=0)


def regression_loss(logits: Tensor, target: Tensor, bins: int) -> Tensor:
    """Element by element: cross entropy to the two-hot target, or the squared error where `bins` is
    0.

    Args:
        logits: (..., bins), or (..., 1) where `bins` is 0.
        target: broadcasts to the (...) of `logits`, in the units of rewards or values; not
            differentiated.
    """
    if not bins:
        return (logits.squeeze(-1) - target.detach()).square()
    return -(two_hot(target.detach(), bins) * torch.log_softmax(logits, -1)).sum(-1)


def decode(logits: Tensor, bins: int) -> Tensor:
    """(..., bins) -> (...): symexp of the mean of the distribution, or the number itself where
    `bins` is 0 and `logits` are (..., 1).
    """
    if not bins:
        return logits.squeeze(-1)
    centres = torch.linspace(-LIMIT, LIMIT, bins, dtype=logits.dtype, device=logits.device)
    return symexp((torch.softmax(logits, -1) * centres).sum(-1))
