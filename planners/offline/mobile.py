"""MOBILE's penalty (Sun et al., 2023): disagreement of an ensemble's members about the value of the
next state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.replay import Batch

_SAMPLES = 10  # next states drawn from each member


class MobilePenalty:
    """beta * std over members of the mean over samples of min_j Q_j(s'_member, a'), with the sample
    standard deviation, on model transitions; zero on rows of the dataset.

    Args:
        agent: target critics, policy and beta (`settings.mobile`).
        dynamics: the ensemble.
        generator: of the samples and the policy's noise.
    """

    def __init__(
        self, agent: ReachAware, dynamics: DynamicsModel, generator: torch.Generator | None = None
    ) -> None:
        self.agent, self.dynamics, self.generator = agent, dynamics, generator

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """The penalty of each transition, (seeds, batch). Exact dynamics have no members: it is
        zero.
        """
        seeds, count, width = batch.observation.shape
        predicted = self.dynamics.step(
            batch.observation.flatten(0, 1),
            batch.action.flatten(0, 1),
            generator=self.generator,
            members=True,
        ).members
        if predicted is None:
            return torch.zeros_like(batch.reward)
        mean, deviation = predicted.mean[..., :width], predicted.variance[..., :width].sqrt()
        noise = torch.randn((_SAMPLES, *mean.shape), generator=self.generator, device=mean.device)
        following = mean + deviation * noise  # (samples, members, seeds * batch, observation)
        members = mean.shape[0]
        rows = (
            following.view(_SAMPLES * members, seeds, count, width)
            .transpose(0, 1)
            .reshape(seeds, -1, width)
        )
        action = self.agent.actor.sample(rows, self.generator)[0]
        value = (
            self.agent.target_critics(rows, action).amin(1).view(seeds, _SAMPLES, members, count)
        )
        spread = value.mean(1).std(1, correction=min(1, members - 1))
        return self.agent.settings.mobile * torch.where(batch.step >= 0, spread, 0.0)
