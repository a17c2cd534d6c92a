"""Independent random streams out of a few numbers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from worldplan.milp.errors import ConfigError


def check_seed(seed: object) -> None:
    """Check the seed of a training.

    Raises:
        ConfigError: it is no whole number of at least 0.
    """
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or int(seed) < 0:  # type: ignore[call-overload]  # an integer by now
        raise ConfigError(f"seed {seed}: give a whole number of at least 0")


def derived_seed(*numbers: int) -> int:
    """A seed for torch that differs for every combination of numbers, such as (seed, epoch).

    Raises:
        ConfigError: a number is negative or not whole.
    """
    for number in numbers:
        check_seed(number)
    return int(np.random.default_rng(list(numbers)).integers(2**62))


def torch_generator(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by `derived_seed`: its numbers are the same on every device."""
    return torch.Generator().manual_seed(derived_seed(*numbers))


def random_states() -> dict[str, Any]:
    """The states of the global generators of Python, numpy and torch, as tensors and numbers."""
    version, numbers, gauss = random.getstate()
    _, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - its state, no numbers
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the global generators to what `random_states` returned."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    keys, *rest = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
