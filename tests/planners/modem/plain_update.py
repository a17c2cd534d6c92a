"""The updates of MoDem's agent written plainly: step by step, member by member."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worldplan.planners.modem.agent import Modem, noisy
from worldplan.planners.modem.replay import Segment
from worldplan.world_models.data.episodes import columns_of, observation_of
from worldplan.world_models.latent.values import regression_loss


def descend(
    loss: Tensor, optimizer: Optimizer, parameters: list[nn.Parameter], clip: float
) -> None:
    """A step with all gradients scaled to a norm of at most `clip`; they are cleared before and
    after.
    """
    optimizer.zero_grad()
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    for gradient in gradients:
        gradient.mul_((clip / (norm + 1e-6)).clamp(max=1))
    optimizer.step()


def plain_clone_update(
    agent: Modem,
    observation: Any,
    action: Tensor,
    optimizer: Optimizer,
    generator: torch.Generator,
) -> None:
    """Like `Modem.clone_update`."""
    shifted = agent.augment(observation, generator)
    error = torch.tanh(agent.clone.actors(agent.clone.encoder(shifted)[None])[0]) - action
    loss = (error**2).sum() / error.numel()
    parameters = [*agent.clone.encoder.parameters(), *agent.clone.actors.parameters()]
    descend(loss, optimizer, parameters, agent.settings.clip)


def plain_update(
    agent: Modem,
    segment: Segment,
    optimizers: list[Optimizer],
    generator: torch.Generator,
    *,
    demonstrated: tuple[Any, Tensor] | None = None,
    pretraining: bool = False,
) -> None:
    """Like `Modem.update`, with the clone's critics where the handover uses them."""
    settings, model, clone = agent.settings, agent.model, agent.clone
    horizon, observation = len(segment.action), agent.augment(segment.observation, generator)
    frozen = settings.encoder_rate == 0
    encode = [(lambda o: o) if frozen else part.encode for part in (model, agent.target, clone)]
    with torch.no_grad():
        following, slow, cloned = (
            [part(step_of(observation, step)) for step in range(horizon + 1)] for part in encode
        )
        goals, clone_goals = targets(agent, segment, following, cloned, generator)
    latent = encode[0](step_of(observation, 0))
    latent = latent.detach() if pretraining else latent
    latents, total = [latent], torch.zeros_like(segment.weight)
    bins, sums = settings.latent.bins, dict.fromkeys(("consistency", "reward", "value"), total)
    for step, action in enumerate(segment.action):
        logits = model.critic_logits(latent, action)
        value = torch.stack(
            [
                regression_loss(of_member, goal, bins).sum(0)  # over the two critics
                for of_member, goal in zip(logits, goals[step], strict=True)
            ]
        ).mean(0)
        if clone_goals:
            logits = clone.critic_logits(cloned[step], action)
            value = value + regression_loss(logits, clone_goals[step], bins).sum(0)
        reward = regression_loss(model.reward_logits(latent, action), segment.reward[step], bins)
        latent = model.next_latent(latent, action)
        expected = following[step + 1] if settings.latent.simnorm else slow[step + 1]
        parts = {
            "consistency": (latent - expected).square().mean(-1),
            "reward": reward,
            "value": value,
        }
        sums = {name: sums[name] + settings.temporal**step * part for name, part in parts.items()}
        latents.append(latent)
    for name, part in sums.items():
        total = total + getattr(settings, name) * part.clamp(max=1e4)
    loss = (segment.weight * total).mean() / horizon
    example = None
    if demonstrated is not None and not pretraining:
        example = encode[0](agent.augment(demonstrated[0], generator)), demonstrated[1]
        if not frozen:
            loss = loss + settings.imitation * (model.actor(example[0]) - example[1]).pow(2).mean()
    learned = [
        *model.encoder.parameters(),
        *model.dynamics.parameters(),
        *model.reward_network.parameters(),
        *model.critics.parameters(),
        *clone.critics.parameters(),
    ]
    descend(loss, optimizers[1], learned, settings.clip)
    if not pretraining:
        update_actors(agent, torch.stack(latents).detach(), example, optimizers[2], generator)
    agent.updates += 1
    if agent.updates % settings.target_every == 0:
        pairs = [(agent.target, model), *([(agent.clone_target, clone)] if clone_goals else [])]
        for target, online in pairs:
            with torch.no_grad():
                for weight, new in zip(target.parameters(), online.parameters(), strict=True):
                    weight += settings.target_rate * (new - weight)


def step_of(observation: Any, step: int) -> Any:
    """The observations (batch, ...) of a step."""
    return observation_of({key: value[step] for key, value in columns_of(observation).items()})


def targets(
    agent: Modem,
    segment: Segment,
    following: list[Tensor],
    cloned: list[Tensor],
    generator: torch.Generator,
) -> tuple[list[Tensor], list[Tensor]]:
    """Values' targets of every step: (members, batch), and those of the clone (batch,), or no
    targets if its critics do not learn.
    """
    settings, std = agent.settings, agent.settings.planning.noise
    horizon, batch = segment.reward.shape
    clones = settings.handover.clone_samples > 1 and settings.clone_updates > 0
    joined = torch.cat(following[1:])
    action = noisy(agent.model.actor(joined), std, generator)
    values = agent.target.value(joined, action).min(1).values.view(-1, horizon, batch)
    alive = settings.discount * (1 - segment.terminated)
    goals = [segment.reward[t] + alive[t] * values[:, t] for t in range(horizon)]
    if not clones:
        return goals, []
    joined = torch.cat(cloned[1:])
    action = noisy(agent.clone.act(joined), std, generator)
    values = agent.clone_target.value(joined, action).min(0).values.view(horizon, batch)
    return goals, [segment.reward[t] + alive[t] * values[t] for t in range(horizon)]


def update_actors(
    agent: Modem,
    latents: Tensor,
    example: tuple[Tensor, Tensor] | None,
    optimizer: Optimizer,
    generator: torch.Generator,
) -> None:
    """A step of the actors on latents (horizon + 1, batch, latent)."""
    settings, model = agent.settings, agent.model
    flat = latents.flatten(0, 1)
    action = noisy(model.actor(flat), settings.planning.noise, generator)
    value = model.value(flat, action).min(1).values.view(-1, *latents.shape[:2])
    if settings.percentile_scale:
        agent.scale.update(value[:, 0].detach())
        value = value / agent.scale.value
    loss = torch.zeros(())
    for step in range(len(latents)):
        loss = loss - settings.temporal**step * value[:, step].mean()
    if example is not None:
        error = model.actor(example[0].detach()) - example[1]
        loss = loss + settings.imitation * error.square().mean()
    # the critics get gradients, too, which `descend` clears before their next step
    descend(loss, optimizer, list(model.actors.parameters()), settings.clip)
    for parameter in model.critics.parameters():
        parameter.grad = None
