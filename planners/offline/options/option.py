"""What an option of the agent adds to its update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from worldplan.planners.offline.replay import Batch

if TYPE_CHECKING:
    from worldplan.planners.offline.agent import ReachAware


class Option(nn.Module):
    """An addition to the update of `worldplan.planners.offline.agent.ReachAware`; a term that a
    subclass does not define adds nothing.

    Gradients of `value_penalty` go to the actor alone, and those of `critic_term` to the critics.
    """

    generator: torch.Generator | None = None  # of what the terms below draw

    def optimizer(self) -> torch.optim.Optimizer:
        """Of what the option itself learns, which `learn` steps.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError

    def value_penalty(self, batch: Batch, action: Tensor) -> Tensor | None:
        """Subtracted from the values that the actor maximises: (seeds, batch), or None.

        Args:
            batch: states.
            action: (seeds, batch, action), drawn from the policy, differentiable.
        """
        return None

    def weights(self, batch: Batch) -> Tensor | None:
        """Factors of the critics' squared errors: (seeds, batch), or None for 1."""
        return None

    def critic_term(self, batch: Batch, values: Tensor) -> Tensor | None:
        """Added to the loss of the critics: (seeds,), or None.

        Args:
            batch: transitions.
            values: (seeds, critics, batch), those of all critics in the units of learning,
                differentiable.
        """
        return None

    def learn(
        self,
        agent: ReachAware,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Update what the option itself learns, after actor and critics.

        Args:
            agent: with its new actor and critics.
            batch: transitions (seeds, batch, ...).
            optimizer: that of `optimizer()`.
            generator: of all random numbers.

        Returns:
            Statistics by name, each (seeds,).

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError


def step(optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
    """Minimise `loss`, a scalar, by one step of the parameters of `module`."""
    optimizer.zero_grad()
    # backward gives each `grad` the strides of its parameter; a fused optimiser needs this
    torch.autograd.backward(loss, inputs=list(module.parameters()))
    optimizer.step()
