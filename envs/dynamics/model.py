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


def step_unfinished(
    model: DynamicsModel,
    observation: Tensor,
    action: Tensor,
    *,
    state: Tensor | None,
    alive: Tensor,
    generator: torch.Generator | None,
    members: bool,
) -> Prediction:
    """One step of all rows of a batch, of which a simulator steps only the unfinished ones: its
    cost is per row, and it synchronises with the host anyway.

    Args:
        model: of the step.
        observation: (batch, observation).
        action: (batch, action).
        state: (batch, state_size), for a model with a simulator state.
        alive: (batch,) bool, the unfinished rows. Rows of a simulator that are not alive keep
            observation and state, with reward 0, and count as terminated.
        generator: of all random numbers, for a stochastic model.
        members: whether to return the predictions of the members, too; all rows are stepped then.
    """
    if state is None or members or bool(alive.all()):
        return model.step(observation, action, state=state, generator=generator, members=members)
    index = alive.nonzero()[:, 0]
    if len(index) == 0:
        return Prediction(observation, torch.zeros_like(observation[:, 0]), ~alive, state)
    simulated = model.step(
        observation[index], action[index], state=state[index], generator=generator
    )
    next_state = simulated.state
    return Prediction(
        observation.index_copy(0, index, simulated.next_observation),
        torch.zeros_like(observation[:, 0]).index_copy(0, index, simulated.reward),
        torch.ones_like(alive).index_copy(0, index, simulated.terminated),
        state if next_state is None else state.index_copy(0, index, next_state),
    )
