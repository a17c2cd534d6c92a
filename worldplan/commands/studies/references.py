"""What the returns and values of a study are compared with: a random policy, the policy that made
the data, the greatest value that rewards as in the data can have, and the differences between an
ensemble's members on the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.commands.studies.option_measures import (
    cost_intervals,
    metered,
    recorded_cost_interval,
)
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Decision, Planner, bootstrap, evaluate
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.rollouts import Pessimism, cut_threshold
from worldplan.planners.offline.task import OfflineTask

RANDOM, DATA_MEAN, DATA_BEST = "random policy", "data, mean episode", "data, best episode"


class UniformPolicy(Planner):
    """Uniform actions between `low` and `high`, each (action,)."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = low.numpy(), high.numpy()
        self.reset()

    def reset(self, *, seed: int | None = None) -> None:
        """Return to the first random number of the seed, 0 by default."""
        self.random = np.random.default_rng(seed or 0)

    def plan(self, observation: Any) -> Decision:
        """Draw an action, whatever the observation."""
        action = self.random.uniform(self.low, self.high).astype(np.float32)
        return Decision(action, None, None, "heuristic", 0.0)


def reference_rows(
    task: OfflineTask, episodes: int, seed: int, discount: float
) -> list[dict[str, Any]]:
    """Rows policy, mean, low, high, episodes and note: the uniform policy in the environment, and
    the mean and the best episode of the dataset. With costs in a task that has costs.

    Args:
        task: dataset and environment.
        episodes: of the uniform policy.
        seed: of these episodes.
        discount: of the costs.

    Raises:
        ConfigError: the task has no dataset.
    """
    environment, meter = metered(task, task.environment(episodes), discount)
    played = evaluate(UniformPolicy(task.low, task.high), environment, episodes, seed).episodes
    environment.close()
    recorded = task.episode_returns()
    if recorded is None:
        raise ConfigError("a task without a dataset has no policy of the data")
    returns, best = recorded.numpy(), float(recorded.max())
    return [
        {
            "policy": RANDOM,
            **bootstrap(played["return"].to_numpy()),
            **cost_intervals(meter),
            "episodes": episodes,
            "note": "",
        },
        {
            "policy": DATA_MEAN,
            **bootstrap(returns),
            **recorded_cost_interval(task),
            "episodes": len(returns),
            "note": "",
        },
        {"policy": DATA_BEST, "mean": best, "low": best, "high": best, "episodes": 1, "note": ""},
    ]


def reward_ceiling(task: OfflineTask, discount: float) -> float:
    """r_max / (1 - gamma), the value of the dataset's greatest reward forever, and the least upper
    bound of a value without entropy bonus that such rewards allow. Where all rewards are negative
    and episodes terminate, that is r_max itself.

    Raises:
        ConfigError: the task has no dataset.
    """
    if task.rows is None:
        raise ConfigError("the value ceiling of the data needs a dataset: give a number")
    batch = unpack(task.rows, task.observation_size)
    best = float(batch.reward.max())
    forever = best / (1 - discount)
    return max(best, forever) if bool((batch.terminated > 0).any()) else forever


def halting_threshold(task: OfflineTask, quantile: float) -> float:
    """The difference between an ensemble's members that a share `quantile` of the dataset does not
    exceed, for MOReL's halting.

    Raises:
        ConfigError: the task has no dataset, or its dynamics have no members.
    """
    if task.rows is None:
        raise ConfigError("a quantile over the data needs a dataset: give pessimism.halt_above")
    batch = unpack(task.rows, task.observation_size)
    threshold = cut_threshold(
        Pessimism(cut_quantile=quantile, cut_measure="max_pairwise_difference"),
        task.dynamics,
        batch.observation,
        batch.action,
        None,
        torch.Generator().manual_seed(0),
    )
    if threshold is None:
        raise ConfigError("a quantile over the data needs an ensemble: set data.ensemble")
    return float(threshold)
