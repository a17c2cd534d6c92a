"""The model-free methods written plainly: one seed and one network after the other, with
torch.nn.Linear, torch.nn.LayerNorm and torch.distributions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.updates import PLAIN


def plain_network(network, index: int) -> nn.Sequential:
    """A copy of one network of a `NormalisedMLP`."""
    layers: list[nn.Module] = []
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        linear = nn.Linear(*weight.shape[1:]).double()
        linear.weight.data = weight[index].T.detach().clone()
        linear.bias.data = bias[index, 0].detach().clone()
        layers.append(linear)
        if number < len(network.weights) - 1:
            layers.append(nn.ReLU())
            if len(network.scales):
                norm = nn.LayerNorm(weight.shape[2], eps=1e-6).double()
                norm.weight.data = network.scales[number][index, 0].detach().clone()
                norm.bias.data = network.shifts[number][index, 0].detach().clone()
                layers.append(norm)
    return nn.Sequential(*layers)


def weights_of(network: nn.Sequential) -> list[Tensor]:
    """All weights in the order of `NormalisedMLP.parameters`, without the axis of networks."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    norms = [layer for layer in network if isinstance(layer, nn.LayerNorm)]
    return [
        *(layer.weight.T for layer in linear),
        *(layer.bias[None] for layer in linear),
        *(layer.weight[None] for layer in norms),
        *(layer.bias[None] for layer in norms),
    ]


def adam(networks, rate, *more):
    parameters = [weight for network in networks for weight in network.parameters()]
    return torch.optim.Adam([*parameters, *more], rate, **PLAIN)


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def track(targets, sources, rate):
    for target, source in zip(targets, sources, strict=True):
        for old, new in zip(target.parameters(), source.parameters(), strict=True):
            old.data = (1 - rate) * old.data + rate * new.data


class PlainBC:
    """One seed of behaviour cloning."""

    def __init__(self, learner, seed: int) -> None:
        self.settings = learner.settings
        self.actor = plain_network(learner.actor.network, seed)
        self.adam = adam([self.actor], self.settings.actor_rate)

    def update(self, row, number, noise) -> None:
        step(self.adam, functional.mse_loss(self.actor(row.observation).tanh(), row.action))

    def networks(self):
        return {"actor.network": [self.actor]}


class PlainTD3BC:
    """One seed of TD3+BC or ReBRAC."""

    def __init__(self, learner, seed: int) -> None:
        self.settings = settings = learner.settings
        places = range(seed * settings.critics, (seed + 1) * settings.critics)
        self.actor = plain_network(learner.actor.network, seed)
        self.target_actor = plain_network(learner.target_actor.network, seed)
        self.critics = [plain_network(learner.critics.network, place) for place in places]
        self.targets = [plain_network(learner.target_critics.network, place) for place in places]
        self.actor_adam = adam([self.actor], settings.actor_rate)
        self.critic_adam = adam(self.critics, settings.critic_rate)

    def update(self, row, number, noise) -> None:
        settings = self.settings
        with torch.no_grad():
            eps = torch.clip(noise * settings.noise, -settings.noise_clip, settings.noise_clip)
            action = torch.clip(self.target_actor(row.next_observation).tanh() + eps, -1, 1)
            inputs = torch.cat([row.next_observation, action], 1)
            value = torch.stack([critic(inputs)[:, 0] for critic in self.targets]).min(0).values
            penalty = ((action - row.next_action) ** 2).sum(1)
            value = value - settings.critic_penalty * penalty
            target = row.reward + (1 - row.terminated) * settings.discount * value
        inputs = torch.cat([row.observation, row.action], 1)
        losses = [functional.mse_loss(critic(inputs)[:, 0], target) for critic in self.critics]
        step(self.critic_adam, sum(losses))
        if number % settings.actor_every:
            return
        action = self.actor(row.observation).tanh()
        inputs = torch.cat([row.observation, action], 1)
        values = torch.stack([critic(inputs)[:, 0] for critic in self.critics])
        value = values[0] if settings.actor_value == "first" else values.min(0).values
        weight = settings.alpha / value.abs().mean().detach()
        if settings.actor_penalty is None:
            loss = functional.mse_loss(action, row.action) - weight * value.mean()
        else:
            distance = ((action - row.action) ** 2).sum(1)
            loss = (settings.actor_penalty * distance - weight * value).mean()
        step(self.actor_adam, loss)
        track(self.targets, self.critics, settings.target_rate)
        track([self.target_actor], [self.actor], settings.target_rate)

    def networks(self):
        return {
            "actor.network": [self.actor],
            "critics.network": self.critics,
            "target_actor.network": [self.target_actor],
            "target_critics.network": self.targets,
        }


class PlainIQL:
    """One seed of IQL, with RIQL's options."""

    def __init__(self, learner, seed: int) -> None:
        self.settings = settings = learner.settings
        places = range(seed * settings.critics, (seed + 1) * settings.critics)
        self.actor = plain_network(learner.actor.network, seed)
        self.value = plain_network(learner.value.network, seed)
        self.critics = [plain_network(learner.critics.network, place) for place in places]
        self.targets = [plain_network(learner.target_critics.network, place) for place in places]
        own = [] if settings.deterministic else [learner.actor.log_std[seed].detach().clone()]
        self.log_std = [nn.Parameter(value) for value in own]
        self.actor_adam = adam([self.actor], settings.actor_rate, *self.log_std)
        self.value_adam = adam([self.value], settings.value_rate)
        self.critic_adam = adam(self.critics, settings.critic_rate)

    def update(self, row, number, noise) -> None:
        settings = self.settings
        inputs = torch.cat([row.observation, row.action], 1)
        with torch.no_grad():
            following = self.value(row.next_observation)[:, 0]
            all_taken = torch.stack([critic(inputs)[:, 0] for critic in self.targets])
        if settings.quantile is None:
            taken = all_taken.min(0).values
        else:
            taken = torch.quantile(all_taken, settings.quantile, dim=0)
        advantage = taken - self.value(row.observation)[:, 0]
        sided = torch.abs(settings.expectile - (advantage < 0).double())
        step(self.value_adam, (sided * advantage**2).mean())

        target = row.reward + (1 - row.terminated) * settings.discount * following
        losses = []
        for critic in self.critics:
            predicted = critic(inputs)[:, 0]
            if settings.huber is None:
                losses.append(functional.mse_loss(predicted, target))
            else:
                losses.append(functional.smooth_l1_loss(predicted, target, beta=settings.huber))
        step(self.critic_adam, sum(losses) / len(losses))
        track(self.targets, self.critics, settings.target_rate)

        weight = torch.exp(settings.temperature * advantage.detach()).clip(max=100)
        mean = self.actor(row.observation).tanh()
        if settings.deterministic:
            distance = ((mean - row.action) ** 2).sum(1)
        else:
            spread = self.log_std[0].clip(-20, 2).exp()
            density = torch.distributions.Normal(mean, spread.expand_as(mean))
            distance = -density.log_prob(row.action).sum(1)
        decay = settings.actor_decay
        share = 1.0 if decay is None else (1 + math.cos(math.pi * (number - 1) / decay)) / 2
        self.actor_adam.param_groups[0]["lr"] = settings.actor_rate * share
        step(self.actor_adam, (weight * distance).mean())

    def networks(self):
        return {
            "actor.network": [self.actor],
            "value.network": [self.value],
            "critics.network": self.critics,
            "target_critics.network": self.targets,
        }
