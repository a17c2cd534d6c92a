"""Independent random streams out of a few numbers."""

from __future__ import annotations

import numpy as np
import torch


def derived_seed(*numbers: int) -> int:
    """A seed for torch that differs for every combination of numbers, such as (seed, epoch)."""
    return int(np.random.default_rng(list(numbers)).integers(2**62))


def torch_generator(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by `derived_seed`: its numbers are the same on every device."""
    return torch.Generator().manual_seed(derived_seed(*numbers))
