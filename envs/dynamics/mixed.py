"""Dynamics between a learned model and the truth (figure 1 of the RAVL paper, arXiv 2402.12527)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Members, Prediction
from worldplan.milp.errors import ConfigError

Termination = Callable[
    [Tensor, Tensor, Tensor], Tensor
]  # observation, action, next observation -> (batch,) bool


class Simulator(DynamicsModel, Protocol):
    """True dynamics whose state can be read from an observation, such as
    `worldplan.envs.dynamics.mujoco.MujocoDynamics`.
    """

    def state_of(self, observation: Tensor, like: Tensor | None = None) -> Tensor:
        """(batch, observation) -> (batch, state_size); what is not observed comes from `like`."""
        ...


class MixedDynamics:
    """Next observation and reward on the straight line from a learned model (share 0) to the truth
    (share 1).

    Args:
        learned: a model that needs no state beside the observation.
        true: the simulator.
        share: of the truth, within 0..1.
        termination: tells from observation, action and mixed next observation which rows end;
            needed strictly between 0 and 1.

    At 0 and 1 this is the one model or the other, untouched. Between, the simulator goes on from
    its own next state with the observed part replaced by the mixed observation, and a row also ends
    where the mixed observation is not finite. The members of the ensemble move towards the truth
    with the mixture: means on the same line, variances by (1 - share)^2, so penalties on their
    disagreement fade as in the paper. Raises ConfigError for settings that contradict each other.
    """

    def __init__(
        self,
        learned: DynamicsModel,
        true: Simulator,
        share: float,
        termination: Termination | None = None,
    ) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(
                f"share = {share}: the share of the true dynamics lies between 0 (learned) and 1 (true)"
            )
        sizes = [(model.observation_size, model.action_size) for model in (learned, true)]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"learned and true dynamics have (observation, action) sizes {sizes[0]} and {sizes[1]}: train on the same task"
            )
        if 0 < share < 1 and termination is None:
            raise ConfigError(
                f"share = {share}: give a termination function, for neither model's own fits a mixed observation"
            )
        if 0 < share < 1 and learned.state_size:
            raise ConfigError(
                "the learned model carries a state of its own: only models that need nothing but the observation can be mixed"
            )
        self.learned, self.true, self.share, self.termination = (
            learned,
            true,
            float(share),
            termination,
        )
        self.observation_size, self.action_size = sizes[0]
        self.state_size = learned.state_size if share == 0 else true.state_size

    def to(self, device: torch.device | str) -> None:
        """Move the learned model; the simulator stays where it is."""
        self.learned.to(device)

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """One step from `observation` (batch, observation) and, where share > 0, the simulator's
        `state` (batch, state_size).
        """
        if self.share in (0, 1) or self.termination is None:
            only = self.learned if self.share == 0 else self.true
            return only.step(observation, action, state=state, generator=generator, members=members)
        true = self.true.step(observation, action, state=state, generator=generator)
        learned = self.learned.step(observation, action, generator=generator, members=members)
        following = torch.lerp(learned.next_observation, true.next_observation, self.share)
        terminated = self.termination(observation, action, following) | ~following.isfinite().all(
            dim=1
        )
        return Prediction(
            next_observation=following,
            reward=torch.lerp(learned.reward, true.reward, self.share),
            terminated=terminated,
            state=self.true.state_of(following, like=true.state).to(action.device),
            members=None if learned.members is None else self._towards(learned.members, true),
        )

    def _towards(self, members: Members, true: Prediction) -> Members:
        target = torch.cat((true.next_observation, true.reward[:, None]), dim=1).to(members.mean)
        return Members(
            torch.lerp(members.mean, target.expand_as(members.mean), self.share),
            members.variance * (1 - self.share) ** 2,
        )
