"""Many small networks of one shape as one module: every layer is a single batched product."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.milp.errors import ConfigError

T = TypeVar("T")

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "silu": functional.silu,
}


class BatchedMLP(nn.Module):
    """`count` fully connected networks without shared weights.

    Args:
        count: number of networks.
        sizes: widths from input to output, e.g. (in, 200, 200, out).
        activation: "relu" or "silu", after every layer but the last.
        generator: source of the initial weights.
    Weights are (count, in, out), biases (count, 1, out); initial values as torch.nn.Linear draws
    them.
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
        self.count, self.sizes, self.activation = count, tuple(sizes), activation
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            limit = 1 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(_uniform((count, fan_in, fan_out), limit, generator)))
            self.biases.append(nn.Parameter(_uniform((count, 1, fan_out), limit, generator)))

    def forward(self, inputs: Tensor) -> Tensor:
        """(count, batch, in) or (batch, in), the same rows for all networks -> (count, batch, out)."""
        hidden = inputs if inputs.dim() == 3 else inputs.expand(self.count, *inputs.shape)
        return propagate(hidden, self.weights, self.biases, ACTIVATIONS[self.activation])


def propagate(
    hidden: Tensor,
    weights: Iterable[Tensor],
    biases: Iterable[Tensor],
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    """(count, batch, in) through layers (count, in, out) and (count, 1, out), with `activation`
    after every one but the last.
    """
    *inner, (last_weight, last_bias) = zip(weights, biases, strict=True)
    for weight, bias in inner:
        hidden = activation(torch.baddbmm(bias, hidden, weight))
    return torch.baddbmm(last_bias, hidden, last_weight)


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator).mul_(2 * limit).sub_(limit)


def compiled(function: Callable[..., T]) -> Callable[..., T]:
    """torch.compile; raises ConfigError where there is no C++ compiler."""
    if not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))):
        raise ConfigError(
            "compile: true needs a C++ compiler, and neither g++ nor clang++ is found: install one, or set compile: false"
        )
    return torch.compile(function, dynamic=False)
