"""MoDem-V2 with the structure of its published code, for comparing speed: one module per member,
one call per network, loops over members and steps.

Written from a description of that code, not from the code. The structure:
  planning  every actor is rolled out separately to make candidates (rewards are computed and
      dropped); all candidates are rolled out again for their scores; then every critic pair
      evaluates every other actor's last action, one after the other
  learning  step by step: four encoder passes (slow and current, of the clone and of the world
      model), one call per critic and actor, plain Adam, and a Python loop over the weights of the
      slow copies
The weights are copied from a `Modem`, and the results are the same
(tests/benchmarks/modem/test_reference.py). Where the cost of the published code is unknown, the
cheaper variant is used: an actor's last action is computed once, not once per critic pair. Noise is
an argument, so that both implementations can get the same; the time measured here therefore does
not include drawing it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.replay import Segment
from worldplan.planners.modem.settings import PlanningSettings
from worldplan.world_models.data.episodes import columns_of, observation_of
from worldplan.world_models.latent.augmentation import random_shift
from worldplan.world_models.latent.layers import MemberMLP
from worldplan.world_models.latent.model import Clone, LatentModel

_ACTIVATIONS = {"elu": nn.ELU, "norm_tanh": nn.Tanh, "norm_mish": nn.Mish}
_CUT, _LARGEST_LOSS = 3.0, 1e4


class Pair(nn.Module):
    """One actor and its two critics."""

    def __init__(self, actor: nn.Sequential, critics: list[nn.Sequential]) -> None:
        super().__init__()
        self.actor, self.critics = actor, nn.ModuleList(critics)

    def act(self, latent: Tensor) -> Tensor:
        """(n, latent) -> (n, action)."""
        return torch.tanh(self.actor(latent))

    def values(self, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(n, latent), (n, action) -> values of both critics, (n,) each."""
        joint = torch.cat([latent, action], -1)
        first, second = (critic(joint).squeeze(-1) for critic in self.critics)
        return first, second


