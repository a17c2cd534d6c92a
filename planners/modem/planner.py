"""Planning in latent space: candidates of all environments and actors are rolled out together,
once, and scored by all critics in the same pass.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.arrays import tensor
from worldplan.envs.episodes import with_batch_axis
from worldplan.milp import checks
from worldplan.planners.base import Decision, Planner
from worldplan.planners.modem.agent import Modem, noisy
from worldplan.planners.modem.handover import Handover
from worldplan.planners.modem.settings import PlanningSettings
from worldplan.planners.shooting.search import Plan, search_plan
from worldplan.world_models.data.episodes import columns_of, observation_of
from worldplan.world_models.latent.model import LatentModel


class LatentRollout:
    """Action sequences -> scores, from latents (environments, latent); also adds sequences of its
    own, the actors' roll-outs.

    The actors' roll-outs are made and scored once, in the first call, and are candidates of every
    later call too.

    Args:
        model: the latent model.
        latent: current latent of every environment, (environments, latent).
        proposals: actors' roll-outs per environment, a multiple of the members.
        horizon: steps.
        discount: of the scores.
        settings: noise, the actor of the last state, pessimism.
        generator: of the noise.
    """

    def __init__(
        self,
        model: LatentModel,
        latent: Tensor,
        proposals: int,
        horizon: int,
        discount: float,
        settings: PlanningSettings,
        generator: torch.Generator,
    ) -> None:
        self.model, self.latent, self.proposals, self.horizon = model, latent, proposals, horizon
        self.discount, self.settings, self.generator = discount, settings, generator
        self.proposed: tuple[Tensor, Tensor] | None = None

    def __call__(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Given sequences (environments, n, horizon, action) -> all sequences (environments, n +
        proposals, horizon, action) and their scores (environments, n + proposals).

        A score is mean - k std over the returns predicted with the critics of all members.
        """
        count = given.shape[1]
        if self.proposed is None:
            sequences, scores, _ = self.rolled_out(given, self.proposals)
            self.proposed = sequences[:, count:], scores[:, count:]
            return sequences, scores
        if not count:
            return self.proposed
        sequences, scores, _ = self.rolled_out(given, 0)
        return torch.cat([sequences, self.proposed[0]], 1), torch.cat([scores, self.proposed[1]], 1)

    def rolled_out(self, given: Tensor, proposals: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sequences (environments, n + proposals, horizon, action): the given ones, then new
        roll-outs of the actors; their scores, and the std over the critics' returns, each
        (environments, n + proposals).

        Args:
            given: sequences (environments, n, horizon, action).
            proposals: actors' roll-outs per environment, a multiple of the members.
        """
        environments, count = given.shape[:2]
        latent = self.latent.unsqueeze(1).expand(-1, count + proposals, -1)
        actions, reward = [], torch.zeros(latent.shape[:2], device=latent.device)
        for step in range(self.horizon):
            proposed = self._actors_actions(latent[:, count:])
            action = torch.cat([given[:, :, step], proposed], 1)
            reward = reward + self.discount**step * self.model.reward(latent, action)
            latent = self.model.next_latent(latent, action)
            actions.append(action)
        terminal = self._terminal(latent.flatten(0, 1))  # (2 members, rows)
        returns = reward.flatten() + self.discount**self.horizon * terminal
        returns = torch.unflatten(returns, 1, (environments, count + proposals))
        spread = returns.std(0, correction=0)
        return torch.stack(actions, 2), returns.mean(0) - self.settings.pessimism * spread, spread

    def _actors_actions(self, latent: Tensor) -> Tensor:
        """Noisy actions (environments, n, action) of the actors at latents (environments, n,
        latent): every actor acts in n / members of them.
        """
        environments, count = latent.shape[:2]
        members, action_size = self.model.settings.members, self.model.action_size
        if not count:
            return latent.new_zeros(environments, 0, action_size)
        by_member = torch.unflatten(latent, 1, (members, count // members)).transpose(0, 1)
        action = noisy(
            self.model.actor(by_member.flatten(1, 2)), self.settings.noise, self.generator
        )
        action = torch.unflatten(action, 1, (environments, count // members))
        return action.transpose(0, 1).flatten(1, 2)

    def _terminal(self, latent: Tensor) -> Tensor:
        """Value of the last latents (rows, latent) by each critic, (2 members, rows), for the actor
        of `PlanningSettings.terminal`.
        """
        action = noisy(self.model.actor(latent), self.settings.noise, self.generator)
        members = len(action)
        if members == 1 or self.settings.terminal == "own":
            return self.model.value(latent, action).flatten(0, 1)
        if self.settings.terminal == "other":
            return self.model.value(latent, action.roll(1, 0)).flatten(0, 1)
        member = torch.arange(members, device=action.device)
        # others[i, j]: actions (rows, action) of member i + j + 1, for the critics of member i
        others = action[(member.unsqueeze(1) + member[1:]) % members]
        value = self.model.value(latent.repeat(members - 1, 1), others.flatten(1, 2))
        return torch.unflatten(value, 2, (members - 1, len(latent))).amax(2).flatten(0, 1)


class ModemPlanner(Planner):
    """Observations -> actions of the planner, or of the clone in the segments that are its own.

    Args:
        agent: the networks.
        share: probability that the planner acts in a segment (1: the planner alone; 0: the clone
            alone). None: the planner acts in the segments at whose first step the critics agree
            about its plan.
        explore: add exploration noise to the actions, as in training.
        horizon: steps planned ahead; None: that of the settings.
        seed: of all random numbers, until a `reset` with another.
    """

    def __init__(
        self,
        agent: Modem,
        *,
        share: float | None = 1.0,
        explore: bool = False,
        horizon: int | None = None,
        seed: int = 0,
    ) -> None:
        self.agent, self.share, self.explore = agent, share, explore
        self.settings: PlanningSettings = agent.settings.planning
        self.handover = Handover(
            agent.settings.handover, has_clone=agent.settings.clone_updates > 0
        )
        self.horizon = horizon or self.settings.search.horizon
        self.device = next(agent.parameters()).device
        self._seed = seed
        self.reset(seed=seed)

    def reset(self, *, seed: int | None = None) -> None:
        """Drop the warm start, the noise and the draw of who acts; restart the random numbers.

        None: from the constructor's seed.
        """
        self.generator = torch.Generator(device=self.device)
        self.generator.manual_seed(self._seed if seed is None else seed)
        self.step = 0
        self.plan_before: Plan | None = None
        self.drift = torch.zeros(0, self.agent.action_size, device=self.device)
        self.planned = self.planned_before = torch.zeros(0, dtype=torch.bool)

    def restart(self, begun: np.ndarray) -> None:
        """Drop the plan and the correlated noise of the environments in which an episode begins.

        Args:
            begun: (envs,) bool.
        """
        if len(begun) == len(self.planned_before):
            fresh = torch.as_tensor(begun, device=self.device)
            self.planned_before = self.planned_before & ~fresh
            self.drift = self.drift * ~fresh.unsqueeze(1) if len(self.drift) else self.drift

    def plan(self, observation: Any) -> Decision:
        """One decision."""
        return self.plan_batch(with_batch_axis(observation))[0]

    @torch.no_grad()
    def plan_batch(self, observations: Any) -> list[Decision]:
        """One decision per environment, all in one batch.

        Args:
            observations: (envs, ...) array, or a dict of such arrays.
        """
        began = time.perf_counter()
        observation, count = self._to_device(observations)
        if len(self.planned) != count:
            self.step, self.plan_before, self.drift = 0, None, self.drift[:0]
            self.planned = torch.zeros(count, dtype=torch.bool, device=self.device)
            self.planned_before = self.planned
        if self.explore:
            self._advance_drift(count)
        begins = self.handover.begins_segment(self.step)
        if begins and self.share is not None:
            self.planned = self.handover.draw(self.share, count, self.generator)
        action = torch.zeros(count, self.agent.action_size, device=self.device)
        value = torch.full((count,), float("nan"), device=self.device)
        if bool(self.planned.any()) or (begins and self.share is None):
            action, value, spread = self._plan(observation)
            if begins and self.share is None:
                self.planned = self.handover.critics_agree(spread, self.agent.scale.range)
        if not bool(self.planned.all()):
            action = torch.where(self.planned.unsqueeze(1), action, self._clone(observation))
        self.step, self.planned_before = self.step + 1, self.planned
        seconds = (time.perf_counter() - began) / count
        rows, values, planned = action.cpu().numpy(), value.tolist(), self.planned.tolist()
        return [
            Decision(
                rows[i],
                values[i] if planned[i] else None,
                None,
                "heuristic",
                seconds,
                {"planned": planned[i]},
            )
            for i in range(count)
        ]

    def _to_device(self, observations: Any) -> tuple[Any, int]:
        """Observations as tensors on the agent's device, float32 except for uint8 images; their
        number.
        """
        columns = {}
        for name, column in columns_of(observations).items():
            image = getattr(column, "dtype", None) in (np.uint8, torch.uint8)
            dtype = np.uint8 if image else np.float32
            what = f"observation {name}".strip()
            columns[name] = tensor(column, what, dtype=dtype).to(self.device)
        return observation_of(columns), len(next(iter(columns.values())))

    def _advance_drift(self, count: int) -> None:
        """One step of the exploration noise (count, action): unit variance, correlated in time,
        since an arm that averages its commands hardly moves under white noise.
        """
        fresh = torch.randn(
            count, self.agent.action_size, generator=self.generator, device=self.device
        )
        kept = self.settings.correlation
        self.drift = (
            fresh if not len(self.drift) else kept * self.drift + math.sqrt(1 - kept**2) * fresh
        )

    def _plan(self, observation: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (envs, action), values (envs,), and the std of the plans' returns over the
        critics (envs,), 0 if `share` is given. The plans are kept as the next warm start.
        """
        agent, settings = self.agent, replace(self.settings.search, horizon=self.horizon)
        latent = agent.model.encode(observation)
        members = agent.settings.latent.members
        proposals = -(-settings.proposal_count // members) * members  # a multiple of the members
        rollout = LatentRollout(
            agent.model,
            latent,
            proposals,
            self.horizon,
            agent.settings.discount,
            self.settings,
            self.generator,
        )
        bound = torch.ones(agent.action_size, device=self.device)
        mean = torch.zeros(len(latent), self.horizon, agent.action_size, device=self.device)
        elites = scale = None
        if self.plan_before is not None:
            # no warm start where the clone took the last step
            before = self.plan_before.restarted(~self.planned_before, 0 * bound)
            mean, elites, scale = before.mean, before.elites, before.scale
        plan = search_plan(
            rollout, settings, mean, None, -bound, bound, self.generator, elites=elites, scale=scale
        )
        self.plan_before = plan.shifted()
        action = plan.first_action(settings.picking, self.generator)
        if self.explore:
            action = (action + plan.std[:, 0] * self.drift).clamp(-1, 1)
        if self.share is None:
            return action, plan.value, rollout.rolled_out(plan.mean.unsqueeze(1), 0)[2][:, 0]
        return action, plan.value, torch.zeros_like(plan.value)

    def _clone(self, observation: Any) -> Tensor:
        """The clone's actions (envs, action), with noise if exploring; of several noisy actions the
        best by the clone's critics, if the settings say so.
        """
        clone = self.agent.clone
        latent = clone.encode(observation)
        mean = clone.act(latent)
        count = self.handover.settings.clone_samples
        if count == 1:
            return (mean + self.settings.noise * self.drift).clamp(-1, 1) if self.explore else mean
        samples = noisy(mean.repeat_interleave(count, 0), self.settings.noise, self.generator)
        # argmax takes the first of equal values: untrained critics, 0 everywhere, pick the mean
        samples[::count] = mean
        value = clone.value(latent.repeat_interleave(count, 0), samples).amin(0).view(-1, count)
        best = value.argmax(1)
        environment = torch.arange(len(best), device=best.device)
        return samples.view(-1, count, samples.shape[-1])[environment, best]


class UniformPlanner(Planner):
    """Draws actions uniformly from [-1, 1], for the first episodes without demonstrations.

    Args:
        action_size: length of an action.
    """

    def __init__(self, action_size: int) -> None:
        self.action_size = checks.whole_number(action_size, "action_size", least=1)
        self.reset(seed=0)

    def reset(self, *, seed: int | None = None) -> None:
        """Restart the random numbers, from seed 0 without another."""
        self.random = np.random.default_rng(0 if seed is None else seed)

    def plan(self, observation: Any) -> Decision:
        """One decision."""
        return self.plan_batch(with_batch_axis(observation))[0]

    def plan_batch(self, observations: Any) -> list[Decision]:
        """One decision per environment.

        Args:
            observations: (envs, ...) array, or a dict of such arrays.
        """
        count = len(next(iter(columns_of(observations).values())))
        actions = self.random.uniform(-1, 1, (count, self.action_size)).astype(np.float32)
        return [
            Decision(action, None, None, "heuristic", 0.0, {"planned": False}) for action in actions
        ]
