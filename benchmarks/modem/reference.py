"""MoDem-V2 organised as its published code is, for comparing speed: one module per member, one call
per network, loops over members and steps.

Written from a description of that code, not from the code. What is kept of its structure:
  planning  every actor is rolled out on its own to make candidates (with the reward, which is
      thrown away); all candidates are rolled out again to be scored; then every critic pair meets
      every other actor's last action, one by one
  learning  step by step: four encoder passes (slow and current, of the clone and of the world
      model), one call per critic and actor, plain Adam, and a Python loop over the weights of the
      slow copies
It takes its weights from a `Modem` and computes the same numbers
(tests/benchmarks/modem/test_reference.py). Where the published code's cost is not known, the
cheaper reading is taken: an actor's last action is computed once, not once per critic pair. Noise
is handed in, so that the same can be given to both; drawing it is therefore not in this one's time.
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
        """(n, latent), (n, action) -> what both critics say, (n,) each."""
        joint = torch.cat([latent, action], -1)
        first, second = (critic(joint).squeeze(-1) for critic in self.critics)
        return first, second


class Networks(nn.Module):
    """The networks of a world model, or of the clone, as plain modules with weights of their own."""

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
        """Of all critics."""
        return [parameter for pair in self.pairs for parameter in pair.critics.parameters()]


def _single(stack: MemberMLP, index: int) -> nn.Sequential:
    """One network of a stack."""
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
                for mine, theirs in zip((norm.weight, norm.bias), next(norms), strict=True):
                    mine.copy_(theirs[index, 0])
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
        """In the order in which a fused call draws them for one environment."""
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

    Scores are mean - k std over the critics, of the best that another actor reaches ("max_other";
    with one pair: its own).
    """

    def __init__(self, agent: Modem) -> None:
        self.networks, self.settings, self.discount = (
            Networks(agent.model).eval(),
            agent.settings.planning,
            agent.settings.discount,
        )

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
        (weights.unsqueeze(1) * (first - mean).square()).sum(0).sqrt().clamp(
            search.min_std, search.max_std
        )  # the noise of exploration
        return first[0], candidates, scores

    def propose(self, latent: Tensor, noise: PlanningNoise) -> Tensor:
        """(1, latent) -> (n, horizon, action): roll-outs of every actor, one actor after the other."""
        rollouts = []
        for member, pair in enumerate(self.networks.pairs):
            here, actions = latent.repeat(noise.propose.shape[2], 1), []
            for step in range(self.settings.search.horizon):
                action = _jitter(pair.act(here), self.settings, noise.propose[step, member])
                here, _ = self.networks.next(here, action)
                actions.append(action)
            rollouts.append(torch.stack(actions, 1))
        return torch.cat(rollouts)

    def score(self, latent: Tensor, candidates: Tensor, noise: PlanningNoise) -> Tensor:
        """(1, latent), (n, horizon, action) -> (n,)."""
        networks, here = self.networks, latent.repeat(len(candidates), 1)
        total, discount = candidates.new_zeros(len(candidates)), 1.0
        for step in range(candidates.shape[1]):
            here, reward = networks.next(here, candidates[:, step])
            total, discount = total + discount * reward, discount * self.discount
        actions = [
            _jitter(pair.act(here), self.settings, noise.terminal[member])
            for member, pair in enumerate(networks.pairs)
        ]
        returns = []
        for judge, pair in enumerate(networks.pairs):
            judged = [
                pair.values(here, action)
                for member, action in enumerate(actions)
                if member != judge or len(actions) == 1
            ]
            returns += [
                total + discount * torch.stack(values).amax(0)
                for values in zip(*judged, strict=True)
            ]
        everyone = torch.stack(returns)
        return everyone.mean(0) - self.settings.pessimism * everyone.std(0, correction=0)


def _jitter(action: Tensor, planning: PlanningSettings, noise: Tensor) -> Tensor:
    """`action` with noise, cut at 3 deviations, within [-1, 1]; gradients pass as if there were no
    limits.
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
        climb: (members, horizon + 1, batch, action).
    """

    target: Tensor
    clone: Tensor
    climb: Tensor

    @classmethod
    def draw(cls, agent: Modem, segment: Segment, generator: torch.Generator) -> UpdateNoise:
        """In the order in which `Modem.update` draws them where the clone's critics learn too and
        images are not shifted.
        """
        members, (horizon, batch, size) = agent.settings.latent.members, segment.action.shape
        shapes = (
            (members, horizon, batch, size),
            (horizon, batch, size),
            (members, horizon + 1, batch, size),
        )
        return cls(*(_normal(generator, *shape) for shape in shapes))


