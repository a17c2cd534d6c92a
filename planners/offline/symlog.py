"""The symmetric logarithm of the inputs of networks, and critics that see it, as in LEQ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldplan.planners.offline.critics import Critics

_CONSTANT = 1e-12  # standard deviation of a column that is not scaled, as published


def symlog(values: Tensor) -> Tensor:
    """sign(x) log(1 + |x|) of every value (Hafner et al., 2023)."""
    return values.sign() * values.abs().log1p()


class SymlogCritics(Critics):
    """Critics that see the `symlog` of their inputs, with actions scaled by their mean and standard
    deviation; the arguments are those of `Critics`.

    Attributes:
        action_mean: (action,), initially 0.
        action_spread: (action,), initially 1.
    """

    action_mean: Tensor
    action_spread: Tensor

    def __init__(self, observation: int, action: int, *arguments: Any, **options: Any) -> None:
        super().__init__(observation, action, *arguments, **options)
        self.register_buffer("action_mean", torch.zeros(action))
        self.register_buffer("action_spread", torch.ones(action))

    @torch.no_grad()
    def fit_actions(self, action: Tensor) -> None:
        """Take mean and standard deviation of actions (n, action); a constant column keeps 1."""
        spread = action.double().std(0, correction=0)
        self.action_mean.copy_(action.double().mean(0))
        self.action_spread.copy_(torch.where(spread < _CONSTANT, 1.0, spread))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """(seeds, batch, observation), (seeds, batch, action) -> (seeds, critics, batch)."""
        scaled = (action - self.action_mean) / self.action_spread
        return super().forward(symlog(observation), symlog(scaled))

    def with_action_gradients(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Not known in closed form.

        Raises:
            NotImplementedError: always; LEQ differentiates its critics by autograd.
        """
        raise NotImplementedError("LEQ differentiates its critics by autograd")
