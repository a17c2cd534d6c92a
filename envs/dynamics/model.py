"""The interface of dynamics models: learned ensembles, latent models and true simulators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Members:
    """The predictions of every member of an ensemble; the last column is the reward.

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
        terminated: (batch,), bool; time limits are not included.
        state: (batch, state_size), float64: the simulator state that the next `step` needs; None
            for a model whose state is the observation.
        members: the members' predictions, if they were requested and the model has members.
    """

    next_observation: Tensor
    reward: Tensor
    terminated: Tensor
    state: Tensor | None = None
    members: Members | None = None


@runtime_checkable
class DynamicsModel(Protocol):
    """Steps a batch of states: a learned ensemble, a latent model or a true simulator.

    Args:
        observation_size: length of an observation vector.
        action_size: length of an action vector.
        state_size: length of the simulator state that travels beside the observation; 0 for a
            model whose state is the observation.
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
        """The prediction for every row of a batch.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            state: (batch, state_size), for a model with a simulator state.
            generator: of all random numbers, for a stochastic model.
            members: whether to return the predictions of the members, too.
        """
        ...

    def to(self, device: torch.device | str) -> object:
        """Move the parameters to the device of the batches; a simulator has nothing to move."""
        ...
