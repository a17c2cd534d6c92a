"""The policy of soft actor-critic, a Gaussian squashed by tanh; those of all seeds in one batched
network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.planners.offline.scalers import ObservationScaler
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP

_LOG_STD = (-5.0, 2.0)  # bounds of the log standard deviation


class SquashedActor(nn.Module):
    """a = centre + scale * tanh(mu(s) + sigma(s) * noise), independently for each of `seeds`
    trainings.

    Args:
        observation: size of an observation.
        low: least actions, (action,).
        high: greatest actions, (action,).
        hidden: widths of the hidden layers.
        normalise_observations: let the network see scaled observations (`scaler`).
        seeds: trainings side by side.
        generator: of the initial weights.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        observation: int,
        low: Tensor,
        high: Tensor,
        hidden: Sequence[int],
        *,
        normalise_observations: bool = False,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.action_size = len(low)
        self.register_buffer("low", low.float())
        self.register_buffer("high", high.float())
        self.scaler = ObservationScaler(observation) if normalise_observations else None
        self.network = BatchedMLP(
            seeds, (observation, *hidden, 2 * self.action_size), generator=generator
        )
        with torch.no_grad():  # EDAC's initial values: means near 0 and standard deviations near 1
            for bias in self.network.biases[:-1]:
                bias.fill_(0.1)
            for last in (self.network.weights[-1], self.network.biases[-1]):
                last.copy_((torch.rand(last.shape, generator=generator) * 2 - 1) * 1e-3)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before the tanh, each (seeds, batch, action), for
        observations (seeds, batch, observation).
        """
        scaled = observation if self.scaler is None else self.scaler(observation)
        mean, log_std = self.network(scaled).chunk(2, -1)
        return mean, log_std.clamp(*_LOG_STD)

    def mean_action(self, observation: Tensor) -> Tensor:
        """The deterministic action (seeds, batch, action): that of the mean before the tanh."""
        return self._scale(torch.tanh(self(observation)[0]))

    def sample(
        self, observation: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """A random action (seeds, batch, action), and its log density (seeds, batch) in the
        unscaled box [-1, 1]^action.
        """
        mean, log_std = self(observation)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        raw = mean + log_std.exp() * noise
        # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)), exact where 1 - tanh^2 underflows
        squash = 2 * (math.log(2) - raw - functional.softplus(-2 * raw))
        log_density = (-0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi) - squash).sum(
            -1
        )
        return self._scale(torch.tanh(raw)), log_density

    def _scale(self, unit: Tensor) -> Tensor:
        return self.low + (unit + 1) * 0.5 * (self.high - self.low)
