"""Dynamics between a learned model and the simulator (figure 1 of RAVL, arXiv 2402.12527)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Members, Prediction
from worldplan.envs.dynamics.termination import Termination
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError


class Simulator(DynamicsModel, Protocol):
    """True dynamics whose state can be read from an observation.

    `worldplan.envs.dynamics.mujoco.MujocoDynamics` is one.
    """

    def state_of(self, observation: Tensor, like: Tensor | None = None) -> Tensor:
        """(batch, observation) -> (batch, state_size); unobserved entries come from `like`."""
        ...


class MixedDynamics:
    """Interpolates between a learned model and the simulator:

        next observation = (1 - share) learned + share true,   reward likewise

    Args:
        learned: a model without a simulator state.
        true: the simulator.
        share: of the simulator, in [0, 1].
        termination: which rows terminate, from observation, action and mixed next observation;
            required for 0 < share < 1.

    With a share of 0 or 1 the model or the simulator is used unchanged. Otherwise the next
    simulator state is the simulator's own, with the observed part replaced by the mixed
    observation; a row with a mixed observation that is not finite terminates. Each member of the
    ensemble is mixed with the simulator, too: means as above, variances times (1 - share)^2, so
    that penalties on the members' disagreement shrink with the share, as in the paper.

    Raises:
        ConfigError: the share is out of range, the sizes differ, the termination is missing, or
            the learned model has a simulator state.
    """

    def __init__(
        self,
        learned: DynamicsModel,
        true: Simulator,
        share: float,
        termination: Termination | None = None,
    ) -> None:
        for name, model in (("learned", learned), ("true", true)):
            if not callable(getattr(model, "step", None)) or not hasattr(model, "state_size"):
                raise ConfigError(f"{name} is {checks.shown(model)}: give a DynamicsModel")
        if termination is not None and not callable(termination):
            raise ConfigError(f"termination is {checks.shown(termination)}: give a function")
        if not 0 <= checks.number(share, "share") <= 1:
            raise ConfigError(
                f"share = {share}: the share of the true dynamics lies between 0 (learned) and "
                "1 (true)"
            )
        sizes = [(model.observation_size, model.action_size) for model in (learned, true)]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"learned and true dynamics have (observation, action) sizes {sizes[0]} and "
                f"{sizes[1]}: train on the same task"
            )
        if 0 < share < 1 and termination is None:
            raise ConfigError(
                f"share = {share}: give a termination function, for neither model's own fits a "
                "mixed observation"
            )
        if 0 < share < 1 and learned.state_size:
            raise ConfigError(
                "the learned model carries a state of its own: only models that need nothing but "
                "the observation can be mixed"
            )
        self.learned, self.true = learned, true
        self.share, self.termination = float(share), termination
        self.observation_size, self.action_size = sizes[0]
        self.state_size = learned.state_size if share == 0 else true.state_size

    def to(self, device: torch.device | str) -> None:
        """Move the learned model; the simulator runs on the CPU."""
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
        """The mixed prediction for every row of a batch.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            state: (batch, state_size), the simulator's; required for a share above 0.
            generator: of the random numbers of the learned model.
            members: whether to return the mixed predictions of its members, too.
        """
        if self.share in (0, 1) or self.termination is None:
            single = self.learned if self.share == 0 else self.true
            return single.step(
                observation, action, state=state, generator=generator, members=members
            )
        true = self.true.step(observation, action, state=state, generator=generator)
        learned = self.learned.step(observation, action, generator=generator, members=members)
        mixed = torch.lerp(learned.next_observation, true.next_observation, self.share)
        diverged = ~mixed.isfinite().all(dim=1)
        return Prediction(
            next_observation=mixed,
            reward=torch.lerp(learned.reward, true.reward, self.share),
            terminated=self.termination(observation, action, mixed) | diverged,
            state=self.true.state_of(mixed, like=true.state).to(action.device),
            members=None if learned.members is None else self._mixed(learned.members, true),
        )

    def _mixed(self, members: Members, true: Prediction) -> Members:
        target = torch.cat((true.next_observation, true.reward[:, None]), dim=1).to(members.mean)
        return Members(
            torch.lerp(members.mean, target.expand_as(members.mean), self.share),
            members.variance * (1 - self.share) ** 2,
        )
