"""Decoder-free latent world models with actor-critic ensembles: TD-MPC (Hansen et al. 2022),
MoDem-V2 (Lancaster et al. 2024), TD-MPC2.

One encoder, one dynamics and one reward network; `members` actors and twice as many critics, each
as one batched network.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from worldplan.envs.dynamics.model import Prediction
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.encoders import Encoder, Observation, latent_normalisation
from worldplan.world_models.latent.layers import Kind, MemberMLP, mlp
from worldplan.world_models.latent.settings import LatentSettings
from worldplan.world_models.latent.values import decode


class LatentModel(nn.Module):
    """Encoder h, dynamics d, reward R, actors pi_i and critics Q_i1, Q_i2 in latent space; for a
    planner a `DynamicsModel` whose observations are latents.

    Args:
        observation_space: Box (S,), or Dict of "image" and "proprioception" (see `Encoder`).
        action_size: length of an action, whose numbers are in [-1, 1].
        settings: sizes and ingredients.
        generator: source of the initial weights: orthogonal, zero in the last layers of reward and
            critics.
    Raises:
        ConfigError: an observation space that cannot be encoded.
    """

    state_size = 0  # a step needs nothing but the latent

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_size: int,
        settings: LatentSettings,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        checks.whole_number(action_size, "action_size", least=1)
        checks.of_type(settings, "settings", LatentSettings)
        super().__init__()
        self.settings, self.action_size, self.observation_size = (
            settings,
            action_size,
            settings.latent,
        )
        kinds, joint = hidden_kinds(settings), settings.latent + action_size
        self.encoder = Encoder(observation_space, settings, generator)
        network = mlp((joint, settings.hidden, settings.hidden, settings.latent), kinds, generator)
        self.dynamics = nn.Sequential(network, latent_normalisation(settings))
        self.reward_network = mlp(
            (joint, settings.hidden, settings.hidden, settings.bins or 1),
            kinds,
            generator,
            zero_last=True,
        )
        self.actors = make_actors(settings.members, action_size, settings, generator)
        self.critics = make_critics(settings.members, action_size, settings, generator)

    # --- the world --------------------------------------------------------------------------------

    def encode(self, observation: Observation) -> Tensor:
        """(batch, S), or {"image": (batch, views, C, H, W) in 0..255, "proprioception": (batch, P)}
        -> (batch, latent).

        Raises:
            ConfigError: a key is missing, or a shape differs from the observation space.
        """
        latent: Tensor = self.encoder(observation)
        return latent

    def next_latent(self, latent: Tensor, action: Tensor) -> Tensor:
        """(..., latent), (..., action) -> (..., latent)."""
        following: Tensor = self.dynamics(self._joint(latent, action))
        return following

    def reward_logits(self, latent: Tensor, action: Tensor) -> Tensor:
        """(..., latent), (..., action) -> (..., bins or 1), the input of `regression_loss`."""
        logits: Tensor = self.reward_network(self._joint(latent, action))
        return logits

    def reward(self, latent: Tensor, action: Tensor) -> Tensor:
        """(..., latent), (..., action) -> (...)."""
        return self.decode(self.reward_logits(latent, action))

    def decode(self, logits: Tensor) -> Tensor:
        """Rewards or values (...) from logits (..., bins or 1)."""
        return decode(logits, self.settings.bins)

    @torch.no_grad()
    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """One step from latents (batch, latent) by actions (batch, action); deterministic, never
        terminated, without members (only values have an ensemble).

        Args:
            observation: latents (batch, latent).
            action: (batch, action).
            state: not used; part of the interface of a `DynamicsModel`, as the next two.
            generator: not used.
            members: not used.
        """
        joint = self._joint(observation, action)
        reward = self.decode(self.reward_network(joint))
        return Prediction(self.dynamics(joint), reward, torch.zeros_like(reward, dtype=torch.bool))

    def _joint(self, latent: Tensor, action: Tensor) -> Tensor:
        given = (latent.shape[-1], action.shape[-1])
        expected = (self.observation_size, self.action_size)
        if given != expected:
            raise ConfigError(
                f"latent and action have sizes {given}, but this model was made for {expected}: "
                "use the one trained for this task"
            )
        return torch.cat([latent, action], -1)

    # --- the ensemble -----------------------------------------------------------------------------

    def actor(self, latent: Tensor) -> Tensor:
        """Mean actions of all policies, in (-1, 1): latents (members, n, latent), or (n, latent)
        for all members -> (members, n, action).
        """
        return torch.tanh(self.actors(latent.expand(self.settings.members, -1, -1)))

    def critic_logits(self, latent: Tensor, action: Tensor, *, frozen: bool = False) -> Tensor:
        """Logits of every member's two critics: (members, 2, n, bins or 1).

        Args:
            latent: (members, n, latent), or (n, latent) for all members.
            action: (members, n, action), or (n, action) for all members.
            frozen: gradients reach latents and actions, but not the critics: for the loss of the
                actors.
        """
        logits = _critic_logits(self.critics, latent, action, frozen)
        return torch.unflatten(logits, 0, (self.settings.members, 2))

    def value(self, latent: Tensor, action: Tensor, *, frozen: bool = False) -> Tensor:
        """Values of every member's two critics: (members, 2, n); arguments as for
        `critic_logits`.
        """
        return self.decode(self.critic_logits(latent, action, frozen=frozen))

    # --- training ---------------------------------------------------------------------------------

    def model_parameters(self) -> list[nn.Parameter]:
        """Parameters of encoder, dynamics and reward."""
        return [
            parameter
            for part in (self.encoder, self.dynamics, self.reward_network)
            for parameter in part.parameters()
        ]

    def actor_parameters(self) -> list[nn.Parameter]:
        """Parameters of all actors."""
        return list(self.actors.parameters())

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters of all critics."""
        return list(self.critics.parameters())

    @torch.no_grad()
    def load_clone(self, clone: Clone) -> None:
        """Copy the clone's encoder, and its actor to every member.

        Raises:
            ConfigError: the clone was made for other observations, actions or sizes; nothing is
                changed.
        """
        own, other = _signature(self), _signature(clone)
        if own != other:
            name = min(name for name in {*own, *other} if own.get(name) != other.get(name))
            raise ConfigError(
                f"the clone does not fit this model: {name} is {other.get(name)} there and "
                f"{own.get(name)} here: make both with the same observation space, action size and "
                "LatentSettings"
            )
        self.encoder.load_state_dict(clone.encoder.state_dict())
        for stacked, single in zip(
            self.actors.parameters(), clone.actors.parameters(), strict=True
        ):
            stacked.copy_(single.expand_as(stacked))


