"""What the model-free methods have in common: settings, a batch, and the interface of a learner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.model_free.networks import INITIAL_VALUES, Actor, Values


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Rows of a dataset for every seed, with actions in the unit box.

    Args:
        observation: (seeds, batch, observation).
        action: (seeds, batch, action).
        reward: (seeds, batch).
        next_observation: (seeds, batch, observation).
        terminated: (seeds, batch), 0 or 1.
        next_action: (seeds, batch, action), of the next row of the episode; 0 after its last row.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    next_action: Tensor


@dataclass(frozen=True)
class ModelFreeSettings(ABC):
    """Settings that all model-free methods have.

    Args:
        hidden: widths of the hidden layers of all networks.
        batch: rows per update and seed.
        updates: gradient updates per epoch.
        actor_rate: learning rate of the actor.
        normalise: bring each observation column to mean 0 and standard deviation 1 over the
            dataset.
        initial_values: of the networks: "linear", as in torch.nn.Linear; "small", as in EDAC:
            hidden biases 0.1, and a last layer near 0.

    Raises:
        ConfigError: a setting is out of its range.
    """

    NEEDS_MODEL: ClassVar[bool] = False  # whether its task must have a learned ensemble

    hidden: tuple[int, ...] = (256, 256)
    batch: int = 256
    updates: int = 1000
    actor_rate: float = 3e-4
    normalise: bool = True
    initial_values: str = "linear"

    def __post_init__(self) -> None:
        check_fields(self)
        require_least(self, 1, "batch", "updates")
        require_above(self, 0, "actor_rate")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                f"hidden {list(self.hidden)}: give at least one layer of at least one unit"
            )
        if self.initial_values not in INITIAL_VALUES:
            near = did_you_mean(str(self.initial_values), INITIAL_VALUES)
            raise ConfigError(
                f"initial_values '{self.initial_values}'{near}: choose {', '.join(INITIAL_VALUES)}"
            )
        self.check()

    def check(self) -> None:  # noqa: B027  # optional
        """Check the settings of the method itself.

        Raises:
            ConfigError: one is out of its range.
        """

    def usable(self, last: Tensor, terminated: Tensor, returns: Tensor) -> Tensor:
        """Which rows of the dataset are drawn, (n,) bool; by default all.

        Args:
            last: whether a row ends its episode, (n,) bool.
            terminated: whether it terminates it, (n,) bool.
            returns: of the episodes, (episodes,).
        """
        return torch.ones_like(last)

    def reward_factor(self, returns: Tensor) -> float:
        """What rewards are multiplied by, given the returns of the episodes, (episodes,)."""
        return 1.0

    @abstractmethod
    def learner(
        self,
        observation: int,
        action: int,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> Learner:
        """The untrained learner.

        Args:
            observation: size of an observation.
            action: size of an action.
            seeds: trainings side by side.
            generator: of the initial weights.
        """


class Learner(nn.Module, ABC):
    """Networks and update of one method, for `seeds` independent trainings.

    Attributes:
        actor: the policies.
        critics: value networks Q(s, a); None for a method without.
    """

    actor: Actor
    critics: Values | Critics | None

    @abstractmethod
    def optimizers(self) -> list[Optimizer]:
        """The optimisers of `update`."""

    @abstractmethod
    def update(
        self,
        batch: LoggedBatch,
        optimizers: list[Optimizer],
        number: int,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """One update.

        Args:
            batch: rows of the dataset.
            optimizers: those of `optimizers()`.
            number: of the update, from 1.
            generator: of the random numbers of the update.

        Returns:
            Statistics by name, each (seeds,), still on the device.
        """


def minimise(optimizer: Optimizer, parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
    """Make one step along the gradient of `loss`, a scalar; no other parameters get a gradient."""
    optimizer.zero_grad()
    # backward gives each `grad` the strides of its parameter, which a fused optimiser needs
    torch.autograd.backward(loss, inputs=list(parameters))
    optimizer.step()


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move the weights of `target` by the share `rate` towards those of `source`."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)


def scale_to_range(returns: Tensor, wanted: float) -> float:
    """The factor of rewards with which the returns (episodes,) of the best and of the worst episode
    differ by `wanted`.

    Raises:
        ConfigError: all returns are equal.
    """
    width = float(returns.max() - returns.min())
    if not width > 0:
        raise ConfigError(
            f"return_range {wanted}: all episodes of the dataset have the same return: leave it out"
        )
    return wanted / width


def require_least(settings: object, least: float, *names: str) -> None:
    """Check numbers that must not be below `least`.

    Raises:
        ConfigError: one is.
    """
    for name in names:
        if getattr(settings, name) < least:
            raise ConfigError(f"{name} {getattr(settings, name)}: must be at least {least}")


def require_above(settings: object, bound: float, *names: str) -> None:
    """Check numbers that must be above `bound`; None is allowed.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value > bound:
            raise ConfigError(f"{name} {value}: must be above {bound}")


def require_between(settings: object, low: float, high: float, *names: str) -> None:
    """Check numbers that must be strictly between two bounds; None is allowed.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not low < value < high:
            raise ConfigError(f"{name} {value}: must be between {low} and {high}")
