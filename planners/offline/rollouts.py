"""Short rollouts of a policy in a dynamics model, with optional penalties on uncertain dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Prediction, step_unfinished
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.replay import Batch, pack
from worldplan.world_models.ensemble.uncertainty import (
    PENALTIES,
    max_pairwise_difference,
    penalty,
)


@dataclass(frozen=True)
class Pessimism:
    """How rollouts are penalised where the dynamics model is uncertain; by default not at all.

    Args:
        penalty: a name in `worldplan.world_models.ensemble.uncertainty.PENALTIES`, subtracted from
            the reward (MOPO, Yu et al., 2020), or "none".
        weight: factor of the penalty.
        halt_above: a step whose `max_pairwise_difference` exceeds this terminates its rollout
            (MOReL, Kidambi et al., 2020); None terminates none.
        halt_reward: the reward of a step terminated so.

    Raises:
        ConfigError: there is no such penalty, or its weight is negative.
    """

    penalty: str = "none"
    weight: float = 1.0
    halt_above: float | None = None
    halt_reward: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.penalty != "none" and self.penalty not in PENALTIES:
            raise ConfigError(f"penalty '{self.penalty}': choose none, {', '.join(PENALTIES)}")
        if self.weight < 0:
            raise ConfigError(f"penalty weight {self.weight}: must not be negative")

    @property
    def needs_members(self) -> bool:
        """Whether the predictions of all members of the ensemble are used."""
        return self.penalty != "none" or self.halt_above is not None

    def apply(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Reward (batch,) and termination (batch,) after penalties. Exact dynamics have no members:
        every penalty is zero.
        """
        reward, terminated = prediction.reward, prediction.terminated
        if not self.needs_members or prediction.members is None:
            return reward, terminated
        sample = torch.cat([prediction.next_observation, prediction.reward.unsqueeze(-1)], -1)
        if self.penalty != "none":
            reward = reward - self.weight * penalty(self.penalty)(prediction.members, sample)
        if self.halt_above is not None:
            difference = max_pairwise_difference(prediction.members)
            unknown = difference > self.halt_above
            reward = torch.where(unknown, self.halt_reward, reward)
            terminated = terminated | unknown
        return reward, terminated


@torch.no_grad()
def roll_out(
    dynamics: DynamicsModel,
    actor: SquashedActor,
    observation: Tensor,
    state: Tensor | None,
    horizon: int,
    pessimism: Pessimism,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Roll the stochastic policy out in the dynamics model. A rollout ends at a termination, and
    before a step whose prediction is not finite.

    Args:
        dynamics: the model.
        actor: the policy.
        observation: first observations, (seeds, starts, observation).
        state: simulator states, (seeds, starts, state_size), or None for a model without.
        horizon: steps.
        pessimism: penalties on uncertain dynamics.
        generator: of the policy's noise and of the model's draws.

    Returns:
        Packed rows (seeds, horizon * starts, width) with their step index, and which of them belong
        to a rollout, (seeds, horizon * starts) bool.
    """
    seeds, starts = observation.shape[:2]
    alive = torch.ones((seeds, starts), dtype=torch.bool, device=observation.device)
    rows, keep = [], []
    for step in range(horizon):
        action = actor.sample(observation, generator)[0]
        prediction = step_unfinished(
            dynamics,
            observation.flatten(0, 1),
            action.flatten(0, 1),
            state=None if state is None else state.flatten(0, 1),
            alive=alive.flatten(),
            generator=generator,
            members=pessimism.needs_members,
        )
        reward, terminated = (value.view(seeds, starts) for value in pessimism.apply(prediction))
        following = prediction.next_observation.view(seeds, starts, -1)
        finite = following.isfinite().all(-1) & reward.isfinite()
        index = torch.full_like(reward, step)
        alive = alive & finite
        rows.append(
            pack(Batch(observation, action, reward, following, terminated.to(reward.dtype), index))
        )
        keep.append(alive)
        alive = alive & ~terminated
        # ended rows stay where they are; their later steps are not kept
        observation = torch.where(alive.unsqueeze(-1), following, observation)
        if prediction.state is not None and state is not None:
            state = torch.where(
                alive.unsqueeze(-1), prediction.state.view(seeds, starts, -1), state
            )
    return torch.cat(rows, 1), torch.cat(keep, 1)
