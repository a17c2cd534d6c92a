"""The typical spread of values, tracked during training (Hafner et al. 2023; Hansen et al. 2024,
TD-MPC2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PercentileScale(nn.Module):
    """Divides by an exponential average of the range between the 5th and the 95th percentile.

    Args:
        rate: share of a new range in the average.
        floor: smallest range that counts; keeps small differences small while values are still near
            zero.
    """

    value: Tensor  # the average range of at least `floor`, ()
    range: Tensor  # the average range itself, from 0 on, ()
    _shares: Tensor

    def __init__(self, rate: float = 0.01, floor: float = 1.0) -> None:
        super().__init__()
        self.rate, self.floor = rate, floor
        self.register_buffer("value", torch.tensor(floor))
        self.register_buffer("range", torch.tensor(0.0))
        self.register_buffer("_shares", torch.tensor([0.05, 0.95]), persistent=False)

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take the spread of `values` (any shape, at most 16 million) into account."""
        low, high = torch.quantile(values.flatten().to(self.value.dtype), self._shares)
        self.range.lerp_(high - low, self.rate)
        self.value.lerp_((high - low).clamp(min=self.floor), self.rate)

    def forward(self, values: Tensor) -> Tensor:
        """`values` in units of the range."""
        return values / self.value
