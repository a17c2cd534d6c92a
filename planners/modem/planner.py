"""One fused planning call: candidates of all environments and actors are rolled out together, once,
and scored by every critic on the way.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.planners.base import Decision, Planner, with_batch_axis
from worldplan.planners.modem.agent import Modem, noisy
from worldplan.planners.modem.handover import Handover
from worldplan.planners.modem.settings import PlanningSettings
from worldplan.planners.shooting.search import Plan, search
from worldplan.world_models.data.episodes import columns_of, observation_of
from worldplan.world_models.latent.model import LatentModel


class LatentRollout:
    """Scores given action sequences, and roll-outs of the actors that it makes itself, from latents
    (environments, latent).

    The actors' roll-outs are made and scored once, in the first call, and are candidates of every
    later one as well.

    Args:
        model: the latent model.
        latent: where every environment is.
        proposals: roll-outs of the actors per environment, a multiple of the members.
        horizon: steps.
        discount: of the scores.
        settings: noise, who acts in the last state, pessimism.
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
        """(environments, n, horizon, action) -> all sequences (environments, n + proposals,
        horizon, action) and their scores.

        A score is mean - k std over the returns that the critics of all members expect.
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

    def rolled_out(self, given: Tensor, own: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sequences with `own` new ones of the actors behind the given; their scores and the std
        over the critics' returns, (environments, n).
        """
        members, environments, count = self.model.settings.members, len(self.latent), given.shape[1]
        latent = self.latent.unsqueeze(1).expand(-1, count + own, -1)
        actions, reward = [], torch.zeros(latent.shape[:2], device=latent.device)
        for step in range(self.horizon):
            proposed = (
                latent[:, count:]
                .unflatten(1, (members, own // members))
                .transpose(0, 1)
                .flatten(1, 2)
            )
            drawn = (
                noisy(self.model.actor(proposed), self.settings.noise, self.generator)
                if own
                else proposed.new_zeros(members, 0, given.shape[-1])
            )
            drawn = drawn.unflatten(1, (environments, own // members)).transpose(0, 1).flatten(1, 2)
            action = torch.cat([given[:, :, step], drawn], 1)
            reward = reward + self.discount**step * self.model.reward(latent, action)
            latent = self.model.next_latent(latent, action)
            actions.append(action)
        value = (
            reward.flatten() + self.discount**self.horizon * self._terminal(latent.flatten(0, 1))
        ).unflatten(1, (environments, count + own))
        spread = value.std(0, correction=0)
        return torch.stack(actions, 2), value.mean(0) - self.settings.pessimism * spread, spread

    def _terminal(self, latent: Tensor) -> Tensor:
        """What each critic expects from the last latent (rows, latent) on: (2 members, rows)."""
        action = noisy(self.model.actor(latent), self.settings.noise, self.generator)
        members = len(action)
        if members == 1 or self.settings.terminal == "own":
            return self.model.value(latent, action).flatten(0, 1)
        if self.settings.terminal == "other":
            return self.model.value(latent, action.roll(1, 0)).flatten(0, 1)
        member = torch.arange(members, device=action.device)
        others = action[
            (member.unsqueeze(1) + member[1:]) % members
        ]  # (members, members - 1, rows, action)
        value = self.model.value(latent.repeat(members - 1, 1), others.flatten(1, 2))
        return value.unflatten(2, (members - 1, len(latent))).amax(2).flatten(0, 1)


class ModemPlanner(Planner):
    """Plans in latent space, or lets the clone act while the planner has not taken over.

    Args:
        agent: the networks.
        share: probability that the planner acts in a segment (1: always, the planner alone; 0: the
            clone). None: it acts in the segments that begin where the critics agree about its plan.
        explore: add noise to what is done, as in training; else the chosen candidate is carried out
            as it is.
        horizon: steps; the settings' own when None.
        seed: of all draws, until the first `reset`.
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
        self.reset(seed=seed)

    def reset(self, *, seed: int | None = None) -> None:
        """Forget the warm start and who acts; begin the random stream anew."""
        self.generator = torch.Generator(device=self.device).manual_seed(
            0 if seed is None else seed
        )
        self.step = 0
        self.plan_before: Plan | None = None
        self.drift = torch.zeros(0, self.agent.action_size, device=self.device)
        self.planned = self.planned_before = torch.zeros(0, dtype=torch.bool)

    def restart(self, begun: np.ndarray) -> None:
        """Forget the plan and the drift of the noise in the environments whose episode begins,
        `begun` (envs,) bool.
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
        """One decision per environment, all in one batch."""
        began = time.perf_counter()
        columns = {
            name: torch.as_tensor(np.asarray(column)).to(self.device)
            for name, column in columns_of(observations).items()
        }
        observation = observation_of(
            {
                name: column if column.dtype == torch.uint8 else column.float()
                for name, column in columns.items()
            }
        )
        count = len(next(iter(columns.values())))
        if len(self.planned) != count:
            self.step, self.plan_before, self.drift = 0, None, self.drift[:0]
            self.planned = self.planned_before = torch.zeros(
                count, dtype=torch.bool, device=self.device
            )
        if self.explore:
            self._drift_on(count)
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

    def _drift_on(self, count: int) -> None:
        """Exploration noise of unit variance, correlated in time: an arm that averages its commands
        hardly moves under white noise.
        """
        fresh = torch.randn(
            count, self.agent.action_size, generator=self.generator, device=self.device
        )
        kept = self.settings.correlation
        self.drift = (
            fresh if not len(self.drift) else kept * self.drift + math.sqrt(1 - kept**2) * fresh
        )

    def _plan(self, observation: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values and, where it decides, how far the critics disagree about the plan; keeps
        the plan to start from in the next step.
        """
        agent = self.agent
        latent = agent.model.encode(observation)
        members, settings = (
            agent.settings.latent.members,
            replace(self.settings.search, horizon=self.horizon),
        )
        own = -(-settings.proposal_count // members) * members
        rollout = LatentRollout(
            agent.model,
            latent,
            own,
            self.horizon,
            agent.settings.discount,
            self.settings,
            self.generator,
        )
        bound = torch.ones(agent.action_size, device=self.device)
        mean, elites, scale = (
            torch.zeros(len(latent), self.horizon, agent.action_size, device=self.device),
            None,
            None,
        )
        if (
            self.plan_before is not None
        ):  # where the clone acted since, the plan is not what happened
            before = self.plan_before.restarted(~self.planned_before, 0 * bound)
            mean, elites, scale = before.mean, before.elites, before.scale
        plan = search(
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
        """The clone's action with noise while exploring, the best of several by its critic where it
        has one.
        """
        clone = self.agent.clone
        latent = clone.encode(observation)
        mean = clone.act(latent)
        count = self.handover.settings.clone_samples
        if count == 1:
            return (mean + self.settings.noise * self.drift).clamp(-1, 1) if self.explore else mean
        tried = noisy(mean.repeat_interleave(count, 0), self.settings.noise, self.generator)
        tried[::count] = (
            mean  # first of equals, so that critics without an opinion choose the plain clone
        )
        value = clone.value(latent.repeat_interleave(count, 0), tried).amin(0).view(-1, count)
        best = value.argmax(1)
        return tried.view(-1, count, tried.shape[-1])[
            torch.arange(len(best), device=best.device), best
        ]


class UniformPlanner(Planner):
    """Actions drawn uniformly from [-1, 1]: how an agent without demonstrations begins."""

    def __init__(self, action_size: int) -> None:
        self.action_size = action_size
        self.reset(seed=0)

    def reset(self, *, seed: int | None = None) -> None:
        """Begin the random stream anew."""
        self.random = np.random.default_rng(seed)

    def plan(self, observation: Any) -> Decision:
        """One decision."""
        return self.plan_batch(with_batch_axis(observation))[0]

    def plan_batch(self, observations: Any) -> list[Decision]:
        """One decision per environment."""
        count = len(next(iter(columns_of(observations).values())))
        actions = self.random.uniform(-1, 1, (count, self.action_size)).astype(np.float32)
        return [
            Decision(action, None, None, "heuristic", 0.0, {"planned": False}) for action in actions
        ]
