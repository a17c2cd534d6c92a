"""MoDem-V2 (Lancaster et al. 2024): networks and updates of a latent world model, an ensemble of
actor-critic pairs and a cloned policy.

An update is TD-MPC's (Hansen et al. 2022) on segments of a few steps. Its losses are the
consistency of predicted with encoded latents, rewards, and values by temporal differences; the
actors then maximise the values. The behaviour clone and its encoder are not changed after cloning.
The clone's own pair of critics keeps learning if the handover lets it choose among noisy actions of
the clone.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from worldplan.planners.modem.replay import Segment
from worldplan.planners.modem.settings import ModemSettings
from worldplan.world_models.data.episodes import columns_of, observation_of
from worldplan.world_models.latent.augmentation import random_shift
from worldplan.world_models.latent.model import Clone, LatentModel, soft_update
from worldplan.world_models.latent.values import PercentileScale, decode, regression_loss

_CUT = 3.0  # standard deviations at which noise on actions is clamped (0.3 at the published 0.1)
_LARGEST_LOSS = 1e4  # per segment and loss, as published


class Modem(nn.Module):
    """Networks and updates: observations and actions of segments -> learned world model, critics,
    actors and clone.

    Args:
        observation_space: of the environment; see `Encoder`.
        action_size: length of an action, whose numbers are in [-1, 1].
        settings: every number of the method.
        generator: source of the initial weights.
    Raises:
        ConfigError: an observation space that cannot be encoded.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_size: int,
        settings: ModemSettings,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.action_size = settings, action_size
        self.model = LatentModel(
            observation_space, action_size, settings.latent, generator=generator
        )
        self.clone = Clone(observation_space, action_size, settings.latent, generator=generator)
        self.target = copy.deepcopy(self.model).requires_grad_(False)
        self.clone_target = copy.deepcopy(self.clone).requires_grad_(False)
        self.scale = PercentileScale()
        weights = settings.temporal ** torch.arange(settings.segment + 1)
        self.register_buffer("weights", weights, persistent=False)
        self.updates = 0

    weights: Tensor

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Three optimizers: of the clone; of world model and critics, with the encoder as the first
        parameter group; of the actors.
        """
        settings, model = self.settings, self.model
        encoder = list(model.encoder.parameters())
        of_encoder = set(encoder)
        others = [parameter for parameter in self._learned() if parameter not in of_encoder]
        clone, actors = self.clone.actor_parameters(), model.actor_parameters()
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(clone, lr=settings.clone_rate, fused=True),
            torch.optim.Adam(
                [{"params": encoder}, {"params": others}], lr=settings.learning_rate, fused=True
            ),
            torch.optim.Adam(actors, lr=settings.learning_rate, fused=True),
        ]
        self.set_rates(optimizers, 0.0, 0.0)
        return optimizers

    def set_rates(
        self, optimizers: list[torch.optim.Optimizer], cloned: float, learned: float
    ) -> None:
        """Set all learning rates.

        Args:
            optimizers: those of `optimizers`.
            cloned: progress of behaviour cloning, from 0 (start) to 1 (end).
            learned: progress of the learning afterwards, from 0 to 1.
        """
        settings = self.settings
        rate = settings.learning_rate + (settings.last_rate - settings.learning_rate) * learned
        optimizers[0].param_groups[0]["lr"] = settings.clone_rate * (1 - cloned)
        groups = [group for optimizer in optimizers[1:] for group in optimizer.param_groups]
        for group, share in zip(groups, (settings.encoder_rate, 1.0, 1.0), strict=True):
            group["lr"] = rate * share

    def _learned(self) -> list[nn.Parameter]:
        """Parameters of world model and critics, the clone's critics included."""
        return [
            *self.model.model_parameters(),
            *self.model.critic_parameters(),
            *self.clone.critic_parameters(),
        ]

    # --- behaviour cloning ------------------------------------------------------------------------

    def clone_update(
        self,
        observation: Any,
        action: Tensor,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
    ) -> Tensor:
        """One step of behaviour cloning; returns the loss, a scalar.

        Args:
            observation: (batch, ...).
            action: of the demonstrators, (batch, action).
            optimizer: the first of `optimizers`.
            generator: of image shifts.
        """
        predicted: Tensor = self.clone(self.augment(observation, generator))
        loss = (predicted - action).square().mean()
        _descend(loss, optimizer, self.clone.actor_parameters(), self.settings.clip)
        return loss.detach()

    def start_from_clone(self) -> None:
        """Copy the clone's encoder and actor to the world model, and both to their slow copies."""
        self.model.load_clone(self.clone)
        self.target.load_state_dict(self.model.state_dict())
        self.clone_target.load_state_dict(self.clone.state_dict())

    # --- learning the world model -----------------------------------------------------------------

    def update(
        self,
        segment: Segment,
        optimizers: list[torch.optim.Optimizer],
        generator: torch.Generator,
        *,
        demonstrated: tuple[Any, Tensor] | None = None,
        pretraining: bool = False,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One update; returns mean losses (scalars) and new priorities of the segments, (batch,).

        Args:
            segment: what the world model and the critics learn from; of latents if the encoder is
                frozen.
            optimizers: those of `optimizers`.
            generator: of noise and image shifts.
            demonstrated: observations (n, ...), or latents, and actions (n, action) of successful
                episodes, which the actors imitate.
            pretraining: encoder and actors are not trained.
        """
        settings = self.settings
        observation = self.augment(segment.observation, generator)
        sums, error, latents = self._losses(observation, segment, generator, pretraining)
        total = (
            settings.consistency * sums["consistency"]
            + settings.reward * sums["reward"]
            + settings.value * sums["value"]
        )
        loss = (segment.weight * total).mean() / len(segment.action)
        example = None
        if demonstrated is not None and not pretraining:
            example = self._encode_demonstrated(demonstrated[0], generator), demonstrated[1]
            if not self.frozen:  # the encoder must keep what demonstrated actions depend on
                loss = loss + settings.imitation * self._imitation(*example)
        norm = _descend(loss, optimizers[1], self._learned(), settings.clip)
        figures = {name: part.detach().mean() for name, part in sums.items()}
        figures |= {"loss": loss.detach(), "gradient": norm}
        if not pretraining:
            figures |= self._update_actors(latents.detach(), example, optimizers[2], generator)
        self._update_slow_copies()
        return figures, error

    def _losses(
        self, observation: Any, segment: Segment, generator: torch.Generator, pretraining: bool
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Losses of a segment, each (batch,), summed over its steps with weights rho^t; the
        absolute error of its values, summed likewise, (batch,); predicted latents (horizon + 1,
        batch, latent).
        """
        settings, bins = self.settings, self.settings.latent.bins
        first, later = _split(observation)
        latent = self._encode(self.model, first)
        with torch.no_grad():
            following = self._encode(self.model, later)
            target_latent = (
                following if settings.latent.simnorm else self._encode(self.target, later)
            )
        if pretraining:
            latent = latent.detach()
        latents = self._unroll(latent, segment.action)
        flat, action = latents[:-1].flatten(0, 1), segment.action.flatten(0, 1)
        consistency = (latents[1:] - target_latent.view_as(latents[1:])).square().mean(-1)
        reward = regression_loss(
            self.model.reward_logits(flat, action), segment.reward.flatten(), bins
        ).view_as(segment.reward)
        goal = self._value_target(following, segment, generator)
        value, error = self._value_loss(self.model.critic_logits(flat, action), goal, segment)
        if self._clone_critics_learn:
            clone_value, clone_error = self._clone_value_loss(observation, segment, generator)
            value, error = value + clone_value, error + clone_error
        weights = self.weights[:-1].unsqueeze(1)  # (horizon, 1)
        parts = {"consistency": consistency, "reward": reward, "value": value}
        sums = {
            name: (weights * part).sum(0).clamp_max(_LARGEST_LOSS) for name, part in parts.items()
        }
        return sums, (weights * error).sum(0), latents

    def _update_slow_copies(self) -> None:
        self.updates += 1
        if self.updates % self.settings.target_every == 0:
            soft_update(self.target, self.model, self.settings.target_rate)
            if self._clone_critics_learn:
                soft_update(self.clone_target, self.clone, self.settings.target_rate)

    @property
    def frozen(self) -> bool:
        """Whether the encoder is not trained after cloning, so that updates learn from latents."""
        return self.settings.encoder_rate == 0

    def _encode(self, model: LatentModel | Clone, observation: Any) -> Tensor:
        """Latents (n, latent) of a replay's observations. If the encoder is frozen, replays hold
        latents already, equal for model, slow copy and clone.
        """
        return observation if self.frozen else model.encode(observation)

    @property
    def _clone_critics_learn(self) -> bool:
        return self.settings.handover.clone_samples > 1 and self.settings.clone_updates > 0

    def _unroll(self, latent: Tensor, action: Tensor) -> Tensor:
        """(batch, latent) and (horizon, batch, action) -> (horizon + 1, batch, latent)."""
        latents = [latent]
        for step in action:
            latents.append(self.model.next_latent(latents[-1], step))
        return torch.stack(latents)

    @torch.no_grad()
    def _value_target(
        self, following: Tensor, segment: Segment, generator: torch.Generator
    ) -> Tensor:
        """r + gamma min(Q_1', Q_2')(z', pi(z') + noise) with the slow critics Q' of every member:
        (members, horizon * batch).

        Args:
            following: latents z' (horizon * batch, latent).
            segment: rewards and terminations.
            generator: of the noise.
        """
        action = noisy(self.model.actor(following), self.settings.planning.noise, generator)
        return self._bellman(self.target.value(following, action).amin(1), segment)

    def _bellman(self, next_value: Tensor, segment: Segment) -> Tensor:
        """r + gamma (1 - terminated) V' of next values (..., horizon * batch)."""
        return (
            segment.reward.flatten()
            + self.settings.discount * (1 - segment.terminated.flatten()) * next_value
        )

    def _value_loss(self, logits: Tensor, goal: Tensor, segment: Segment) -> tuple[Tensor, Tensor]:
        """Loss and absolute error, each (horizon, batch): mean over members, sum over the two
        critics of each.

        Args:
            logits: (members, 2, horizon * batch, bins or 1).
            goal: (members, horizon * batch).
            segment: for the shape.
        """
        bins = self.settings.latent.bins
        loss = regression_loss(logits, goal.unsqueeze(1).expand(*logits.shape[:-1]), bins)
        with torch.no_grad():
            error = (decode(logits, bins) - goal.unsqueeze(1)).abs()
        loss, error = (part.sum(1).mean(0).view_as(segment.reward) for part in (loss, error))
        return loss, error

    def _clone_value_loss(
        self, observation: Any, segment: Segment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Loss and absolute error of the clone's critics, each (horizon, batch), on the clone's
        latents of the observations (horizon + 1, batch, ...).
        """
        horizon, batch = segment.reward.shape
        with torch.no_grad():
            latents = self._encode(
                self.clone,
                observation_of(
                    {key: column.flatten(0, 1) for key, column in columns_of(observation).items()}
                ),
            )
            latents = latents.view(horizon + 1, batch, -1)
            following = latents[1:].flatten(0, 1)
            action = noisy(self.clone.act(following), self.settings.planning.noise, generator)
            goal = self._bellman(
                self.clone_target.value(following, action).amin(0, keepdim=True), segment
            )
        logits = self.clone.critic_logits(latents[:-1].flatten(0, 1), segment.action.flatten(0, 1))
        return self._value_loss(logits.unsqueeze(0), goal, segment)

    def _update_actors(
        self,
        latents: Tensor,
        example: tuple[Tensor, Tensor] | None,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step of all actors towards higher Q of their own critics and, if given, towards the
        demonstrated actions; returns mean losses (scalars).

        Args:
            latents: (horizon + 1, batch, latent).
            example: latents (n, latent) and demonstrated actions (n, action).
            optimizer: the last of `optimizers`.
            generator: of the noise.
        """
        flat = latents.flatten(0, 1)
        action = noisy(self.model.actor(flat), self.settings.planning.noise, generator)
        value = self.model.value(flat, action, frozen=True).amin(1)
        value = torch.unflatten(value, 1, latents.shape[:2])  # (members, horizon + 1, batch)
        objective = value
        if self.settings.percentile_scale:
            self.scale.update(value[:, 0].detach())
            objective = self.scale(value)
        loss = -(self.weights.view(1, -1, 1) * objective).sum(1).mean()
        figures = {
            "actor_value": value.detach().mean(),
            "value_spread": value.detach().std(0, correction=0).mean(),
        }
        if example is not None:
            imitation = self._imitation(example[0].detach(), example[1])
            loss = loss + self.settings.imitation * imitation
            figures["imitation"] = imitation.detach()
        _descend(loss, optimizer, self.model.actor_parameters(), self.settings.clip)
        return figures

    def _encode_demonstrated(self, observation: Any, generator: torch.Generator) -> Tensor:
        return self._encode(self.model, self.augment(observation, generator))

    def _imitation(self, latent: Tensor, action: Tensor) -> Tensor:
        """Mean squared distance, a scalar, of all actors' actions at latents (n, latent) to actions
        (n, action).
        """
        return (self.model.actor(latent) - action).square().mean()

    def augment(self, observation: Any, generator: torch.Generator) -> Any:
        """Shift every image of an observation by a random number of pixels; vectors are not
        changed. Leading dimensions are free.
        """
        columns = columns_of(observation)
        image = columns.get("image")
        if image is None or not self.settings.shift:
            return observation
        flat = image.flatten(0, -5) if image.dim() > 5 else image
        columns["image"] = random_shift(flat, self.settings.shift, generator).view_as(image)
        return observation_of(columns)


def noisy(action: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    """Actions (..., action) plus Gaussian noise, clamped to [-1, 1], with the gradient of the sum.

    Args:
        action: (..., action).
        std: of the noise, which is clamped at 3 standard deviations.
        generator: of the noise, on the device of the actions.
    """
    noise = std * torch.randn(action.shape, generator=generator, device=action.device)
    moved = action + noise.clamp(-_CUT * std, _CUT * std)
    return moved + (moved.clamp(-1 + 1e-6, 1 - 1e-6) - moved).detach()


def _split(observation: Any) -> tuple[Any, Any]:
    """Observations (horizon + 1, batch, ...) -> the first (batch, ...) and all later ones (horizon
    * batch, ...).
    """
    columns = columns_of(observation)
    first = observation_of({name: column[0] for name, column in columns.items()})
    return first, observation_of(
        {name: column[1:].flatten(0, 1) for name, column in columns.items()}
    )


def _descend(
    loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], clip: float
) -> Tensor:
    """One step of an optimizer with clipped gradients; returns their norm before, a scalar."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return norm.detach()
