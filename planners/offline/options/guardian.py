"""The guardian of OGSRL (Yan et al., 2025): model rollouts stay where the data are.

A kernel density estimate over state-action pairs of the dataset, with columns scaled to [-1, 1],

    log p(s, a) = log mean_i exp(-|(s, a) - (s_i, a_i)|^2 / (2 bandwidth^2)) + constant,

calls a pair outside whose density is below a quantile of those of the data's own pairs. A rollout
ends with its first step from such a pair, as if the state were kept for ever with a given reward
and cost a step: reward / (1 - gamma), cost / (1 - gamma).

As in the public code of OGSRL: kernel, scaling, quantile (0.05), and the penalty for ever in both
reward and cost; there the episode goes on to its 20th step. Differences: a random part of the data
are the centres, the density of a centre leaves itself out, the bandwidth is Scott's rule by default
(0.535 there, for one dataset), and the paper's guarantees, which need its polynomial sublevel sets,
do not carry over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from worldplan.envs.dynamics.model import DynamicsModel, Prediction
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.planners.offline.replay import Batch, unpack

if TYPE_CHECKING:
    from worldplan.planners.offline.settings import ReachAwareSettings
    from worldplan.planners.offline.task import OfflineTask

_EXACT = "donot_use_mm_for_euclid_dist"  # the product form loses near distances to rounding
_CHUNK = 4096  # pairs whose distances to all centres are held at once


@dataclass(frozen=True)
class Guardian:
    """Where rollouts end, and at which price.

    Args:
        reward: of every step from the first one outside; should be below all rewards of the data.
        cost: of every such step, in a task with a budget of costs.
        quantile: share of the data's pairs that counts as outside.
        bandwidth: of the kernel, where columns range over [-1, 1]; None: Scott's rule.
        centres: pairs of the dataset that the density is made of, at most.

    Raises:
        ConfigError: a number is out of its range.
    """

    reward: float
    cost: float = 1.0
    quantile: float = 0.05
    bandwidth: float | None = None
    centres: int = 2000

    def __post_init__(self) -> None:
        check_fields(self, "guardian.")
        if not 0 < self.quantile < 1:
            raise ConfigError(f"guardian.quantile {self.quantile}: must be between 0 and 1")
        if self.cost < 0:
            raise ConfigError(f"guardian.cost {self.cost}: must not be negative")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ConfigError(f"guardian.bandwidth {self.bandwidth}: must be above 0")
        if self.centres < 2:
            raise ConfigError(f"guardian.centres {self.centres}: must be at least 2")


class Support(nn.Module):
    """The state-action pairs that the data support.

    Args:
        batch: all rows of a dataset, (n, ...).
        settings: of the guardian.
        generator: of the choice of the centres.

    Raises:
        ConfigError: there are fewer than 2 rows.
    """

    low: Tensor
    scale: Tensor
    centres: Tensor
    threshold: Tensor

    def __init__(self, batch: Batch, settings: Guardian, generator: torch.Generator) -> None:
        super().__init__()
        pairs = torch.cat([batch.observation, batch.action], -1)
        if len(pairs) < 2:
            raise ConfigError("guardian: the dataset has a single row: collect more")
        low, high = pairs.amin(0), pairs.amax(0)
        self.register_buffer("low", low)
        self.register_buffer("scale", torch.where(high > low, (high - low) / 2, 1.0))
        chosen = torch.randperm(len(pairs), generator=generator)[: settings.centres]
        centres = self._scaled(pairs[chosen])
        self.register_buffer("centres", centres)
        self.bandwidth = settings.bandwidth or _scott(centres)
        without_itself = self._log_density(centres, leave_out=True)
        self.register_buffer("threshold", torch.quantile(without_itself, settings.quantile))

    def _scaled(self, pairs: Tensor) -> Tensor:
        return (pairs - self.low) / self.scale - 1

    def log_density(self, pairs: Tensor) -> Tensor:
        """log p (n,) of pairs (n, observation + action), without the constant."""
        return self._log_density(self._scaled(pairs))

    def _log_density(self, scaled: Tensor, *, leave_out: bool = False) -> Tensor:
        """log p (n,) of scaled pairs; of the centres with `leave_out`, each without itself."""
        parts = []
        for first in range(0, len(scaled), _CHUNK):
            part = scaled[first : first + _CHUNK]
            distance = torch.cdist(part, self.centres, compute_mode=_EXACT)
            exponent = -distance.square() / (2 * self.bandwidth**2)
            if leave_out:
                exponent[:, first : first + len(part)].fill_diagonal_(-torch.inf)
            parts.append(torch.logsumexp(exponent, -1))
        return torch.cat(parts) - math.log(len(self.centres) - leave_out)

    @torch.no_grad()
    def outside(self, observation: Tensor, action: Tensor) -> Tensor:
        """Whether the data do not support a pair, (n,) bool; NaN counts as outside.

        Args:
            observation: (n, observation).
            action: (n, action).
        """
        density = self.log_density(torch.cat([observation, action], -1))
        return ~(density >= self.threshold)


class GuardedDynamics:
    """A dynamics model whose rollouts end with the first step from an unsupported pair.

    Args:
        dynamics: the model.
        support: of the dataset.
        reward: of such a step.

    Attributes:
        observation_size: that of the model.
        action_size: that of the model.
        state_size: that of the model.
    """

    def __init__(self, dynamics: DynamicsModel, support: Support, reward: float) -> None:
        self.dynamics, self.support, self.reward = dynamics, support, reward
        self.observation_size, self.action_size = dynamics.observation_size, dynamics.action_size
        self.state_size = dynamics.state_size

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """The model's prediction; rows outside terminate with the guardian's reward.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            state: (batch, state_size), for a model with a simulator state.
            generator: of all random numbers.
            members: whether to return the predictions of the members, too.
        """
        made = self.dynamics.step(
            observation, action, state=state, generator=generator, members=members
        )
        outside = self.support.outside(observation, action)
        return replace(
            made,
            reward=torch.where(outside, self.reward, made.reward),
            terminated=made.terminated | outside,
        )

    def to(self, device: torch.device | str) -> None:
        """Move the model and the support."""
        self.dynamics.to(device)
        self.support.to(device)


def guarded(task: OfflineTask, settings: ReachAwareSettings) -> DynamicsModel:
    """The dynamics model that rollouts of a task happen in, with its guardian if there is one.

    Raises:
        ConfigError: there is no dataset for a guardian, or its reward is above one of the data.
    """
    guardian = settings.guardian
    if guardian is None:
        return task.dynamics
    if task.rows is None:
        raise ConfigError(
            "guardian: this task has start states only, and no data to stay close to: leave it out"
        )
    batch = unpack(task.rows, task.observation_size)
    if guardian.reward > float(batch.reward.min()):
        raise ConfigError(
            f"guardian.reward {guardian.reward:g}: is above the least reward of the data "
            f"({float(batch.reward.min()):g}), so leaving them could pay: lower it"
        )
    support = Support(batch, guardian, torch.Generator().manual_seed(0))
    return GuardedDynamics(task.dynamics, support, guardian.reward / (1 - settings.discount))


def outside(dynamics: DynamicsModel, batch: Batch) -> Tensor:
    """Where a guardian ends rollouts, (seeds, n) bool; nowhere without one.

    Args:
        dynamics: of `guarded`.
        batch: model transitions, (seeds, n, ...).
    """
    if not isinstance(dynamics, GuardedDynamics):
        return torch.zeros_like(batch.reward, dtype=torch.bool)
    flat = (batch.observation.flatten(0, 1), batch.action.flatten(0, 1))
    return dynamics.support.outside(*flat).view(batch.reward.shape)


def _scott(centres: Tensor) -> float:
    """Scott's rule: the mean standard deviation of the columns, times n^(-1 / (columns + 4))."""
    count, columns = centres.shape
    spread = float(centres.std(0, correction=0).mean())
    bandwidth: float = max(spread, 1e-3) * count ** (-1 / (columns + 4))
    return bandwidth
