"""TD3+BC (Fujimoto and Gu, 2021), and ReBRAC (Tarasov et al., 2023) as settings of it.

The target of the critics, with the target networks marked by a prime and eps ~ N(0, noise^2):

    y = r + gamma (1 - d) [min_j Q'_j(s', a') - beta_2 |a' - a_next|^2],
    a' = clip(pi'(s') + clip(eps, -noise_clip, noise_clip), -1, 1),
    L_Q = sum_j (Q_j(s, a) - y)^2,

where a_next is the next action of the dataset (beta_2 = 0 in TD3+BC). At every `actor_every`-th
update, the actor makes a step, and after it the target networks follow:

    L_pi = beta_1 |pi(s) - a|^2 - alpha Q(s, pi(s)) / mean |Q(s, pi(s))|.

TD3+BC has alpha = 2.5, beta_1 = 1 / (size of an action), Q = Q_1. ReBRAC has alpha = 1, Q = min_j
Q_j, layer normalisation in the critics, and beta_1 and beta_2 chosen for the task.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
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

ACTOR_VALUES = ("first", "least")
_TINY = 1e-10


@dataclass(frozen=True)
class TD3BCSettings(ModelFreeSettings):
    """All settings of TD3+BC; the defaults are those published for MuJoCo.

    Args:
        alpha: weight of the values in the actor's loss. They are divided by their mean magnitude,
            so rewards far from 0 on average, such as those of Pendulum-v1, need a greater weight.
        actor_penalty: beta_1, weight of the squared distance to the action of the dataset; None:
            1 / (size of an action), so that its mean over the coordinates counts.
        critic_penalty: beta_2, weight of the squared distance between the next actions in the
            target. Above 0, the last rows of episodes that were truncated are left out, since no
            next action is recorded for them.
        actor_value: the value that the actor climbs: "first" critic, or the "least" of all.
        critics: number of critics.
        layer_norm: normalise the outputs of the hidden layers of the critics.
        actor_layer_norm: the same for the actor.
        critic_rate: learning rate of the critics.
        discount: gamma.
        target_rate: step of the target networks.
        noise: standard deviation of the noise on the next actions, in half widths of the action
            space.
        noise_clip: bound of that noise.
        actor_every: updates of the critics per update of actor and target networks.
        return_range: scale the rewards so that the returns of the best and of the worst episode
            differ by this; None leaves them.

    Raises:
        ConfigError: a setting is out of its range.
    """

    alpha: float = 2.5
    actor_penalty: float | None = None
    critic_penalty: float = 0.0
    actor_value: str = "first"
    critics: int = 2
    layer_norm: bool = False
    actor_layer_norm: bool = False
    critic_rate: float = 3e-4
    discount: float = 0.99
    target_rate: float = 0.005
    noise: float = 0.2
    noise_clip: float = 0.5
    actor_every: int = 2
    return_range: float | None = None

    def check(self) -> None:
        """Check the settings of TD3+BC.

        Raises:
            ConfigError: one is out of its range.
        """
        require_least(self, 1, "critics", "actor_every")
        require_least(self, 0, "alpha", "critic_penalty", "noise", "noise_clip")
        require_above(self, 0, "critic_rate", "return_range")
        require_between(self, 0, 1, "discount")
        if not 0 < self.target_rate <= 1:
            raise ConfigError(f"target_rate {self.target_rate}: must be above 0 and at most 1")
        if self.actor_penalty is not None:
            require_least(self, 0, "actor_penalty")
        if self.alpha == 0 and self.actor_penalty == 0:
            raise ConfigError("alpha and actor_penalty are 0: the actor would learn nothing")
        if self.actor_value not in ACTOR_VALUES:
            near = did_you_mean(str(self.actor_value), ACTOR_VALUES)
            raise ConfigError(
                f"actor_value '{self.actor_value}'{near}: choose {', '.join(ACTOR_VALUES)}"
            )

    def usable(self, last: Tensor, terminated: Tensor, returns: Tensor) -> Tensor:
        """Rows with a target, (n,) bool; see `ModelFreeSettings.usable` for the arguments, of
        shapes (n,), (n,) and (episodes,).
        """
        return ~last | terminated if self.critic_penalty > 0 else torch.ones_like(last)

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
    ) -> TD3BC:
        """The untrained learner, see `ModelFreeSettings.learner`."""
        return TD3BC(observation, action, self, seeds=seeds, generator=generator)


REBRAC = TD3BCSettings(
    hidden=(256, 256, 256),
    batch=1024,
    actor_rate=1e-3,
    normalise=False,
    initial_values="small",
    alpha=1.0,
    actor_penalty=0.01,
    critic_penalty=0.01,
    actor_value="least",
    layer_norm=True,
    critic_rate=1e-3,
)
"""ReBRAC; both penalties are chosen for the task (published: 5e-4 to 1 and 0 to 0.5)."""


class TD3BC(Learner):
    """Actors, critics and their target networks of `seeds` trainings.

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
        settings: TD3BCSettings,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        penalty = settings.actor_penalty
        self.actor_penalty = 1 / action if penalty is None else penalty
        self.actor = Actor(
            observation,
            action,
            settings.hidden,
            seeds=seeds,
            layer_norm=settings.actor_layer_norm,
            initial_values=settings.initial_values,
            generator=generator,
        )
        self.critics = Values(
            observation + action,
            settings.critics,
            settings.hidden,
            seeds=seeds,
            layer_norm=settings.layer_norm,
            initial_values=settings.initial_values,
            generator=generator,
        )
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)

    def optimizers(self) -> list[Optimizer]:
        """Adam for actor and critics."""
        settings = self.settings
        return [
            torch.optim.Adam(self.actor.parameters(), settings.actor_rate, fused=True),
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
        target = self.target(batch, generator)
        values = self.critics(batch.observation, batch.action)
        critic_loss = (values - target.unsqueeze(1)).square().mean(-1).sum(1)
        minimise(optimizers[1], list(self.critics.parameters()), critic_loss.sum())
        statistics = {"critic_loss": critic_loss.detach(), "q": values.detach().mean((1, 2))}
        if number % self.settings.actor_every == 0:
            actor_loss, distance = self.actor_loss(batch)
            minimise(optimizers[0], list(self.actor.parameters()), actor_loss.sum())
            follow(self.target_critics, self.critics, self.settings.target_rate)
            follow(self.target_actor, self.actor, self.settings.target_rate)
            statistics |= {"actor_loss": actor_loss.detach(), "distance": distance.detach()}
        return statistics

    @torch.no_grad()
    def target(self, batch: LoggedBatch, generator: torch.Generator | None = None) -> Tensor:
        """Targets y of the critics, (seeds, batch).

        Args:
            batch: rows of the dataset.
            generator: of the noise on the next actions.
        """
        settings = self.settings
        action = self.target_actor(batch.next_observation)
        noise = torch.randn(
            action.shape, generator=generator, device=action.device, dtype=action.dtype
        )
        noise = (noise * settings.noise).clamp(-settings.noise_clip, settings.noise_clip)
        action = (action + noise).clamp(-1, 1)
        value: Tensor = self.target_critics(batch.next_observation, action).amin(1)
        if settings.critic_penalty > 0:
            distance = (action - batch.next_action).square().sum(-1)
            value = value - settings.critic_penalty * distance
        return batch.reward + settings.discount * (1 - batch.terminated) * value

    def actor_loss(self, batch: LoggedBatch) -> tuple[Tensor, Tensor]:
        """Loss of the actor, (seeds,), and the mean squared distance to the actions of the dataset,
        (seeds,).

        Args:
            batch: rows of the dataset.
        """
        action = self.actor(batch.observation)
        values = self.critics(batch.observation, action)
        value = values[:, 0] if self.settings.actor_value == "first" else values.amin(1)
        scale = value.detach().abs().mean(-1).clamp_min(_TINY)
        distance = (action - batch.action).square().sum(-1).mean(-1)
        loss = self.actor_penalty * distance - self.settings.alpha * value.mean(-1) / scale
        return loss, distance


def for_dataset(
    dataset: str,
    environment: str | dict[str, Any] | None = None,
    settings: TD3BCSettings | None = None,
    seed: int = 0,
    seeds: int = 1,
    epochs: int = 100,
    check_every: int = 10,
    check_episodes: int = 10,
) -> ModelFreeModule:
    """TD3+BC on a dataset, as `class_path` in a YAML file (`worldplan fit`).

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
        settings or TD3BCSettings(),
        seed=seed,
        seeds=seeds,
        epochs=epochs,
        check_every=check_every,
        check_episodes=check_episodes,
    )
