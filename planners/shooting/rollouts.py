"""Scores of action sequences in any dynamics model.

All candidates of all environments are rolled out together: (envs, candidates, particles) becomes
the rows of one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, step_unfinished
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.shooting.search import Candidates
from worldplan.world_models.ensemble.uncertainty import Penalty

Policy = Callable[[Tensor, torch.Generator], Tensor]
"""Observations (rows, observation) and a generator -> actions (rows, action), in units of the
environment."""

Value = Callable[[Tensor], Tensor]
"""Observations (rows, observation) -> values (rows,)."""

Reward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(observation, action, next_observation), each (rows, size) -> rewards (rows,)."""


@dataclass(frozen=True, slots=True)
class RollOuts:
    """Scores action sequences by roll-outs in a dynamics model.

    score = sum_t discount**t * (reward_t - penalty_weight * penalty_t)
            + discount**horizon * terminal_value(last observation)

    Nothing is added after a step that terminates.

    Args:
        model: predicts the steps.
        discount: per step.
        policy: makes the proposals, one action at a time from the predicted observation; needed if
            proposals are asked for.
        terminal_value: of the last observation; None: 0.
        reward: replaces the model's own.
        penalty: of the uncertainty of a step, from the predictions of an ensemble's members, see
            `worldplan.world_models.ensemble.uncertainty`.
        penalty_weight: 0 or more.
        particles: roll-outs per candidate, whose scores are averaged; more than 1 makes sense for a
            random model (Chua et al., 2018, take 20).

    Raises:
        ConfigError: a number is out of range.
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
        checks.of_type(self.model, "model", DynamicsModel, remedy="a DynamicsModel")
        checks.number(self.discount, "discount", least=0, most=1)
        checks.number(self.penalty_weight, "penalty_weight", least=0)
        checks.whole_number(self.particles, "particles", least=1)

    def candidates(
        self,
        observation: Tensor,
        state: Tensor | None,
        proposals: int,
        low: Tensor,
        high: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """The function that scores the candidates of a search.

        Args:
            observation: (envs, observation), where the roll-outs start.
            state: (envs, state), the same for a simulator; None for other models.
            proposals: roll-outs of the policy that every call appends, their actions clipped to
                `low` and `high`.
            low: (action,).
            high: (action,).
            generator: of the policy's and the model's random numbers.

        Raises:
            ConfigError: proposals without a policy.
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
        """Sequences (envs, n, horizon, action) -> sequences and scores as in `Candidates`."""
        envs, drawn, horizon, _ = sequences.shape
        shape = (envs, drawn + proposals, self.particles)
        observation = _rows(start, shape)
        state = None if start_state is None else _rows(start_state, shape)
        total = observation.new_zeros(len(observation))
        alive = torch.ones_like(total, dtype=torch.bool)
        executed = []
        for step in range(horizon):
            action = sequences[:, :, step]
            if proposals and self.policy is not None:
                # all particles of a proposal take the action that the policy takes for the first
                seen = observation.view(*shape, -1)[:, drawn:, 0].flatten(0, 1)
                proposed = self.policy(seen, generator).view(envs, proposals, -1).clamp(*bounds)
                action = torch.cat([action, proposed], 1)
            executed.append(action)
            repeated = action.unsqueeze(2).expand(*shape, -1).flatten(0, 2)
            next_observation, reward, terminated, state = self._step(
                observation, repeated, state, alive, generator
            )
            total = total + torch.where(alive, self.discount**step * reward, 0)
            alive = alive & ~terminated
            # terminated rows keep their last observation, which nothing reads
            observation = torch.where(alive.unsqueeze(-1), next_observation, observation)
        if self.terminal_value is not None:
            last_value = self.discount**horizon * self.terminal_value(observation)
            total = total + torch.where(alive, last_value, 0)
        return torch.stack(executed, 2), total.view(shape).mean(-1)

    def _step(
        self,
        observation: Tensor,
        action: Tensor,
        state: Tensor | None,
        alive: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Next observation, reward less penalty, termination and state of every row. The reward is
        NaN where the next observation is not finite.

        Raises:
            ConfigError: there is a penalty, but the model has no members.
        """
        prediction = step_unfinished(
            self.model,
            observation,
            action,
            state=state,
            alive=alive,
            generator=generator,
            members=self.penalty is not None,
        )
        following = prediction.next_observation
        reward = prediction.reward
        if self.reward is not None:
            reward = self.reward(observation, action, following)
        if self.penalty is not None:
            if prediction.members is None:
                raise ConfigError(
                    "a penalty on uncertainty needs an ensemble, but "
                    f"{type(self.model).__name__} has no members: leave penalty out"
                )
            sample = torch.cat([following, prediction.reward.unsqueeze(-1)], -1)
            reward = reward - self.penalty_weight * self.penalty(prediction.members, sample)
        reward = torch.where(following.isfinite().all(-1), reward, torch.nan)
        return following, reward, prediction.terminated, prediction.state


def _rows(values: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(envs, size) -> (envs * candidates * particles, size)."""
    return values[:, None, None].expand(*shape, -1).flatten(0, 2)
