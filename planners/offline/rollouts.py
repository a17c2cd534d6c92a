"""Short rollouts of a policy in a dynamics model, with the penalties of the literature as options."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Prediction
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.replay import Batch, pack
from worldplan.world_models.ensemble.uncertainty import PENALTIES


@dataclass(frozen=True)
class Pessimism:
    """What a rollout takes off for dynamics the model is unsure of; nothing by default.

    Args:
        penalty: a name in `worldplan.world_models.ensemble.uncertainty.PENALTIES`, taken off the
            reward (MOPO, Yu et al., 2020), or "none".
        weight: how much of it.
        halt_above: stop a rollout where the largest pairwise difference exceeds this (MOReL,
            Kidambi et al., 2020); None never stops.
        halt_reward: the reward of a stopped step.
    """

    penalty: str = "none"
    weight: float = 1.0
    halt_above: float | None = None
    halt_reward: float = 0.0

    def __post_init__(self) -> None:
        if self.penalty != "none" and self.penalty not in PENALTIES:
            raise ConfigError(f"penalty '{self.penalty}': choose none, {', '.join(PENALTIES)}")
        if self.weight < 0:
            raise ConfigError(f"penalty weight {self.weight}: must not be negative")

    @property
    def needs_members(self) -> bool:
        """Whether every member of the ensemble must be asked."""
        return self.penalty != "none" or self.halt_above is not None

    def apply(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Reward and termination (each (batch,)) after penalties."""
        reward, terminated = prediction.reward, prediction.terminated
        if (
            not self.needs_members or prediction.members is None
        ):  # exact dynamics have no members: every penalty is zero
            return reward, terminated
        sample = torch.cat([prediction.next_observation, prediction.reward.unsqueeze(-1)], -1)
        if self.penalty != "none":
            reward = reward - self.weight * PENALTIES[self.penalty](prediction.members, sample)
        if self.halt_above is not None:
            unknown = (
                PENALTIES["max_pairwise_difference"](prediction.members, sample) > self.halt_above
            )
            reward, terminated = (
                torch.where(unknown, self.halt_reward, reward),
                terminated | unknown,
            )
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
    """`horizon` steps of the stochastic policy from `observation` (seeds, starts, o) and the
    simulator's `state` (seeds, starts, s).

    Returns packed rows (seeds, horizon * starts, width) with their step index, and which of them
    are real: a rollout ends at a termination and where the model leaves the finite numbers.
    """
    seeds, starts = observation.shape[:2]
    alive = torch.ones((seeds, starts), dtype=torch.bool, device=observation.device)
    rows, keep = [], []
    for step in range(horizon):
        action = actor.sample(observation, generator)[0]
        prediction = _step(
            dynamics,
            observation.flatten(0, 1),
            action.flatten(0, 1),
            state,
            alive.flatten(),
            pessimism,
            generator,
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
        observation = torch.where(
            alive.unsqueeze(-1), following, observation
        )  # ended rows stand still, unused
        if prediction.state is not None and state is not None:
            state = torch.where(
                alive.unsqueeze(-1), prediction.state.view(seeds, starts, -1), state
            )
    return torch.cat(rows, 1), torch.cat(keep, 1)


def _step(
    dynamics: DynamicsModel,
    observation: Tensor,
    action: Tensor,
    state: Tensor | None,
    alive: Tensor,
    pessimism: Pessimism,
    generator: torch.Generator | None,
) -> Prediction:
    """One step of every row. A simulator is asked for the living rows only: it costs by the row,
    and waits for the host anyway.
    """
    if state is None or pessimism.needs_members:
        flat = None if state is None else state.flatten(0, 1)
        return dynamics.step(
            observation, action, state=flat, generator=generator, members=pessimism.needs_members
        )
    state = state.flatten(0, 1)
    index = alive.nonzero()[:, 0]
    if len(index) == 0:
        return Prediction(
            observation, torch.zeros_like(observation[:, 0]), torch.ones_like(alive), state
        )
    told = dynamics.step(observation[index], action[index], state=state[index], generator=generator)
    following = observation.index_copy(0, index, told.next_observation)
    reward = torch.zeros_like(observation[:, 0]).index_copy(0, index, told.reward)
    terminated = torch.ones_like(alive).index_copy(0, index, told.terminated)
    return Prediction(
        following,
        reward,
        terminated,
        state if told.state is None else state.index_copy(0, index, told.state),
    )
