"""Rows for a dynamics model that is checked, and comparisons of its predictions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Prediction

TOLERANCE = 1e-4  # relative: a batch of another size may be summed in another order


@dataclass(frozen=True)
class Rows:
    """Inputs of a step: observation (n, observation), action (n, action), state (n, state)."""

    observation: Tensor
    action: Tensor
    state: Tensor | None

    def taken(self, index: Any) -> Rows:
        """The rows of an index (m,), copied."""
        state = None if self.state is None else self.state[index].clone()
        return Rows(self.observation[index].clone(), self.action[index].clone(), state)

    def strided(self) -> Rows:
        """The same rows in every second column of wider arrays."""
        parts = (self.observation, self.action, self.state)
        return Rows(*(None if part is None else _strided(part) for part in parts))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.observation)


def _strided(part: Tensor) -> Tensor:
    return part.repeat_interleave(2, dim=1)[:, ::2]


def global_state() -> tuple[bytes, str, int]:
    """The states of the global random numbers of torch, numpy and Python."""
    numbers = np.random.get_state()  # noqa: NPY002 - compared, not drawn from
    return torch.get_rng_state().numpy().tobytes(), repr(numbers), hash(random.getstate())


def torch_settings() -> tuple[Any, ...]:
    """What a model may set for the whole process, and must not."""
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    )


def rows_of(result: Prediction, index: Any) -> Prediction:
    """Copies of some rows of a prediction, without members."""
    state = None if result.state is None else result.state[index].clone()
    return Prediction(
        result.next_observation[index].clone(),
        result.reward[index].clone(),
        result.terminated[index].clone(),
        state,
    )


def difference(a: Prediction, b: Prediction, *, exact: bool = False) -> str | None:
    """The field in which two predictions differ, or None."""
    for part in ("next_observation", "reward", "terminated", "state"):
        x, y = getattr(a, part), getattr(b, part)
        if x is None:
            continue
        tolerance = 0.0 if exact or x.dtype == torch.bool else TOLERANCE
        if not torch.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True):
            return part
    return None
