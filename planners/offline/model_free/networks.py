"""Networks of the model-free methods, those of all seeds in one batched network. Actions are in the
unit box [-1, 1]^action.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.planners.offline.symlog import symlog
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP

INITIAL_VALUES = ("linear", "small")
_LOG_STD = (-20.0, 2.0)  # bounds of the log standard deviation
_EPSILON = 1e-6  # of the layer normalisation


class NormalisedMLP(BatchedMLP):
    """`BatchedMLP` with relu, where `layer_norm` normalises the output of every hidden layer after
    its relu (Ball et al., 2023; ReBRAC, Tarasov et al., 2023).

    Args:
        count: number of networks.
        sizes: widths from input to output.
        layer_norm: whether there are layer normalisations.
        initial_values: "linear", as in torch.nn.Linear; "small", as in EDAC: hidden biases 0.1, and
            a last layer U(-last, last).
        last: see `initial_values`.
        generator: of the initial weights.
    """

    def __init__(
        self,
        count: int,
        sizes: Sequence[int],
        *,
        layer_norm: bool = False,
        initial_values: str = "linear",
        last: float = 3e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(count, sizes, generator=generator)
        widths = self.sizes[1:-1] if layer_norm else ()
        self.scales = nn.ParameterList([torch.ones(count, 1, width) for width in widths])
        self.shifts = nn.ParameterList([torch.zeros(count, 1, width) for width in widths])
        if initial_values == "small":
            with torch.no_grad():
                for bias in self.biases[:-1]:
                    bias.fill_(0.1)
                for tensor in (self.weights[-1], self.biases[-1]):
                    tensor.copy_((torch.rand(tensor.shape, generator=generator) * 2 - 1) * last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (count, batch, out) for inputs (count, batch, in)."""
        if not len(self.scales):
            return super().forward(inputs)
        hidden = inputs
        for index, (scale, shift) in enumerate(zip(self.scales, self.shifts, strict=True)):
            hidden = torch.baddbmm(self.biases[index], hidden, self.weights[index]).relu()
            normal = functional.layer_norm(hidden, hidden.shape[-1:], eps=_EPSILON)
            hidden = normal * scale + shift
        return torch.baddbmm(self.biases[-1], hidden, self.weights[-1])


class Values(nn.Module):
    """Scalar networks, `count` for each of `seeds` trainings: critics Q_j(s, a) or values V(s).

    Args:
        size: length of an input row.
        count: networks of each seed.
        hidden: widths of the hidden layers.
        seeds: trainings side by side.
        layer_norm: see `NormalisedMLP`.
        initial_values: see `NormalisedMLP`.
        generator: of the initial weights.
    """

    def __init__(
        self,
        size: int,
        count: int,
        hidden: Sequence[int],
        *,
        seeds: int,
        layer_norm: bool = False,
        initial_values: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.seeds, self.count = seeds, count
        self.network = NormalisedMLP(
            seeds * count,
            (size, *hidden, 1),
            layer_norm=layer_norm,
            initial_values=initial_values,
            generator=generator,
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """(seeds, batch, ...) for each input, such as observations and actions ->
        (seeds, count, batch).
        """
        rows = torch.cat(inputs, -1)
        seeds, batch, width = rows.shape
        copies = rows.unsqueeze(1).expand(seeds, self.count, batch, width)
        outputs: Tensor = self.network(copies.reshape(seeds * self.count, batch, width))
        return outputs.view(seeds, self.count, batch)


class Actor(nn.Module):
    """a = tanh(mu(s)), for each of `seeds` trainings; as a Gaussian, also a standard deviation of
    each action coordinate that does not depend on the state.

    Args:
        observation: size of an observation.
        action: size of an action.
        hidden: widths of the hidden layers.
        seeds: trainings side by side.
        gaussian: whether there is a standard deviation.
        layer_norm: see `NormalisedMLP`.
        initial_values: see `NormalisedMLP`.
        sees_symlog: let the network see the `symlog` of the observation.
        generator: of the initial weights.
    """

    def __init__(
        self,
        observation: int,
        action: int,
        hidden: Sequence[int],
        *,
        seeds: int,
        gaussian: bool = False,
        layer_norm: bool = False,
        initial_values: str = "linear",
        sees_symlog: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sees_symlog = sees_symlog
        self.network = NormalisedMLP(
            seeds,
            (observation, *hidden, action),
            layer_norm=layer_norm,
            initial_values=initial_values,
            last=1e-3,
            generator=generator,
        )
        self.log_std = nn.Parameter(torch.zeros(seeds, 1, action)) if gaussian else None

    def forward(self, observation: Tensor) -> Tensor:
        """Mean actions (seeds, batch, action) for observations (seeds, batch, observation)."""
        return torch.tanh(self.mean(observation))

    def mean(self, observation: Tensor) -> Tensor:
        """mu (seeds, batch, action) for observations (seeds, batch, observation)."""
        seen = symlog(observation) if self.sees_symlog else observation
        mean: Tensor = self.network(seen)
        return mean

    def log_density(self, observation: Tensor, action: Tensor) -> Tensor:
        """Log density of actions (seeds, batch, action) of a Gaussian actor, (seeds, batch)."""
        assert self.log_std is not None
        log_std = self.log_std.clamp(*_LOG_STD)
        scaled = (action - self(observation)) / log_std.exp()
        density = -0.5 * scaled.square() - log_std - 0.5 * math.log(2 * math.pi)
        summed: Tensor = density.sum(-1)
        return summed
