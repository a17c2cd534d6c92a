"""N critics per seed in one batched network, with the gradients of their values by the action in
closed form, and EDAC's diversity term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from worldplan.planners.offline.layer_norm import BatchedLayerNorm, Normalised
from worldplan.planners.offline.scalers import ObservationScaler
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP, propagate

_TINY = 1e-10


class Critics(nn.Module):
    """ReLU networks Q_i(s, a), i = 1..critics, for each of `seeds` independent trainings.

    Initial values as in EDAC: hidden biases 0.1, last layer U(-3e-3, 3e-3).

    Args:
        observation: size of an observation.
        action: size of an action.
        critics: N, networks of each seed.
        hidden: widths of the hidden layers.
        layer_norm: normalise each hidden layer before its ReLU.
        normalise_observations: let the networks see scaled observations (`scaler`).
        scale_values: let a value be `value_scale` times the output of its network.
        seeds: trainings side by side.
        generator: of the initial weights.

    Attributes:
        value_scale: (seeds,), initially 1; None without `scale_values`.
    """

    value_scale: Tensor | None

    def __init__(
        self,
        observation: int,
        action: int,
        critics: int,
        hidden: Sequence[int],
        *,
        layer_norm: bool = False,
        normalise_observations: bool = False,
        scale_values: bool = False,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.seeds, self.critics, self.action_size = seeds, critics, action
        count = seeds * critics
        self.network = BatchedMLP(count, (observation + action, *hidden, 1), generator=generator)
        self.norms = nn.ModuleList(
            BatchedLayerNorm(count, width) for width in (hidden if layer_norm else ())
        )
        self.scaler = ObservationScaler(observation) if normalise_observations else None
        self.register_buffer("value_scale", torch.ones(seeds) if scale_values else None)
        with torch.no_grad():
            for bias in self.network.biases[:-1]:
                bias.fill_(0.1)
            for last in (self.network.weights[-1], self.network.biases[-1]):
                last.copy_((torch.rand(last.shape, generator=generator) * 2 - 1) * 3e-3)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """(seeds, batch, observation), (seeds, batch, action) -> (seeds, critics, batch)."""
        layers = list(self.norms)

        def activation(raw: Tensor) -> Tensor:
            # in place: the product that made `raw` needs no output to be differentiated
            return layers.pop(0)(raw).relu() if layers else raw.relu_()

        return self._evaluate(observation, action, activation)

    def with_action_gradients(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Values (seeds, critics, batch) and gradients dQ_i/da (seeds, critics, batch, action),
        both differentiable by the weights.

        A ReLU network is linear where its activation pattern is constant:

            dQ/da = W_1 J_1 D_1 W_2 J_2 D_2 ... D_(L-1) W_L,  D_l = diag(unit of layer l is active),

        restricted to the rows of W_1 that belong to the action; J_l is the Jacobian of the layer's
        normalisation, and the identity without. These are plain products, so one backward pass
        differentiates any function of them, without a second-order graph.
        """
        masks: list[Tensor] = []
        jacobians: list[Normalised] = []
        layers = [cast(BatchedLayerNorm, layer) for layer in self.norms]

        def activation(raw: Tensor) -> Tensor:
            if layers:
                raw, at = layers[len(jacobians)].with_jacobian(raw)
                jacobians.append(at)
            active = raw.relu() if layers else raw.relu_()
            masks.append((active.detach() > 0).to(active.dtype))
            return active

        values = self._evaluate(observation, action, activation)
        *weights, last = self.network.weights
        batch = values.shape[-1]
        weights[0] = weights[0][:, -self.action_size :]
        product = last.transpose(1, 2).expand(-1, batch, -1)  # (networks, batch, width)
        for index in reversed(range(len(weights))):
            product = product * masks[index]
            if layers:
                product = layers[index].times_jacobian(product, jacobians[index])
            product = torch.bmm(product, weights[index].transpose(1, 2))
        gradients = product.view(self.seeds, self.critics, batch, self.action_size)
        if self.value_scale is not None:
            gradients = gradients * self.value_scale.view(-1, 1, 1, 1)
        return values, gradients

    def _evaluate(
        self, observation: Tensor, action: Tensor, activation: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Values (seeds, critics, batch); `activation` is called for one hidden layer after the
        other, (seeds * critics, batch, width).
        """
        scaled = observation if self.scaler is None else self.scaler(observation)
        rows = torch.cat([scaled, action], -1)
        seeds, batch, width = rows.shape
        hidden = (
            rows.unsqueeze(1)
            .expand(seeds, self.critics, batch, width)
            .reshape(seeds * self.critics, batch, width)
        )
        values = propagate(hidden, self.network.weights, self.network.biases, activation).view(
            seeds, self.critics, batch
        )
        return values if self.value_scale is None else values * self.value_scale.view(-1, 1, 1)


def diversity_loss(gradients: Tensor) -> Tensor:
    """EDAC's diversity term (An et al., 2021, eq. 5): cosines between the action gradients of
    different critics, summed over pairs, divided by N - 1 as in the published code, mean over the
    batch.

    With unit gradients g_i: sum_{i != j} <g_i, g_j> = |sum_i g_i|^2 - sum_i |g_i|^2.

    Args:
        gradients: dQ_i/da, (seeds, critics, batch, action).

    Returns:
        The term of each seed, (seeds,).
    """
    count = gradients.shape[1]
    unit = gradients / (gradients.norm(dim=-1, keepdim=True) + _TINY)
    pairs: Tensor = unit.sum(1).square().sum(-1) - unit.square().sum(-1).sum(1)  # (seeds, batch)
    return pairs.mean(-1) / (count - 1)