class Networks(nn.Module):
    """Copies of the networks of a world model, or of the clone, as plain modules."""

    def __init__(self, source: LatentModel | Clone) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(source.encoder)
        if isinstance(source, LatentModel):
            self.dynamics, self.reward = (
                copy.deepcopy(source.dynamics),
                copy.deepcopy(source.reward_network),
            )
        count = source.actors.count
        critics = [_single(source.critics, index) for index in range(2 * count)]
        self.pairs = nn.ModuleList(
            Pair(_single(source.actors, index), critics[2 * index : 2 * index + 2])
            for index in range(count)
        )

    def next(self, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(n, latent), (n, action) -> (n, latent) and rewards (n,)."""
        joint = torch.cat([latent, action], -1)
        return self.dynamics(joint), self.reward(joint).squeeze(-1)

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters of all critics."""
        return [parameter for pair in self.pairs for parameter in pair.critics.parameters()]


def _single(stack: MemberMLP, index: int) -> nn.Sequential:
    """A copy of the network number `index` of a stack."""
    layers: list[nn.Module] = []
    norms = iter(zip(stack.scales, stack.shifts, strict=True))
    with torch.no_grad():
        for depth, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
            layer = nn.Linear(weight.shape[1], weight.shape[2])
            layer.weight.copy_(weight[index].T)
            layer.bias.copy_(bias[index, 0])
            layers.append(layer)
            if depth == len(stack.kinds):
                break
            kind = stack.kinds[depth]
            if kind != "elu":
                norm = nn.LayerNorm(weight.shape[2])
                for own, stacked in zip((norm.weight, norm.bias), next(norms), strict=True):
                    own.copy_(stacked[index, 0])
                layers.append(norm)
            layers.append(_ACTIVATIONS[kind]())
    return nn.Sequential(*layers).to(weight.device)


# --- planning -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanningNoise:
    """Standard normal numbers of one decision: `propose` (horizon, members, n / members, action),
    `terminal` (members, n, action).
    """

    propose: Tensor
    terminal: Tensor

    @classmethod
    def draw(cls, agent: Modem, generator: torch.Generator) -> PlanningNoise:
        """Draw in the order of a fused call for one environment."""
        search, members = agent.settings.planning.search, agent.settings.latent.members
        each = -(-search.proposal_count // members)
        propose = [
            _normal(generator, members, each, agent.action_size) for _ in range(search.horizon)
        ]
        return cls(
            torch.stack(propose), _normal(generator, members, members * each, agent.action_size)
        )


class LoopPlanner:
    """Decides for one environment, with exploration centring: all candidates are roll-outs of the
    actors, in one iteration.

    Scores are mean - k std over the critics' returns, each for the best of the other actors' last
    actions ("max_other"; with one pair: for its own actor's).
    """

    def __init__(self, agent: Modem) -> None:
        self.networks = Networks(agent.model).eval()
        self.settings, self.discount = agent.settings.planning, agent.settings.discount

    @torch.no_grad()
    def decide(self, observation: Any, noise: PlanningNoise) -> tuple[Tensor, Tensor, Tensor]:
        """An observation (1, ...) -> the best candidate's first action (action,), all candidates
        (n, horizon, action), and their scores (n,).
        """
        latent = self.networks.encoder(observation)
        candidates = self.propose(latent, noise)
        scores = self.score(latent, candidates, noise)
        search = self.settings.search
        best, index = scores.topk(search.elites)
        weights = torch.softmax((best - best[0]) / search.temperature, 0)
        first = candidates[index, 0]
        mean = (weights.unsqueeze(1) * first).sum(0)
        # std of the exploration noise: computed for its cost, not used here
        variance = (weights.unsqueeze(1) * (first - mean).square()).sum(0)
        variance.sqrt().clamp(search.min_std, search.max_std)
        return first[0], candidates, scores

    def propose(self, latent: Tensor, noise: PlanningNoise) -> Tensor:
        """(1, latent) -> (n, horizon, action): roll-outs of the actors, one actor after another."""
        rollouts = []
        for member, pair in enumerate(self.networks.pairs):
            current, actions = latent.repeat(noise.propose.shape[2], 1), []
            for step in range(self.settings.search.horizon):
                action = _with_noise(pair.act(current), self.settings, noise.propose[step, member])
                current, _ = self.networks.next(current, action)
                actions.append(action)
            rollouts.append(torch.stack(actions, 1))
        return torch.cat(rollouts)

    def score(self, latent: Tensor, candidates: Tensor, noise: PlanningNoise) -> Tensor:
        """(1, latent), (n, horizon, action) -> scores (n,)."""
        networks, current = self.networks, latent.repeat(len(candidates), 1)
        total, discount = candidates.new_zeros(len(candidates)), 1.0
        for step in range(candidates.shape[1]):
            current, reward = networks.next(current, candidates[:, step])
            total, discount = total + discount * reward, discount * self.discount
        actions = [
            _with_noise(pair.act(current), self.settings, noise.terminal[member])
            for member, pair in enumerate(networks.pairs)
        ]
        returns = []
        for owner, pair in enumerate(networks.pairs):
            values = [
                pair.values(current, action)
                for member, action in enumerate(actions)
                if member != owner or len(actions) == 1
            ]
            returns += [
                total + discount * torch.stack(of_critic).amax(0)
                for of_critic in zip(*values, strict=True)
            ]
        stacked = torch.stack(returns)
        return stacked.mean(0) - self.settings.pessimism * stacked.std(0, correction=0)


def _with_noise(action: Tensor, planning: PlanningSettings, noise: Tensor) -> Tensor:
    """`action` plus scaled noise clamped at 3 deviations, clamped to [-1, 1], with the gradient of
    the sum.
    """
    moved = action + (planning.noise * noise).clamp(-_CUT * planning.noise, _CUT * planning.noise)
    return moved - moved.detach() + moved.detach().clamp(-1 + 1e-6, 1 - 1e-6)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


# --- learning -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UpdateNoise:
    """Standard normal numbers of one update.

    Args:
        target: (members, horizon, batch, action).
        clone: (horizon, batch, action).
        actors: (members, horizon + 1, batch, action).
    """

    target: Tensor
    clone: Tensor
    actors: Tensor

    @classmethod
    def draw(cls, agent: Modem, segment: Segment, generator: torch.Generator) -> UpdateNoise:
        """Draw in the order of `Modem.update` when the clone's critics learn too and images are
        not shifted.
        """
        members, (horizon, batch, size) = agent.settings.latent.members, segment.action.shape
        shapes = (
            (members, horizon, batch, size),
            (horizon, batch, size),
            (members, horizon + 1, batch, size),
        )
        return cls(*(_normal(generator, *shape) for shape in shapes))


class LoopLearner:
    """The update of world model, critics and actors, with the published objective of the actors:
    values alone, not scaled.
    """

    def __init__(self, agent: Modem) -> None:
        self.settings = settings = agent.settings
        self.online, self.slow = Networks(agent.model), Networks(agent.target)
        self.clone, self.slow_clone = Networks(agent.clone), Networks(agent.clone_target)
        online = self.online
        self.learned = [
            *online.encoder.parameters(),
            *online.dynamics.parameters(),
            *online.reward.parameters(),
            *online.critic_parameters(),
            *self.clone.critic_parameters(),
        ]
        self.actor_parameters = [
            parameter for pair in online.pairs for parameter in pair.actor.parameters()
        ]
        self.optimizers = [
            torch.optim.Adam(group, lr=settings.learning_rate)
            for group in (self.learned, self.actor_parameters)
        ]
        self.updates = 0

    def update(
        self, segment: Segment, noise: UpdateNoise, generator: torch.Generator
    ) -> tuple[dict[str, float], Tensor]:
        """One update from observations; returns the losses and the new priorities of the segments,
        (batch,). `generator` is for the shifts of images.
        """
        settings, online = self.settings, self.online
        first = self._augmented(segment, 0, generator)
        latent = online.encoder(first)
        with torch.no_grad():
            clone_latent = self.clone.encoder(first)
        latents = [latent]
        sums = {
            name: torch.zeros_like(segment.weight)
            for name in ("consistency", "reward", "value", "error")
        }
        for step in range(len(segment.action)):
            weight, action = settings.temporal**step, segment.action[step]
            following = self._augmented(segment, step + 1, generator)
            with torch.no_grad():
                target_latent = self.slow.encoder(following)
                clone_following = self.slow_clone.encoder(following)
            targets, clone_target = self._value_targets(following, segment, step, noise)
            value, error = self._value_errors(online.pairs, latent, action, targets)
            clone_value, clone_error = self._value_errors(
                self.clone.pairs, clone_latent, action, [clone_target]
            )
            latent, reward = online.next(latent, action)
            # the clone's encoder never changes, so that its slow copy gives the same latents
            clone_latent = clone_following
            parts = {
                "consistency": (latent - target_latent).square().mean(-1),
                "reward": (reward - segment.reward[step]).square(),
                "value": value + clone_value,
                "error": error + clone_error,
            }
            sums = {name: total + weight * parts[name] for name, total in sums.items()}
            latents.append(latent)
        terms = {
            name: sums[name].clamp(max=_LARGEST_LOSS) for name in ("consistency", "reward", "value")
        }
        total = (
            settings.consistency * terms["consistency"]
            + settings.reward * terms["reward"]
            + settings.value * terms["value"]
        )
        loss = (segment.weight * total).mean() / len(segment.action)
        self._descend(loss, self.optimizers[0], self.learned)
        actor_loss = self._update_actors([latent.detach() for latent in latents], noise)
        self.updates += 1
        if self.updates % settings.target_every == 0:
            self._update_slow_copies()
        figures = {name: float(term.detach().mean()) for name, term in terms.items()}
        figures |= {"loss": float(loss.detach()), "actor_loss": actor_loss}
        return figures, sums["error"].detach()

    def _augmented(self, segment: Segment, step: int, generator: torch.Generator) -> Any:
        columns = {name: column[step] for name, column in columns_of(segment.observation).items()}
        if "image" in columns:
            columns["image"] = random_shift(columns["image"], self.settings.shift, generator)
        return observation_of(columns)

    @torch.no_grad()
    def _value_targets(
        self, following: Any, segment: Segment, step: int, noise: UpdateNoise
    ) -> tuple[list[Tensor], Tensor]:
        """Targets (batch,) of the critics of every member, and of the clone; encodes again."""
        latent, clone_latent = self.online.encoder(following), self.clone.encoder(following)
        pairs = [
            (latent, pair, slow, noise.target[i, step])
            for i, (pair, slow) in enumerate(zip(self.online.pairs, self.slow.pairs, strict=True))
        ]
        pairs.append(
            (clone_latent, self.clone.pairs[0], self.slow_clone.pairs[0], noise.clone[step])
        )
        targets = []
        for own_latent, pair, slow, normal in pairs:
            action = _with_noise(pair.act(own_latent), self.settings.planning, normal)
            value = torch.min(*slow.values(own_latent, action))
            targets.append(
                segment.reward[step]
                + self.settings.discount * (1 - segment.terminated[step]) * value
            )
        return targets[:-1], targets[-1]

    @staticmethod
    def _value_errors(
        pairs: nn.ModuleList, latent: Tensor, action: Tensor, targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Squared and absolute errors (batch,): sum over the critics of a pair, mean over the
        pairs.
        """
        loss, error = action.new_zeros(len(action)), action.new_zeros(len(action))
        for pair, target in zip(pairs, targets, strict=True):
            for value in pair.values(latent, action):
                loss = loss + (value - target).square()
                error = error + (value - target).abs().detach()
        return loss / len(pairs), error / len(pairs)

    def _update_actors(self, latents: list[Tensor], noise: UpdateNoise) -> float:
        """One step of all actors, with their critics held fixed."""
        critics, loss = self.online.critic_parameters(), noise.actors.new_zeros(())
        for parameter in critics:
            parameter.requires_grad_(False)
        for step, latent in enumerate(latents):
            for member, pair in enumerate(self.online.pairs):
                action = _with_noise(
                    pair.act(latent), self.settings.planning, noise.actors[member, step]
                )
                loss = loss - self.settings.temporal**step * torch.min(
                    *pair.values(latent, action)
                ).mean() / len(self.online.pairs)
        self._descend(loss, self.optimizers[1], self.actor_parameters)
        for parameter in critics:
            parameter.requires_grad_(True)
        return float(loss.detach())

    def _descend(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        optimizer.step()

    @torch.no_grad()
    def _update_slow_copies(self) -> None:
        for slow, online in ((self.slow, self.online), (self.slow_clone, self.clone)):
            for target, source in zip(slow.parameters(), online.parameters(), strict=True):
                target.lerp_(source, self.settings.target_rate)