class Clone(nn.Module):
    """The networks of behaviour cloning: an encoder and one actor, shaped as in `LatentModel`, and
    two critics of that actor.

    Args:
        observation_space: as for `LatentModel`.
        action_size: length of an action, whose numbers are in [-1, 1].
        settings: sizes and ingredients.
        generator: source of the initial weights.
    Raises:
        ConfigError: an observation space that cannot be encoded.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_size: int,
        settings: LatentSettings,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.action_size = settings, action_size
        self.encoder = Encoder(observation_space, settings, generator)
        self.actors = make_actors(1, action_size, settings, generator)
        self.critics = make_critics(1, action_size, settings, generator)

    def encode(self, observation: Observation) -> Tensor:
        """Observations -> latents (batch, latent), as `LatentModel.encode`."""
        latent: Tensor = self.encoder(observation)
        return latent

    def act(self, latent: Tensor) -> Tensor:
        """Latents (n, latent) -> actions (n, action) in (-1, 1)."""
        return torch.tanh(self.actors(latent.unsqueeze(0)).squeeze(0))

    def forward(self, observation: Observation) -> Tensor:
        """Observations -> predicted actions of the demonstrator, (batch, action) in (-1, 1)."""
        return self.act(self.encode(observation))

    def critic_logits(self, latent: Tensor, action: Tensor) -> Tensor:
        """Logits of both critics: (n, latent), (n, action) -> (2, n, bins or 1)."""
        return _critic_logits(self.critics, latent, action, frozen=False)

    def value(self, latent: Tensor, action: Tensor) -> Tensor:
        """Values of both critics: (n, latent), (n, action) -> (2, n)."""
        return decode(self.critic_logits(latent, action), self.settings.bins)

    def actor_parameters(self) -> list[nn.Parameter]:
        """Parameters of encoder and actor, which behaviour cloning trains."""
        return [*self.encoder.parameters(), *self.actors.parameters()]

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters of all critics."""
        return list(self.critics.parameters())


def hidden_kinds(settings: LatentSettings) -> tuple[Kind, Kind]:
    """Kinds of the two hidden layers of dynamics, reward and actors."""
    return ("norm_mish", "norm_mish") if settings.normed_layers else ("elu", "elu")


def make_actors(
    count: int, action_size: int, settings: LatentSettings, generator: torch.Generator | None
) -> MemberMLP:
    """`count` actors without their last tanh: (count, n, latent) -> (count, n, action)."""
    return MemberMLP(
        count,
        (settings.latent, settings.hidden, settings.hidden, action_size),
        hidden_kinds(settings),
        generator,
    )


def make_critics(
    count: int, action_size: int, settings: LatentSettings, generator: torch.Generator | None
) -> MemberMLP:
    """Two critics for each of `count` members, in the order 1, 1, 2, 2, ...: (2 count, n, latent +
    action) -> (2 count, n, bins or 1).
    """
    kinds: tuple[Kind, Kind] = (
        ("norm_mish", "norm_mish") if settings.normed_layers else ("norm_tanh", "elu")
    )
    sizes = (settings.latent + action_size, settings.hidden, settings.hidden, settings.bins or 1)
    return MemberMLP(2 * count, sizes, kinds, generator, zero_last=True)


def _critic_logits(critics: MemberMLP, latent: Tensor, action: Tensor, frozen: bool) -> Tensor:
    """(2 members, n, bins or 1)."""
    members = critics.count // 2
    # views (members, 2, n, ...): the concatenation makes the only copy
    pairs = [
        part.expand(members, -1, -1).unsqueeze(1).expand(-1, 2, -1, -1) for part in (latent, action)
    ]
    logits: Tensor = critics(torch.cat(pairs, -1).flatten(0, 1), frozen)
    return logits


def _signature(model: LatentModel | Clone) -> dict[str, tuple[int, ...]]:
    """The shapes that must be equal for copying encoder and actors, by name: all but the number of
    actors, and the group size of a latent.
    """
    shapes = {
        f"encoder.{name}": tuple(value.shape) for name, value in model.encoder.state_dict().items()
    }
    shapes |= {
        f"actors.{name}": tuple(value.shape[1:])
        for name, value in model.actors.state_dict().items()
    }
    return shapes | {"simnorm": (model.settings.simnorm,)}


@torch.no_grad()
def soft_update(target: nn.Module, online: nn.Module, rate: float) -> None:
    """target <- (1 - rate) target + rate online, for all parameters, in place.

    Args:
        target: the slow copy.
        online: the module that is trained, of the same parameters.
        rate: 0 to 1.
    """
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), rate)