class LoopLearner:
    """The update of world model, critics and actors; the objective of the actors is the published
    one: values alone, as they are.
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
        self.climbing = [
            parameter for pair in online.pairs for parameter in pair.actor.parameters()
        ]
        self.optimizers = [
            torch.optim.Adam(group, lr=settings.learning_rate)
            for group in (self.learned, self.climbing)
        ]
        self.updates = 0

    def update(
        self, segment: Segment, noise: UpdateNoise, generator: torch.Generator
    ) -> tuple[dict[str, float], Tensor]:
        """One update; returns the losses and the new priority of every segment, (batch,).
        `generator` is for the shifts of images.
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
                wanted, clone_following = (
                    self.slow.encoder(following),
                    self.slow_clone.encoder(following),
                )
            goals, clone_goal = self._goals(following, segment, step, noise)
            value, error = self._judged(online.pairs, latent, action, goals)
            clone_value, clone_error = self._judged(
                self.clone.pairs, clone_latent, action, [clone_goal]
            )
            latent, reward = online.next(latent, action)
            # the clone's encoder never changes, so that its slow copy says the same
            clone_latent = clone_following
            parts = {
                "consistency": (latent - wanted).square().mean(-1),
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
        actor_loss = self._climb([one.detach() for one in latents], noise)
        self.updates += 1
        if self.updates % settings.target_every == 0:
            self._follow()
        figures = {name: float(term.detach().mean()) for name, term in terms.items()}
        return figures | {"loss": float(loss.detach()), "actor_loss": actor_loss}, sums[
            "error"
        ].detach()

    def _augmented(self, segment: Segment, step: int, generator: torch.Generator) -> Any:
        columns = {name: column[step] for name, column in columns_of(segment.observation).items()}
        if "image" in columns:
            columns["image"] = random_shift(columns["image"], self.settings.shift, generator)
        return observation_of(columns)

    @torch.no_grad()
    def _goals(
        self, following: Any, segment: Segment, step: int, noise: UpdateNoise
    ) -> tuple[list[Tensor], Tensor]:
        """What the critics of every member, and of the clone, are to say; encodes anew."""
        latent, clone_latent = self.online.encoder(following), self.clone.encoder(following)
        pairs = [
            (latent, pair, slow, noise.target[i, step])
            for i, (pair, slow) in enumerate(zip(self.online.pairs, self.slow.pairs, strict=True))
        ]
        goals = []
        for here, pair, slow, normal in [
            *pairs,
            (clone_latent, self.clone.pairs[0], self.slow_clone.pairs[0], noise.clone[step]),
        ]:
            action = _jitter(pair.act(here), self.settings.planning, normal)
            value = torch.min(*slow.values(here, action))
            goals.append(
                segment.reward[step]
                + self.settings.discount * (1 - segment.terminated[step]) * value
            )
        return goals[:-1], goals[-1]

    @staticmethod
    def _judged(
        pairs: nn.ModuleList, latent: Tensor, action: Tensor, goals: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Squared and absolute errors (batch,): sum over the critics of a pair, mean over the
        pairs.
        """
        loss, error = action.new_zeros(len(action)), action.new_zeros(len(action))
        for pair, goal in zip(pairs, goals, strict=True):
            for value in pair.values(latent, action):
                loss = loss + (value - goal).square()
                error = error + (value - goal).abs().detach()
        return loss / len(pairs), error / len(pairs)

    def _climb(self, latents: list[Tensor], noise: UpdateNoise) -> float:
        """One step of all actors, with their critics held fixed."""
        critics, loss = self.online.critic_parameters(), noise.climb.new_zeros(())
        for parameter in critics:
            parameter.requires_grad_(False)
        for step, latent in enumerate(latents):
            for member, pair in enumerate(self.online.pairs):
                action = _jitter(
                    pair.act(latent), self.settings.planning, noise.climb[member, step]
                )
                loss = loss - self.settings.temporal**step * torch.min(
                    *pair.values(latent, action)
                ).mean() / len(self.online.pairs)
        self._descend(loss, self.optimizers[1], self.climbing)
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
    def _follow(self) -> None:
        for slow, online in ((self.slow, self.online), (self.slow_clone, self.clone)):
            for target, source in zip(slow.parameters(), online.parameters(), strict=True):
                target.lerp_(source, self.settings.target_rate)
