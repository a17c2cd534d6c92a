"""The layers of a latent world model: single networks, and many networks of one shape as one
batched network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Kind = Literal["elu", "norm_mish", "norm_tanh"]  # what follows a hidden layer; "norm" is LayerNorm
_FUNCTIONS: dict[Kind, Callable[[Tensor], Tensor]] = {
    "elu": functional.elu,
    "norm_mish": functional.mish,
    "norm_tanh": torch.tanh,
}
_MODULES: dict[Kind, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "norm_mish": nn.Mish,
    "norm_tanh": nn.Tanh,
}


class SimNorm(nn.Module):
    """Simplicial normalisation (Lavoie et al. 2023; TD-MPC2): a softmax over each group of numbers.

    Args:
        size: numbers in a group; divides the length of a latent.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, latent: Tensor) -> Tensor:
        """Numbers (..., latent) -> (..., latent), at least 0, which sum to 1 in every group."""
        return torch.softmax(torch.unflatten(latent, -1, (-1, self.size)), -1).flatten(-2)


def linear(fan_in: int, fan_out: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with orthogonal initial weights and zero biases.

    The layer is made on the meta device: its own initialisation would draw global random numbers.
    """
    layer = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(
    sizes: Sequence[int],
    kinds: Sequence[Kind],
    generator: torch.Generator | None,
    *,
    zero_last: bool = False,
) -> nn.Sequential:
    """One fully connected network.

    Args:
        sizes: widths from input to output.
        kinds: one for every hidden layer.
        generator: source of the initial weights.
        zero_last: the last layer starts at zero, so that all outputs are 0 at first.
    """
    *hidden, last = [
        linear(fan_in, fan_out, generator)
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    if zero_last:
        nn.init.zeros_(last.weight)
    layers: list[nn.Module] = []
    for layer, kind in zip(hidden, kinds, strict=True):
        norm = [] if kind == "elu" else [nn.LayerNorm(layer.out_features)]
        layers += [layer, *norm, _MODULES[kind]()]
    return nn.Sequential(*layers, last)


class MemberMLP(nn.Module):
    """`count` networks like those of `mlp`, without shared weights, each layer one batched product.

    Unlike `BatchedMLP` of the ensemble it has normalised layers and an orthogonal start, and its
    weights can be held fixed in a call. Weights are (count, in, out); biases, and the scales and
    shifts of normalised layers, (count, 1, out).

    Args:
        count: networks.
        sizes: widths from input to output.
        kinds: one for every hidden layer.
        generator: source of the initial weights.
        zero_last: the last layers start at zero.
    """

    def __init__(
        self,
        count: int,
        sizes: Sequence[int],
        kinds: Sequence[Kind],
        generator: torch.Generator | None,
        *,
        zero_last: bool = False,
    ) -> None:
        super().__init__()
        self.count, self.kinds = count, tuple(kinds)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.scales, self.shifts = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            weight = torch.empty(count, fan_in, fan_out)
            for network in weight:
                nn.init.orthogonal_(network, generator=generator)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(count, 1, fan_out)))
        for kind, width in zip(kinds, sizes[1:-1], strict=True):
            if kind != "elu":
                self.scales.append(nn.Parameter(torch.ones(count, 1, width)))
                self.shifts.append(nn.Parameter(torch.zeros(count, 1, width)))
        if zero_last:
            nn.init.zeros_(self.weights[-1])

    def forward(self, inputs: Tensor, frozen: bool = False) -> Tensor:
        """Rows (count, n, in), each network its own -> (count, n, out).

        Args:
            inputs: (count, n, in).
            frozen: gradients reach the inputs, but not the weights.
        """
        weights, biases, scales, shifts = (
            [value.detach() if frozen else value for value in values]
            for values in (self.weights, self.biases, self.scales, self.shifts)
        )
        norms = iter(zip(scales, shifts, strict=True))
        hidden = inputs
        for weight, bias, kind in zip(weights, biases, self.kinds, strict=False):
            hidden = torch.baddbmm(bias, hidden, weight)
            if kind != "elu":
                scale, shift = next(norms)
                hidden = torch.addcmul(
                    shift, functional.layer_norm(hidden, hidden.shape[-1:]), scale
                )
            hidden = _FUNCTIONS[kind](hidden)
        return torch.baddbmm(biases[-1], hidden, weights[-1])
