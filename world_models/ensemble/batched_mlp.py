"""Many small networks of one shape as one module: each layer is a single batched matrix product."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError

T = TypeVar("T")

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,  # in place: baddbmm needs no output to be differentiated
    "silu": functional.silu,
}


class BatchedMLP(nn.Module):
    """`count` fully connected networks without shared weights; initial values are distributed as in
    torch.nn.Linear.

    Args:
        count: number of networks.
        sizes: widths from input to output, e.g. (in, 200, 200, out).
        activation: "relu" or "silu", after every layer but the last.
        generator: of the initial weights.

    Attributes:
        weights: of each layer, (count, in, out).
        biases: of each layer, (count, 1, out).
    """

    def __init__(
        self,
        count: int,
        sizes: Sequence[int],
        activation: str = "relu",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checks.whole_number(count, "count", least=1)
        widths = checks.whole_numbers(sizes, "sizes", ("layers",), least=1, error=ConfigError)
        sizes = tuple(widths.tolist())
        self.count, self.sizes, self.activation = count, sizes, activation
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            limit = 1 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(_uniform((count, fan_in, fan_out), limit, generator)))
            self.biases.append(nn.Parameter(_uniform((count, 1, fan_out), limit, generator)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (count, batch, out).

        Args:
            inputs: (count, batch, in), or (batch, in) for the same rows in all networks.
        """
        hidden = inputs if inputs.dim() == 3 else inputs.expand(self.count, *inputs.shape)
        return propagate(hidden, self.weights, self.biases, ACTIVATIONS[self.activation])


def propagate(
    hidden: Tensor,
    weights: Iterable[Tensor],
    biases: Iterable[Tensor],
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    """Outputs (count, batch, out) of `count` networks.

    Args:
        hidden: inputs, (count, batch, in).
        weights: of each layer, (count, in, out).
        biases: of each layer, (count, 1, out).
        activation: after every layer but the last.
    """
    *inner_layers, (last_weight, last_bias) = zip(weights, biases, strict=True)
    for weight, bias in inner_layers:
        hidden = activation(torch.baddbmm(bias, hidden, weight))
    return torch.baddbmm(last_bias, hidden, last_weight)


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator).mul_(2 * limit).sub_(limit)


def compiled(function: Callable[..., T]) -> Callable[..., T]:
    """`function` compiled by torch.compile for fixed shapes.

    Raises:
        ConfigError: there is no C++ compiler.
    """
    if not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
        raise ConfigError(
            "compile: true needs a C++ compiler, and neither g++ nor clang++ is found: install "
            "one, or set compile: false"
        )
    return torch.compile(function, dynamic=False)
