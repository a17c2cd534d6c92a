"""The rows of a dataset as the model-free methods draw them: observations normalised, actions in
the unit box, and beside each the action that followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.model_free.learner import LoggedBatch, ModelFreeSettings
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.scalers import ObservationScaler
from worldplan.planners.offline.task import OfflineTask

_LEAST_SPREAD = 1e-3  # added to the standard deviation of a column, as published


@dataclass(frozen=True)
class LoggedRows:
    """Rows to draw batches from.

    Args:
        table: (n, 2 observation + 2 action + 2), see `unpack_rows`.
        mean: of the observations, (observation,); 0 where they are not normalised.
        spread: what observations are divided by, (observation,); 1 where they are not normalised.
        reward_factor: what rewards are multiplied by.
    """

    table: Tensor
    mean: Tensor
    spread: Tensor
    reward_factor: float


def logged_rows(task: OfflineTask, settings: ModelFreeSettings) -> LoggedRows:
    """The rows of a task's dataset that a method uses.

    Args:
        task: with a dataset.
        settings: of the method.

    Raises:
        ConfigError: the task has start states only, or a setting does not fit the data.
    """
    returns = task.episode_returns()
    if task.rows is None or task.last is None or returns is None or not bool(task.last[-1]):
        raise ConfigError(
            "this task has no rows of whole episodes, from which model-free methods learn: make it "
            "with model_free_task or dataset_task"
        )
    batch = unpack(task.rows, task.observation_size)
    mean, spread = _scale(batch.observation, settings)
    action = to_unit(batch.action, task.low.float(), task.high.float())
    last = task.last.unsqueeze(-1)
    next_action = torch.where(last, 0.0, action.roll(-1, 0))
    factor = settings.reward_factor(returns)
    table = torch.cat(
        [
            (batch.observation - mean) / spread,
            (batch.next_observation - mean) / spread,
            action,
            next_action,
            (batch.reward * factor).unsqueeze(-1),
            batch.terminated.unsqueeze(-1),
        ],
        -1,
    )
    table = table[settings.usable(task.last, batch.terminated > 0, returns)]
    if not len(table):
        raise ConfigError(
            "no row of the dataset can be used: critic_penalty needs rows with a next action, and "
            "every episode has one step: set it to 0"
        )
    return LoggedRows(table, mean, spread, factor)


def _scale(observation: Tensor, settings: ModelFreeSettings) -> tuple[Tensor, Tensor]:
    """What is subtracted from observations (n, observation), and what they are divided by, each
    (observation,).
    """
    if settings.NEEDS_MODEL or not settings.normalise:
        # as published below, a model's noise in a constant column would be divided by 0.001
        scaler = ObservationScaler(observation.shape[-1])
        if settings.normalise:
            scaler.fit(observation)
        return scaler.mean, scaler.scale
    exact = observation.double()
    spread = exact.std(0, correction=0) + _LEAST_SPREAD
    return exact.mean(0).float(), spread.float()


def unpack_rows(rows: Tensor, observation: int, action: int) -> LoggedBatch:
    """The columns of rows of a table, as views.

    Args:
        rows: (seeds, batch, 2 observation + 2 action + 2).
        observation: size of an observation.
        action: size of an action.
    """
    ends = (observation, 2 * observation, 2 * observation + action, 2 * (observation + action))
    parts = torch.tensor_split(rows, (*ends, rows.shape[-1] - 1), -1)
    return LoggedBatch(
        observation=parts[0],
        next_observation=parts[1],
        action=parts[2],
        next_action=parts[3],
        reward=parts[4].squeeze(-1),
        terminated=parts[5].squeeze(-1),
    )


def to_unit(action: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Actions (..., action) of the box from `low` to `high`, each (action,), in the unit box."""
    return 2 * (action - low) / (high - low) - 1


def from_unit(action: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The inverse of `to_unit`: (..., action), between `low` and `high`, each (action,)."""
    return torch.minimum(torch.maximum(box_from_unit(action, low, high), low), high)


def box_from_unit(action: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`from_unit` up to rounding, differentiable: (..., action), (action,), (action,)."""
    return low + (action + 1) * 0.5 * (high - low)
