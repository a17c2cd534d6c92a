"""Rewards and values as learning targets: regression of numbers of any size as classification, and
the running range of values.

Classification has two-hot targets on a symlog scale (Hafner et al. 2023, DreamerV3; Hansen et al.
2024, TD-MPC2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldplan.milp import checks

LIMIT = 10.0  # range of the bins in symlog units; symexp(10) is about 22 000


def symlog(value: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), element by element (...): close to x near 0, logarithmic far away."""
    return torch.sign(value) * torch.log1p(value.abs())


def symexp(value: Tensor) -> Tensor:
    """Inverse of `symlog`, element by element (...)."""
    return torch.sign(value) * torch.expm1(value.abs())


def two_hot(target: Tensor, bins: int) -> Tensor:
    """Numbers (...) -> weights (..., bins) of the two bins around symlog(target), which sum to 1
    and whose mean bin is symlog(target).

    Targets beyond +-symexp(10) are clamped to it. A NaN target gives NaN weights.
    """
    # position of the target among the bins, from 0 to bins - 1
    position = (symlog(target).clamp(-LIMIT, LIMIT) + LIMIT) * ((bins - 1) / (2 * LIMIT))
    bin_index = torch.arange(bins, dtype=target.dtype, device=target.device)
    return (1 - (position.unsqueeze(-1) - bin_index).abs()).clamp(min=0)


def regression_loss(logits: Tensor, target: Tensor, bins: int) -> Tensor:
    """Logits (..., bins) and targets (...) -> loss (...): the cross entropy to the two-hot target,
    or the squared error if `bins` is 0.

    Args:
        logits: (..., bins), or (..., 1) if `bins` is 0.
        target: broadcasts to (...), in the units of rewards or values; not differentiated.
        bins: of the distribution; 0 for numbers.
    """
    if not bins:
        return (logits.squeeze(-1) - target.detach()).square()
    return -(two_hot(target.detach(), bins) * torch.log_softmax(logits, -1)).sum(-1)


def decode(logits: Tensor, bins: int) -> Tensor:
    """Logits (..., bins) -> numbers (...): symexp of the mean of the distribution. With `bins` 0,
    logits (..., 1) are the numbers themselves.
    """
    if not bins:
        return logits.squeeze(-1)
    centres = torch.linspace(-LIMIT, LIMIT, bins, dtype=logits.dtype, device=logits.device)
    return symexp((torch.softmax(logits, -1) * centres).sum(-1))


class PercentileScale(nn.Module):
    """Divides values by the running range between their 5th and 95th percentiles, an exponential
    average (DreamerV3, TD-MPC2).

    Args:
        rate: weight of a new range in the average.
        floor: smallest range that values are divided by, so that small differences stay small while
            all values are near 0.
    """

    value: Tensor  # scalar: running average of max(range, floor)
    range: Tensor  # scalar: running average of the range itself, which starts at 0
    _quantiles: Tensor

    def __init__(self, rate: float = 0.01, floor: float = 1.0) -> None:
        super().__init__()
        self.rate = checks.number(rate, "rate", least=0, most=1)
        self.floor = floor = checks.number(floor, "floor", above=0)
        self.register_buffer("value", torch.tensor(floor))
        self.register_buffer("range", torch.tensor(0.0))
        self.register_buffer("_quantiles", torch.tensor([0.05, 0.95]), persistent=False)

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Average the range of `values` (...), at most 16 million of them, into the running one."""
        low, high = torch.quantile(values.flatten().to(self.value.dtype), self._quantiles)
        self.range.lerp_(high - low, self.rate)
        self.value.lerp_((high - low).clamp(min=self.floor), self.rate)

    def forward(self, values: Tensor) -> Tensor:
        """Values (...) in units of the running range."""
        return values / self.value
