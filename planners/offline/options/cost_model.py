"""The cost of a model transition: a function of the user's, or a network fitted to the costs of the
dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.milp.addresses import import_address, own_errors
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.offline.replay import Batch
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP

CostFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(observation, action, next_observation), each (batch, size) -> (batch,) costs of 0 or more."""

HELD_OUT_SHARE = 0.2
_TOLERANCE = 1e-4  # between a function and the costs of the dataset, relative above 1


class CostModel(nn.Module):
    """A small network for the mean cost E[c | s, a, s'], between 0 and the greatest cost of the
    data: a `CostFunction`.

    Args:
        observation_size: length of an observation.
        action_size: length of an action.
        hidden: widths of the SiLU layers.
        generator: of the initial weights.

    Attributes:
        error: mean absolute error on held-out rows, a scalar.
    """

    mean: Tensor
    scale: Tensor
    greatest: Tensor
    error: Tensor

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int] = (64, 64),
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        inputs = 2 * observation_size + action_size
        self.network = BatchedMLP(1, (inputs, *hidden, 1), "silu", generator=generator)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("greatest", torch.ones(()))
        self.register_buffer("error", torch.zeros(()))

    def logit(self, rows: Tensor) -> Tensor:
        """Log-odds (n,) of the mean cost divided by the greatest, of rows (n, observation + action
        + observation).
        """
        output: Tensor = self.network(((rows - self.mean) / self.scale).clamp(-10, 10))
        return output[0, :, 0]

    @torch.no_grad()
    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """Mean costs (batch,).

        Args:
            observation: (batch, observation).
            action: (batch, action).
            next_observation: (batch, observation).
        """
        rows = torch.cat([observation, action, next_observation], -1)
        return self.greatest * torch.sigmoid(self.logit(rows))


def fit_costs(
    batch: Batch,
    generator: torch.Generator,
    *,
    hidden: Sequence[int] = (64, 64),
    steps: int = 2000,
    rows_per_step: int = 256,
    learning_rate: float = 1e-3,
) -> CostModel:
    """A model of the costs of a dataset.

    The cross-entropy of c / max c is least at the mean cost, for costs of 0 and 1 and for others.

    Args:
        batch: all rows, (n, ...), with costs.
        generator: of weights, held-out rows and batches.
        hidden: widths of the SiLU layers.
        steps: of gradient descent.
        rows_per_step: drawn with replacement.
        learning_rate: of AdamW.

    Raises:
        DatasetError: no cost is above 0.
    """
    cost = batch.cost
    if cost is None or not bool(cost.any()):
        raise DatasetError(
            "the dataset holds no cost above 0, so none can be learned: give a function of the "
            "costs (cost: module:function), or data that exceed the limit"
        )
    rows = torch.cat([batch.observation, batch.action, batch.next_observation], -1)
    sizes = batch.observation.shape[1], batch.action.shape[1]
    model = CostModel(*sizes, hidden, generator=generator)
    model.greatest.copy_(cost.max())
    order = torch.randperm(len(rows), generator=generator)
    held, learned = order.tensor_split([int(HELD_OUT_SHARE * len(rows))])
    std, mean = torch.std_mean(rows[learned].double(), 0, correction=0)
    model.mean.copy_(mean)
    model.scale.copy_(torch.where(std > 1e-6 * mean.abs() + 1e-12, std, 1.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    for _ in range(steps):
        chosen = learned[torch.randint(len(learned), (rows_per_step,), generator=generator)]
        optimizer.zero_grad()
        share = cost[chosen] / model.greatest
        loss = functional.binary_cross_entropy_with_logits(model.logit(rows[chosen]), share)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        optimizer.step()
    model.eval().requires_grad_(False)
    if len(held):
        predicted = model.greatest * torch.sigmoid(model.logit(rows[held]))
        model.error.copy_((predicted - cost[held]).abs().mean())
    return model


def cost_function(cost: str | CostFunction, data: Transitions) -> CostFunction:
    """A function of the user's, which is compared with the costs of the dataset.

    Args:
        cost: "module:function", or the function.
        data: rows to try it on.

    Raises:
        ConfigError: it cannot be imported, or does not give a cost per row, or the data have
            another cost.
    """
    name = cost if isinstance(cost, str) else getattr(cost, "__qualname__", "of your own")
    function = import_address(cost, "cost") if isinstance(cost, str) else cost
    if not callable(function):
        raise ConfigError(
            f"cost '{name}' is a {type(function).__name__}: name a function (observation, action, "
            "next_observation) -> costs"
        )
    known: CostFunction = function
    costs = costs_of(known, data, f"cost '{name}'")
    if data.cost is not None:
        stored = torch.from_numpy(data.cost)
        wrong = ((costs - stored).abs() > _TOLERANCE * stored.abs().clamp_min(1)).nonzero()
        if len(wrong):
            row = int(wrong[0])
            raise ConfigError(
                f"cost '{name}' gives {costs[row]:g} for row {row} of the dataset, whose cost is "
                f"{stored[row]:g} ({len(wrong)} of {len(costs)} rows differ): mend the function, "
                "or leave it out to learn the costs from the data"
            )
    return known


def costs_of(function: CostFunction, data: Transitions, subject: str) -> Tensor:
    """The costs (n,) that a user's function gives for a dataset's rows.

    Raises:
        ConfigError: names what it does wrong.
    """
    observation, action, next_observation = (
        torch.from_numpy(part) for part in (data.observation, data.action, data.next_observation)
    )
    with own_errors(subject, "mend it"), torch.no_grad():
        costs = function(observation, action, next_observation)
    if not isinstance(costs, Tensor) or costs.shape != (len(data),):
        what = tuple(costs.shape) if isinstance(costs, Tensor) else type(costs).__name__
        raise ConfigError(
            f"{subject}: gave {what} for {len(data)} rows: return a tensor of a cost per row"
        )
    costs = costs.float()
    wrong = (~(costs.isfinite() & (costs >= 0))).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ConfigError(
            f"{subject}: gave {costs[row]:g} for row {row} of the dataset: a cost is finite and 0 "
            "or more"
        )
    return costs
