"""LEQ, lower expectile Q-learning of lambda-returns (Park and Lee, 2025): a critic and a
deterministic policy from imagined trajectories in a learned model.

From states s_0 that short noisy rollouts have visited, the policy is followed for H steps in the
ensemble. With q_i = Q(s_i, pi(s_i)), and m_i = 1 until the trajectory terminates, then 0,

    R_H = q_H,    R_i = [q_i + lambda c_i (m_i r_i + m_(i+1) gamma R_(i+1))] / (1 + lambda c_i),
    c_(H-1) = 1,  c_(i-1) = 1 + lambda c_i,

is the mean of the k-step returns, k = 0..H-i, with weights proportional to lambda^k. With
w(x) = tau where x > 0, else 1 - tau (tau < 1/2: a lower expectile), and the present critic in all
targets,

    L_Q = (1 - beta) E_data [(r + gamma (1 - d) Q(s', pi(s')) - Q(s, a))^2 / 2 + (Q' - Q)^2]
          + beta E_model mean_i m_i gamma^i [w(R_i - q_i) (R_i - q_i)^2 + (Q' - q_i)^2],
    L_pi = - E_model sum_i m_i w(R_i - q_i) <dR_i / da_i, pi(s_i)>,    w = 1/2 at i = H,

where Q' follows Q slowly, and dR_i / da_i runs through the model, the later actions and the critic.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.imagination import (
    Imagined,
    ModelInUnits,
    imagine,
    noisy_rollouts,
)
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
from worldplan.planners.offline.model_free.networks import Actor
from worldplan.planners.offline.replay import RingBuffer
from worldplan.planners.offline.symlog import SymlogCritics
from worldplan.planners.offline.task import dataset_task

if TYPE_CHECKING:
    from worldplan.planners.offline.leq_training import LEQModule


@dataclass(frozen=True)
class LEQSettings(ModelFreeSettings):
    """All settings of LEQ; the defaults are those published, but for `symlog`. Other than in the
    public code, a constant column of observations is divided by its magnitude, and observations
    have the statistics of the dataset, not those of the ensemble's training.

    Args:
        expectile: tau of the lambda-returns; published: 0.1 to 0.5, chosen for the task.
        trace: lambda.
        horizon: H, steps of an imagined trajectory.
        model_share: beta, weight of the imagined trajectories in the critic's loss.
        starts: noisy rollouts per epoch and seed, whose states imagined trajectories begin in.
        steps: of such a rollout.
        retain: epochs of rollouts that are kept.
        noise: standard deviation of the noise of these rollouts, before the tanh of the policy.
        critic_rate: learning rate of the critic.
        discount: gamma.
        target_rate: step of Q'.
        actor_decay: updates over which the actor's learning rate falls to 0 along a cosine, for a
            training as long as published; None keeps it.
        return_range: scale the rewards so that the returns of the best and of the worst episode
            differ by this (published for MuJoCo: 1000); None leaves them.
        symlog: as the public code, let the networks see sign(x) log(1 + |x|) of their inputs, after
            scaling: observations, and for the critic actions, which are then scaled as well.

    Raises:
        ConfigError: a setting is out of its range.
    """

    NEEDS_MODEL: ClassVar[bool] = True

    hidden: tuple[int, ...] = (256, 256, 256)
    actor_rate: float = 3e-5
    expectile: float = 0.1
    trace: float = 0.95
    horizon: int = 10
    model_share: float = 0.25
    starts: int = 50_000
    steps: int = 5
    retain: int = 5
    noise: float = 1.0
    critic_rate: float = 1e-4
    discount: float = 0.997
    target_rate: float = 0.005
    actor_decay: int | None = 1_000_000
    return_range: float | None = None
    symlog: bool = False

    def check(self) -> None:
        """Check the settings of LEQ.

        Raises:
            ConfigError: one is out of its range.
        """
        require_least(self, 1, "horizon", "starts", "steps", "retain")
        require_least(self, 0, "noise")
        require_above(self, 0, "critic_rate", "actor_decay", "return_range")
        require_between(self, 0, 1, "expectile", "discount")
        if not 0 <= self.trace <= 1 or not 0 <= self.model_share <= 1:
            raise ConfigError(
                f"trace {self.trace} and model_share {self.model_share}: must be from 0 to 1"
            )
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
    ) -> LEQ:
        """The untrained learner, see `ModelFreeSettings.learner`."""
        return LEQ(observation, action, self, seeds=seeds, generator=generator)


class LEQ(Learner):
    """Actors, critics, their slow copies, and the states in which trajectories begin, of `seeds`
    trainings.

    Args:
        observation: size of an observation.
        action: size of an action.
        settings: of the method.
        seeds: trainings side by side.
        generator: of the initial weights.

    Attributes:
        model: where trajectories are imagined; set before the first update.
    """

    critics: Critics
    model: ModelInUnits

    def __init__(
        self,
        observation: int,
        action: int,
        settings: LEQSettings,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.seeds = settings, seeds
        self.actor = Actor(
            observation,
            action,
            settings.hidden,
            seeds=seeds,
            initial_values=settings.initial_values,
            sees_symlog=settings.symlog,
            generator=generator,
        )
        kind = SymlogCritics if settings.symlog else Critics
        self.critics = kind(
            observation,
            action,
            1,
            settings.hidden,
            layer_norm=True,
            seeds=seeds,
            generator=generator,
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.visited = RingBuffer(
            seeds, settings.starts * settings.steps * settings.retain, observation
        )

    def optimizers(self) -> list[Optimizer]:
        """Adam for actor and critic."""
        settings = self.settings
        return [
            torch.optim.Adam(self.actor.parameters(), settings.actor_rate, fused=True),
            torch.optim.Adam(self.critics.parameters(), settings.critic_rate, fused=True),
        ]

    def explore(self, rows: Tensor, generator: torch.Generator) -> None:
        """Roll the noisy policy out from random ones of the observations `rows` (n, observation),
        and keep the visited states.
        """
        settings = self.settings
        index = torch.randint(
            len(rows), (self.seeds, settings.starts), generator=generator, device=rows.device
        )
        visited, keep = noisy_rollouts(
            self.model, self.actor, rows[index], settings.steps, settings.noise, generator
        )
        self.visited.add(visited, keep)

    def update(
        self,
        batch: LoggedBatch,
        optimizers: list[Optimizer],
        number: int,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """One update of actor and critic, see `Learner.update`; statistics (seeds,)."""
        settings = self.settings
        starts = self.visited.draw(settings.batch, generator)
        imagined = imagine(
            self.model,
            self.actor,
            self.critics,
            starts,
            settings.horizon,
            settings.discount,
            settings.trace,
            generator,
        )
        critic_loss, q = self.critic_loss(batch, imagined)
        actor_loss = self.actor_loss(imagined)
        for group in optimizers[0].param_groups:
            group["lr"] = self.actor_rate(number)
        minimise(optimizers[0], list(self.actor.parameters()), actor_loss.sum())
        minimise(optimizers[1], list(self.critics.parameters()), critic_loss.sum())
        follow(self.target_critics, self.critics, settings.target_rate)
        return {
            "critic_loss": critic_loss.detach(),
            "actor_loss": actor_loss.detach(),
            "q": q,
            "imagined_return": imagined.returns[0].mean(-1),
            "imagined_length": imagined.alive[:-1].sum(0).mean(-1),
        }

    def critic_loss(self, batch: LoggedBatch, imagined: Imagined) -> tuple[Tensor, Tensor]:
        """Loss of the critics, and their mean values on the dataset, each (seeds,).

        Args:
            batch: rows of the dataset.
            imagined: trajectories.
        """
        settings = self.settings
        with torch.no_grad():
            action = self.actor(batch.next_observation)
            following = self.critics(batch.next_observation, action)[:, 0]
            target = batch.reward + settings.discount * (1 - batch.terminated) * following
            slow = self.target_critics(batch.observation, batch.action)[:, 0]
        value = self.critics(batch.observation, batch.action)[:, 0]
        data = (0.5 * (target - value).square() + (slow - value).square()).mean(-1)

        states, actions, returns = (
            _joined(part[:-1])
            for part in (imagined.states, imagined.actions, imagined.returns.unsqueeze(-1))
        )
        steps = torch.arange(settings.horizon, device=returns.device, dtype=returns.dtype)
        weight = imagined.alive[:-1] * (settings.discount**steps)[:, None, None]
        weight = _joined(weight.unsqueeze(-1))[..., 0]
        with torch.no_grad():
            slow = self.target_critics(states, actions)[:, 0]
        values = self.critics(states, actions)[:, 0]
        error = returns[..., 0] - values
        sided = torch.where(error > 0, settings.expectile, 1 - settings.expectile).detach()
        model = (weight * (sided * error.square() + (slow - values).square())).mean(-1)
        loss = (1 - settings.model_share) * data + settings.model_share * model
        return loss, value.detach().mean(-1)

    def actor_loss(self, imagined: Imagined) -> Tensor:
        """Loss of the actor, (seeds,).

        Args:
            imagined: trajectories.
        """
        tau = self.settings.expectile
        sided = torch.where(imagined.returns > imagined.values, tau, 1 - tau)
        sided[-1] = 0.5
        weighted = (imagined.alive * sided).unsqueeze(-1) * imagined.gradients
        actions = self.actor(_joined(imagined.states))
        batch = imagined.states.shape[2]
        loss: Tensor = -(_joined(weighted) * actions).sum((1, 2)) / batch
        return loss

    def actor_rate(self, number: int) -> float:
        """Learning rate of the actor in the update of this number, from 1."""
        rate, decay = self.settings.actor_rate, self.settings.actor_decay
        if decay is None:
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * min(number - 1, decay) / decay))


def _joined(part: Tensor) -> Tensor:
    """(steps, seeds, batch, size) -> (seeds, steps * batch, size)."""
    steps, seeds, batch, size = part.shape
    return part.transpose(0, 1).reshape(seeds, steps * batch, size)


def for_dataset(
    dataset: str,
    ensemble: str,
    environment: str | dict[str, Any] | None = None,
    termination: str | None = None,
    settings: LEQSettings | None = None,
    seed: int = 0,
    seeds: int = 1,
    epochs: int = 100,
    check_every: int = 10,
    check_episodes: int = 10,
) -> LEQModule:
    """LEQ on a dataset, as `class_path` in a YAML file (`worldplan fit`).

    Args:
        dataset: a Minari id, a .hdf5 or .npz file.
        ensemble: checkpoint of a trained ensemble.
        environment: of the evaluation, see `worldplan.planners.offline.task.dataset_task`.
        termination: name of a termination function, "module:function", or "learned"; None chooses
            by the environment's name.
        settings: of the method.
        seed: of all random numbers of the training.
        seeds: trainings side by side.
        epochs: rounds of updates; the paper makes a million updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: dataset, environment, ensemble and settings do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    from worldplan.planners.offline.leq_training import LEQModule  # imports Lightning

    return LEQModule(
        dataset_task(dataset, environment=environment, ensemble=ensemble, termination=termination),
        settings,
        seed=seed,
        seeds=seeds,
        epochs=epochs,
        check_every=check_every,
        check_episodes=check_episodes,
    )
