"""Behaviour cloning (BC): the policy imitates the actions of the dataset,

    L_pi = E_{(s, a) ~ D} mean_i (pi(s)_i - a_i)^2,

optionally only those of the best episodes (in the manner of BC-10 % of Chen et al., 2021; the share
is of the episodes, not of the rows).
"""

from __future__ import annotations

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
    minimise,
)
from worldplan.planners.offline.model_free.networks import Actor
from worldplan.planners.offline.task import model_free_task

if TYPE_CHECKING:
    from worldplan.planners.offline.model_free.training import ModelFreeModule


@dataclass(frozen=True)
class BehaviourCloningSettings(ModelFreeSettings):
    """All settings of behaviour cloning.

    Args:
        best_share: share of the episodes, those of highest return, that are imitated; at least one
            episode is.

    Raises:
        ConfigError: a setting is out of its range.
    """

    best_share: float = 1.0

    def check(self) -> None:
        """Check the settings of behaviour cloning.

        Raises:
            ConfigError: one is out of its range.
        """
        if not 0 < self.best_share <= 1:
            raise ConfigError(f"best_share {self.best_share}: must be above 0 and at most 1")

    def usable(self, last: Tensor, terminated: Tensor, returns: Tensor) -> Tensor:
        """Which rows are imitated, (n,) bool; see `ModelFreeSettings.usable` for the arguments, of
        shapes (n,), (n,) and (episodes,).
        """
        best = torch.zeros_like(returns, dtype=torch.bool)
        count = max(1, int(self.best_share * len(returns)))
        best[returns.argsort(descending=True, stable=True)[:count]] = True
        return best[last.long().cumsum(0) - last.long()]

    def learner(
        self,
        observation: int,
        action: int,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> BehaviourCloning:
        """The untrained learner, see `ModelFreeSettings.learner`."""
        return BehaviourCloning(observation, action, self, seeds=seeds, generator=generator)


class BehaviourCloning(Learner):
    """The actors of `seeds` trainings.

    Args:
        observation: size of an observation.
        action: size of an action.
        settings: of the method.
        seeds: trainings side by side.
        generator: of the initial weights.
    """

    def __init__(
        self,
        observation: int,
        action: int,
        settings: BehaviourCloningSettings,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.critics = None
        self.actor = Actor(
            observation,
            action,
            settings.hidden,
            seeds=seeds,
            initial_values=settings.initial_values,
            generator=generator,
        )

    def optimizers(self) -> list[Optimizer]:
        """Adam for the actor."""
        return [torch.optim.Adam(self.actor.parameters(), self.settings.actor_rate, fused=True)]

    def update(
        self,
        batch: LoggedBatch,
        optimizers: list[Optimizer],
        number: int,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """One update of the actor, see `Learner.update`; statistics (seeds,)."""
        loss = (self.actor(batch.observation) - batch.action).square().mean((1, 2))
        minimise(optimizers[0], list(self.actor.parameters()), loss.sum())
        return {"actor_loss": loss.detach()}


def for_dataset(
    dataset: str,
    environment: str | dict[str, Any] | None = None,
    settings: BehaviourCloningSettings | None = None,
    seed: int = 0,
    seeds: int = 1,
    epochs: int = 100,
    check_every: int = 10,
    check_episodes: int = 10,
) -> ModelFreeModule:
    """Behaviour cloning of a dataset, as `class_path` in a YAML file (`worldplan fit`).

    Args:
        dataset: a Minari id, a .hdf5 or .npz file.
        environment: of the evaluation, see `worldplan.planners.offline.task.dataset_task`.
        settings: of the method.
        seed: of all random numbers of the training.
        seeds: trainings side by side.
        epochs: rounds of updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.

    Raises:
        ConfigError: dataset, environment and settings do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    from worldplan.planners.offline.model_free.training import ModelFreeModule  # imports Lightning

    return ModelFreeModule(
        model_free_task(dataset, environment=environment),
        settings or BehaviourCloningSettings(),
        seed=seed,
        seeds=seeds,
        epochs=epochs,
        check_every=check_every,
        check_episodes=check_episodes,
    )
