"""What stands for the world inside a planner: learned ensembles and true simulators share one
interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Members:
    """What every member of an ensemble says about the next observation and, in the last column, the
    reward.

    Args:
        mean: (members, batch, observation + 1), in the units of the environment.
        variance: (members, batch, observation + 1), aleatoric.
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """One step of a batch.

    Args:
        next_observation: (batch, observation), float32.
        reward: (batch,), float32.
        terminated: (batch,), bool. A time limit never shows here.
        state: (batch, state_size), float64: what a simulator needs beside the observation to go on;
            None for a model that needs nothing.
        members: what each member said, where it was asked for and the model has members.
    """

    next_observation: Tensor
    reward: Tensor
    terminated: Tensor
    state: Tensor | None = None
    members: Members | None = None


@runtime_checkable
class DynamicsModel(Protocol):
    """Steps a batch of states: a learned ensemble, a latent model or a true simulator.

    `state_size` is 0 when the observation alone is enough to go on, else the length of the
    simulator state per row.
    """

    observation_size: int
    action_size: int
    state_size: int

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """What follows `action` (batch, action) in `observation` (batch, observation), drawn with
        `generator` where the model is random.
        """
        ...

    def to(self, device: torch.device | str) -> object:
        """Move what is learned to the device that batches come from; nothing to do for a simulator."""
        ...
