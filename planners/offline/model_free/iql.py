"""Implicit Q-learning (IQL; Kostrikov, Nair and Levine, 2022), with the options of RIQL (Yang et
al., 2024) for corrupted data.

With A = Q'(s, a) - V(s), where Q' is the least of the target critics or, in RIQL, a quantile of
them:

    L_V  = |tau - 1(A < 0)| A^2,
    L_Q  = mean_j loss(r + gamma (1 - d) V(s') - Q_j(s, a)),
    L_pi = -min(exp(beta A), 100) log pi(a | s),

with loss(x) = x^2 or, in RIQL, the Huber loss x^2 / (2 delta) for |x| < delta, |x| - delta / 2
beyond. No action that is not in the dataset is evaluated. V and Q' are those of before the update
in all three losses. Other than in RIQL's public code, targets are not clamped, and `initial_values`
and the observations' scale are those of IQL.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.model_free.learner import (
    Learner,
    LoggedBatch,
    ModelFreeSettings,
    follow,
    minimise,
    require_above,
    require_between,
    require_least,
    scale_to_range,
)
from worldplan.planners.offline.model_free.networks import Actor, Values
from worldplan.planners.offline.task import model_free_task

if TYPE_CHECKING:
    from worldplan.planners.offline.model_free.training import ModelFreeModule

_LARGEST_WEIGHT = 100.0  # of a row in the actor's loss


@dataclass(frozen=True)
class IQLSettings(ModelFreeSettings):
    """All settings of IQL; the defaults are those published for MuJoCo.

    Args:
        expectile: tau.
        temperature: beta, inverse temperature; towards 0 the policy imitates all rows alike.
        critics: number of critics; RIQL takes 5.
        quantile: of the target critics that takes the place of their minimum (RIQL: 0.1 to 0.5);
            None takes the minimum.
        huber: delta of the Huber loss of the critics (RIQL: 0.11, 1, 4 or 100, chosen for the
            corruption); None takes the square.
        deterministic: whether the actor is deterministic, with |pi(s) - a|^2 in the place of
            -log pi(a | s).
        value_rate: learning rate of V.
        critic_rate: learning rate of the critics.
        discount: gamma.
        target_rate: step of the target critics.
        actor_decay: updates over which the actor's learning rate falls to 0 along a cosine, for a
            training as long as published; None keeps it.
        return_range: scale the rewards so that the returns of the best and of the worst episode
            differ by this (the paper: 1000, the scale that `temperature` was chosen for); None
            leaves them, as in some public code.

    Raises:
        ConfigError: a setting is out of its range.
    """

    expectile: float = 0.7
    temperature: float = 3.0
    critics: int = 2
    quantile: float | None = None
    huber: float | None = None
    deterministic: bool = False
    value_rate: float = 3e-4
    critic_rate: float = 3e-4
    discount: float = 0.99
    target_rate: float = 0.005
    actor_decay: int | None = 1_000_000
    return_range: float | None = None

    def check(self) -> None:
        """Check the settings of IQL.

        Raises:
            ConfigError: one is out of its range.
        """
        require_least(self, 1, "critics")
        require_least(self, 0, "temperature")
        require_above(self, 0, "huber", "value_rate", "critic_rate", "actor_decay", "return_range")
        require_between(self, 0, 1, "expectile", "discount")
        if self.quantile is not None and not 0 <= self.quantile <= 1:
            raise ConfigError(f"quantile {self.quantile}: must be from 0 to 1")
        if not 0 < self.target_rate <= 1:
            raise ConfigError(f"target_rate {self.target_rate}: must be above 0 and at most 1")

    def reward_factor(self, returns: Tensor) -> float:
        """See `return_range`; for returns (episodes,)."""
        return 1.0 if self.return_range is None else scale_to_range(returns, self.return_range)

    def learner(
        self,
        observation: int,
        action: int,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> IQL:
        """The untrained learner, see `ModelFreeSettings.learner`."""
        return IQL(observation, action, self, seeds=seeds, generator=generator)


RIQL = IQLSettings(critics=5, quantile=0.25, huber=1.0, deterministic=True)
"""RIQL; critics, quantile and huber are chosen for the task."""


class IQL(Learner):
    """Actors, values, critics and target critics of `seeds` trainings.

    Args:
        observation: size of an observation.
        action: size of an action.
        settings: of the method.
        seeds: trainings side by side.
        generator: of the initial weights.
    """

    critics: Values

    def __init__(
        self,
        observation: int,
        action: int,
        settings: IQLSettings,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.actor = Actor(
            observation,
            action,
            settings.hidden,
            seeds=seeds,
            gaussian=not settings.deterministic,
            initial_values=settings.initial_values,
            generator=generator,
        )
        self.value, self.critics = (
            Values(
                size,
                count,
                settings.hidden,
                seeds=seeds,
                initial_values=settings.initial_values,
                generator=generator,
            )
            for size, count in ((observation, 1), (observation + action, settings.critics))
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)

    def optimizers(self) -> list[Optimizer]:
        """Adam for actor, values and critics."""
        settings = self.settings
        return [
            torch.optim.Adam(self.actor.parameters(), settings.actor_rate, fused=True),
            torch.optim.Adam(self.value.parameters(), settings.value_rate, fused=True),
            torch.optim.Adam(self.critics.parameters(), settings.critic_rate, fused=True),
        ]

    def update(
        self,
        batch: LoggedBatch,
        optimizers: list[Optimizer],
        number: int,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """One update, see `Learner.update`; statistics (seeds,)."""
        of_actor, of_value, of_critics = optimizers
        settings = self.settings
        with torch.no_grad():
            taken = self.pessimistic(self.target_critics(batch.observation, batch.action))
            following = self.value(batch.next_observation)[:, 0]
            target = batch.reward + settings.discount * (1 - batch.terminated) * following
        advantage = taken - self.value(batch.observation)[:, 0]
        weight = torch.where(advantage < 0, 1 - settings.expectile, settings.expectile)
        value_loss = (weight * advantage.square()).mean(-1)
        minimise(of_value, list(self.value.parameters()), value_loss.sum())

        values = self.critics(batch.observation, batch.action)
        critic_loss = self._loss(target.unsqueeze(1) - values).mean((1, 2))
        minimise(of_critics, list(self.critics.parameters()), critic_loss.sum())
        follow(self.target_critics, self.critics, settings.target_rate)

        actor_loss = self.actor_loss(batch, advantage.detach())
        for group in of_actor.param_groups:
            group["lr"] = self.actor_rate(number)
        minimise(of_actor, list(self.actor.parameters()), actor_loss.sum())
        return {
            "critic_loss": critic_loss.detach(),
            "value_loss": value_loss.detach(),
            "actor_loss": actor_loss.detach(),
            "q": values.detach().mean((1, 2)),
            "advantage": advantage.detach().mean(-1),
        }

    def pessimistic(self, values: Tensor) -> Tensor:
        """Q' (seeds, batch) out of the values of all target critics (seeds, critics, batch)."""
        if self.settings.quantile is None:
            return values.amin(1)
        return values.quantile(self.settings.quantile, dim=1)

    def actor_loss(self, batch: LoggedBatch, advantage: Tensor) -> Tensor:
        """Loss of the actor, (seeds,).

        Args:
            batch: rows of the dataset.
            advantage: A, (seeds, batch).
        """
        weight = (self.settings.temperature * advantage).exp().clamp_max(_LARGEST_WEIGHT)
        if self.settings.deterministic:
            distance = (self.actor(batch.observation) - batch.action).square().sum(-1)
        else:
            distance = -self.actor.log_density(batch.observation, batch.action)
        loss: Tensor = (weight * distance).mean(-1)
        return loss

    def actor_rate(self, number: int) -> float:
        """Learning rate of the actor in the update of this number, from 1."""
        rate, decay = self.settings.actor_rate, self.settings.actor_decay
        if decay is None:
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * min(number - 1, decay) / decay))

    def _loss(self, error: Tensor) -> Tensor:
        delta = self.settings.huber
        if delta is None:
            return error.square()
        size = error.abs()
        return torch.where(size < delta, size.square() / (2 * delta), size - delta / 2)


def for_dataset(
    dataset: str,
    environment: str | dict[str, Any] | None = None,
    settings: IQLSettings | None = None,
    seed: int = 0,
    seeds: int = 1,
    epochs: int = 100,
    check_every: int = 10,
    check_episodes: int = 10,
) -> ModelFreeModule:
    """IQL on a dataset, as `class_path` in a YAML file (`worldplan fit`).

    Args:
        dataset: a Minari id, a .hdf5 or .npz file.
        environment: of the evaluation, see `worldplan.planners.offline.task.dataset_task`.
        settings: of the method.
        seed: of all random numbers of the training.
        seeds: trainings side by side.
        epochs: rounds of updates; the paper makes a million updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.

    Raises:
        ConfigError: dataset, environment and settings do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    from worldplan.planners.offline.model_free.training import ModelFreeModule  # imports Lightning

    return ModelFreeModule(
        model_free_task(dataset, environment=environment),
        settings or IQLSettings(),
        seed=seed,
        seeds=seeds,
        epochs=epochs,
        check_every=check_every,
        check_episodes=check_episodes,
    )
