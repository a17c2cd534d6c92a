"""Scores of action sequences in any dynamics model: every candidate of every environment is one row
of one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Prediction
from worldplan.milp.errors import ConfigError
from worldplan.planners.shooting.search import Candidates
from worldplan.world_models.ensemble.uncertainty import Penalty

Policy = Callable[[Tensor, torch.Generator], Tensor]
"""Observations (rows, observation) and a generator -> actions (rows, action), in units of the environment."""

Value = Callable[[Tensor], Tensor]
"""Observations (rows, observation) -> what they are worth, (rows,)."""

Reward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(observation, action, next_observation), each (rows, size) -> (rows,)."""


@dataclass(frozen=True, slots=True)
class RollOuts:
    """What a sequence of actions is worth: discounted reward, less the penalties on the way, plus
    the value of the end.

    Args:
        model: what stands for the world.
        discount: per step.
        policy: makes the proposals, one action at a time from what the model shows; needed where
            proposals are asked for.
        terminal_value: of the last observation; nothing by default. A roll-out that terminated has
            none.
        reward: replaces the model's own.
        penalty: of what the ensemble's members say, see
            `worldplan.world_models.ensemble.uncertainty`; its sum over the steps, discounted, times
            `penalty_weight`, is taken off the score. Raises ConfigError with a model without
            members.
        particles: roll-outs per candidate, averaged; more than one makes sense for a random model
            (Chua et al., 2018, take 20).
    """

    model: DynamicsModel
    discount: float = 0.99
    policy: Policy | None = None
    terminal_value: Value | None = None
    reward: Reward | None = None
    penalty: Penalty | None = None
    penalty_weight: float = 1.0
    particles: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.discount <= 1:
            raise ConfigError(f"discount: {self.discount} must lie in 0 to 1")
        if self.penalty_weight < 0:
            raise ConfigError(f"penalty_weight: {self.penalty_weight} must not be negative")
        if self.particles < 1:
            raise ConfigError(f"particles: {self.particles} is too small: give at least 1")

    def candidates(
        self,
        observation: Tensor,
        state: Tensor | None,
        proposals: int,
        low: Tensor,
        high: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """The evaluator for a search that begins at `observation` (envs, observation) and, for a
        simulator, `state` (envs, state).

        Every call appends `proposals` roll-outs of the policy, cut to `low` and `high` (action,).
        """
        if proposals and self.policy is None:
            raise ConfigError("proposals need a policy: pass policy, or set proposals to 0")

        def evaluate(sequences: Tensor) -> tuple[Tensor, Tensor]:
            return self._score(sequences, proposals, observation, state, (low, high), generator)

        return evaluate

    def _score(
        self,
        sequences: Tensor,
        proposals: int,
        start: Tensor,
        start_state: Tensor | None,
        bounds: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        envs, drawn, horizon, _ = sequences.shape
        shape = (envs, drawn + proposals, self.particles)
        observation = _rows(start, shape)
        state = None if start_state is None else _rows(start_state, shape)
        total = observation.new_zeros(len(observation))
        alive = torch.ones_like(total, dtype=torch.bool)
        taken = []
        for step in range(horizon):
            action = sequences[:, :, step]
            if (
                proposals and self.policy is not None
            ):  # all particles of a candidate do what its first one suggests
                seen = observation.view(*shape, -1)[:, drawn:, 0].flatten(0, 1)
                action = torch.cat(
                    [action, self.policy(seen, generator).view(envs, proposals, -1).clamp(*bounds)],
                    1,
                )
            taken.append(action)
            repeated = action.unsqueeze(2).expand(*shape, -1).flatten(0, 2)
            following, reward, terminated, state = self._step(
                observation, repeated, state, alive, generator
            )
            total = total + torch.where(alive, self.discount**step * reward, 0)
            alive = alive & ~terminated
            observation = torch.where(
                alive.unsqueeze(-1), following, observation
            )  # rows that are over stand still, unused
        if self.terminal_value is not None:
            total = total + torch.where(
                alive, self.discount**horizon * self.terminal_value(observation), 0
            )
        return torch.stack(taken, 2), total.view(shape).mean(-1)

    def _step(
        self,
        observation: Tensor,
        action: Tensor,
        state: Tensor | None,
        alive: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Next observation, reward less penalty (NaN where the model left the finite numbers),
        termination and state.
        """
        told = _ask(
            self.model, observation, action, state, alive, generator, self.penalty is not None
        )
        following = told.next_observation
        reward = told.reward if self.reward is None else self.reward(observation, action, following)
        if self.penalty is not None:
            if told.members is None:
                raise ConfigError(
                    f"a penalty on uncertainty needs an ensemble, but {type(self.model).__name__} has no members: leave penalty out"
                )
            sample = torch.cat([following, told.reward.unsqueeze(-1)], -1)
            reward = reward - self.penalty_weight * self.penalty(told.members, sample)
        return (
            following,
            torch.where(following.isfinite().all(-1), reward, torch.nan),
            told.terminated,
            told.state,
        )


def _ask(
    model: DynamicsModel,
    observation: Tensor,
    action: Tensor,
    state: Tensor | None,
    alive: Tensor,
    generator: torch.Generator,
    members: bool,
) -> Prediction:
    """One step of all rows. A simulator costs by the row, so it is asked for the living ones only."""
    if state is None or members or bool(alive.all()):
        return model.step(observation, action, state=state, generator=generator, members=members)
    index = alive.nonzero()[:, 0]
    if len(index) == 0:
        return Prediction(observation, torch.zeros_like(observation[:, 0]), ~alive, state)
    told = model.step(observation[index], action[index], state=state[index], generator=generator)
    following = observation.index_copy(0, index, told.next_observation)
    reward = torch.zeros_like(observation[:, 0]).index_copy(0, index, told.reward)
    terminated = torch.ones_like(alive).index_copy(0, index, told.terminated)
    return Prediction(
        following,
        reward,
        terminated,
        state if told.state is None else state.index_copy(0, index, told.state),
    )


def _rows(values: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(envs, size) -> (envs * candidates * particles, size)."""
    return values[:, None, None].expand(*shape, -1).flatten(0, 2)
