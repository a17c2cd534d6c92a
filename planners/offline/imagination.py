"""Trajectories of a deterministic policy in a learned ensemble, with lambda-returns and their
gradients by the actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.model_free.networks import Actor
from worldplan.planners.offline.model_free.rows import LoggedRows, box_from_unit
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.ensemble.learned_dynamics import LearnedDynamics


class ModelInUnits:
    """A learned ensemble in the units of `LoggedRows`: normalised observations, actions in the unit
    box, scaled rewards. Differentiable by observation and action.

    Args:
        task: with the ensemble.
        rows: of its dataset.
    """

    def __init__(self, task: OfflineTask, rows: LoggedRows) -> None:
        assert isinstance(task.dynamics, LearnedDynamics)
        self.dynamics, self.rows = task.dynamics, rows
        self.low, self.high = task.low.float(), task.high.float()
        for parameter in self.dynamics.ensemble.parameters():
            parameter.requires_grad_(False)

    def step(
        self, observation: Tensor, action: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A random step.

        Args:
            observation: (seeds, batch, observation).
            action: (seeds, batch, action).
            generator: of the draw.

        Returns:
            Next observations (seeds, batch, observation), rewards and terminations (seeds, batch).
        """
        device, dtype = observation.device, observation.dtype
        mean, spread, low, high = (
            part.to(device, dtype)
            for part in (self.rows.mean, self.rows.spread, self.low, self.high)
        )
        raw = (observation * spread + mean).flatten(0, 1)
        raw_action = box_from_unit(action, low, high).flatten(0, 1)
        sample, _ = self.dynamics.ensemble.sample_elite(raw, raw_action, generator=generator)
        following, reward = sample[:, :-1], sample[:, -1]
        with torch.no_grad():
            terminated = self.dynamics.terminate(raw, raw_action, following)
        shape = observation.shape[:2]
        scaled = (following.view(*shape, -1) - mean) / spread
        return scaled, reward.view(shape) * self.rows.reward_factor, terminated.view(shape)


@dataclass(frozen=True)
class Imagined:
    """Trajectories of H steps, without gradients.

    Args:
        states: (H + 1, seeds, batch, observation).
        actions: pi(s_i), (H + 1, seeds, batch, action).
        values: q_i, (H + 1, seeds, batch).
        returns: R_i, (H + 1, seeds, batch).
        gradients: dR_i / da_i, (H + 1, seeds, batch, action).
        alive: m_i, (H + 1, seeds, batch).
    """

    states: Tensor
    actions: Tensor
    values: Tensor
    returns: Tensor
    gradients: Tensor
    alive: Tensor


def imagine(
    model: ModelInUnits,
    actor: Actor,
    critics: Critics,
    starts: Tensor,
    horizon: int,
    discount: float,
    trace: float,
    generator: torch.Generator | None = None,
) -> Imagined:
    """Trajectories from `starts`, with lambda-returns (see `worldplan.planners.offline.leq`).

    The gradients come from one pass backwards in time. With g_i = dR_i / ds_i, the later actions
    included,

        f_i(s, a) = [Q(s, a) + lambda c_i (m_i r(s, a) + m_(i+1) gamma <g_(i+1), s'(s, a)>)]
                    / (1 + lambda c_i),
        dR_i / da_i = df_i / da,   g_i = df_i / ds + (dpi / ds)^T df_i / da.

    Args:
        model: of the steps.
        actor: the policy.
        critics: one per seed.
        starts: s_0, (seeds, batch, observation).
        horizon: H.
        discount: gamma.
        trace: lambda.
        generator: of the model's draws.
    """
    with torch.enable_grad():
        states, choices, actions, values, steps = [], [], [], [], []
        alive = [torch.ones_like(starts[..., 0])]
        state = starts.detach().requires_grad_()
        for index in range(horizon + 1):
            choice = actor(state)
            action = choice.detach().requires_grad_()
            states.append(state)
            choices.append(choice)
            actions.append(action)
            values.append(critics(state, action)[:, 0])
            if index < horizon:
                following, reward, terminated = model.step(state, action, generator)
                steps.append((following, reward))
                alive.append(alive[-1] * (1 - terminated.to(reward.dtype)))
                state = following.detach().requires_grad_()
    returns, gradients = [values[-1].detach()], []
    slope = None
    weight = 1.0
    for index in reversed(range(horizon + 1)):
        objective, share = values[index], 0.0
        if index < horizon:
            (following, reward), share = steps[index], trace * weight
            later = alive[index + 1] * discount
            rewarded = alive[index] * reward
            value = values[index].detach()
            mixed = rewarded.detach() + later * returns[-1]
            returns.append((value + share * mixed) / (1 + share))
            assert slope is not None
            moved = rewarded + later * (following * slope).sum(-1)
            objective = (values[index] + share * moved) / (1 + share)
            weight = 1 + share
        by_action, by_state = torch.autograd.grad(objective.sum(), (actions[index], states[index]))
        (through_policy,) = torch.autograd.grad(choices[index], states[index], by_action)
        slope = by_state + through_policy
        gradients.append(by_action)
    return Imagined(
        states=torch.stack([state.detach() for state in states]),
        actions=torch.stack([action.detach() for action in actions]),
        values=torch.stack([value.detach() for value in values]),
        returns=torch.stack(returns[::-1]),
        gradients=torch.stack(gradients[::-1]),
        alive=torch.stack(alive),
    )


@torch.no_grad()
def noisy_rollouts(
    model: ModelInUnits,
    actor: Actor,
    starts: Tensor,
    steps: int,
    noise: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """States that tanh(mu(s) + noise * eps), eps ~ N(0, 1), visits.

    Args:
        model: of the steps.
        actor: with mu.
        starts: first states, (seeds, batch, observation).
        steps: of a rollout.
        noise: standard deviation.
        generator: of all draws.

    Returns:
        States (seeds, steps * batch, observation), those of each step before its action; and which
        of them were reached before a termination and are finite, (seeds, steps * batch).
    """
    state, alive = starts, torch.ones_like(starts[..., 0], dtype=torch.bool)
    states, kept = [], []
    for _ in range(steps):
        states.append(state)
        kept.append(alive)
        mean = actor.mean(state)
        draws = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        following, reward, terminated = model.step(
            state, torch.tanh(mean + noise * draws), generator
        )
        alive = alive & ~terminated & following.isfinite().all(-1) & reward.isfinite()
        state = torch.where(alive.unsqueeze(-1), following, state)
    return torch.cat(states, 1), torch.cat(kept, 1)
