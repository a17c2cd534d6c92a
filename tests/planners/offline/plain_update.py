"""The update of reach-aware value learning written plainly: one critic after the other, action
gradients by a second backward pass, `backward()` through everything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.replay import Batch


def plain_update(
    agent: ReachAware,
    batch: Batch,
    optimizers: list[Optimizer],
    generator: torch.Generator | None = None,
    penalty: Callable[[Batch, Tensor], Tensor] | None = None,
    errors: Callable[[Batch, Tensor, Tensor], Tensor] | None = None,
) -> None:
    """One update of temperature, actor, critics and target critics, like `ReachAware.update`."""
    of_actor, of_critics, of_temperature = optimizers
    settings, alpha = agent.settings, agent.log_temperature.detach().exp()
    action, density = agent.actor.sample(batch.observation, generator)
    values = _values(agent.critics, batch.observation, action)
    if settings.lower_bound is None:
        value = values.min(1).values
    else:
        spread = (values - values.mean(1, keepdim=True)).square().mean(1).sqrt()
        value = values.mean(1) - settings.lower_bound * spread
    if penalty is not None:
        value = value - penalty(batch, action)
    unit = torch.ones_like(alpha) if agent.reward_scale is None else agent.reward_scale
    of_errors = unit if settings.normalise_rewards else torch.ones_like(alpha)
    loss = (alpha[:, None] * density - value / of_errors[:, None]).mean(1).sum()
    temperature_loss = -(
        agent.log_temperature * (density.detach() + agent.target_entropy).mean(1)
    ).sum()
    agent.zero_grad()
    loss.backward()
    of_actor.step()
    agent.zero_grad()
    temperature_loss.backward()
    of_temperature.step()

    target = agent.target(batch, agent.log_temperature.detach().exp(), generator)
    taken = batch.action.clone().requires_grad_()
    predicted = _values(agent.critics, batch.observation, taken)
    loss = ((predicted - target) / of_errors[:, None, None]).square().mean(2).sum()
    if errors is not None:
        loss = errors(batch, predicted, target)
    if settings.diversity > 0:
        units = []
        for index in range(settings.critics):
            gradient = torch.autograd.grad(predicted[:, index].sum(), taken, create_graph=True)[0]
            gradient = gradient / of_errors[:, None, None]
            units.append(gradient / (gradient.norm(dim=-1, keepdim=True) + 1e-10))
        pairs = [(a * b).sum(-1) for a, b in itertools.permutations(units, 2)]
        term = torch.stack(pairs).sum(0).mean(1) / (settings.critics - 1)
        if settings.relative_diversity and not settings.normalise_rewards:
            term = term * unit**2
        loss = loss + settings.diversity * term.sum()
    agent.zero_grad()
    loss.backward()
    of_critics.step()
    with torch.no_grad():
        slow = agent.target_critics.parameters()
        for target_weight, weight in zip(slow, agent.critics.parameters(), strict=True):
            target_weight += settings.target_rate * (weight - target_weight)


def _values(critics: Critics, observation: Tensor, action: Tensor) -> Tensor:
    """Values (seeds, critics, batch), network by network."""
    if critics.scaler is not None:
        observation = (observation - critics.scaler.mean) / critics.scaler.scale
    rows = torch.cat([observation, action], -1)
    columns = []
    for index in range(critics.seeds * critics.critics):
        hidden = rows[index // critics.critics]
        layers = list(zip(critics.network.weights, critics.network.biases, strict=True))
        for number, (weight, bias) in enumerate(layers[:-1]):
            hidden = hidden @ weight[index] + bias[index]
            if critics.norms:
                norm = critics.norms[number]
                width, gain, shift = hidden.shape[-1], norm.gain[index, 0], norm.shift[index, 0]
                hidden = torch.nn.functional.layer_norm(hidden, (width,), gain, shift)
            hidden = hidden.relu()
        weight, bias = layers[-1]
        unit = 1 if critics.value_scale is None else critics.value_scale[index // critics.critics]
        columns.append(unit * (hidden @ weight[index] + bias[index])[:, 0])
    return torch.stack(columns).view(critics.seeds, critics.critics, -1)
