"""An off-policy estimate with its interval, and the actions of any planner as one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Planner

LEVEL = 0.95  # of every interval
_ROWS = 10_000  # decided at a time


@dataclass(frozen=True)
class Estimate:
    """The value of one policy.

    Args:
        mean: the mean of `replicates`.
        low: lower end of the 95 % interval; NaN where there is a single replicate.
        high: upper end of the interval.
        replicates: the value by each bootstrap or model, (n,) float64.
        note: what weakens the estimate; "" where nothing does.
    """

    mean: float
    low: float
    high: float
    replicates: NDArray[np.float64]
    note: str = ""

    @classmethod
    def of(cls, replicates: NDArray[np.float64], note: str = "") -> Estimate:
        """The mean of `replicates` (n,), and mean +- t * standard deviation, where t is the
        quantile of Student's distribution with n - 1 degrees of freedom.

        The spread of bootstraps, or of models, is itself the standard error of one value: it is not
        divided by the root of n.
        """
        values = np.asarray(replicates, np.float64)
        mean, count = float(values.mean()), len(values)
        if count < 2:
            return cls(mean, np.nan, np.nan, values, note)
        factor = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1))
        half = factor * float(values.std(ddof=1))
        return cls(mean, mean - half, mean + half, values, note)


def policy_actions(policy: Planner, observations: NDArray[Any], action_size: int) -> NDArray[Any]:
    """The actions (n, action) float32 of a policy for `observations` (n, observation).

    Args:
        policy: decides the same for the same observation.
        observations: any number of rows.
        action_size: of the data.

    Raises:
        ConfigError: the policy decides for actions of another size, or for numbers that are not
            finite.
    """
    parts = [
        np.stack([np.asarray(choice.action, np.float32) for choice in policy.plan_batch(rows)])
        for rows in _chunks(observations)
    ]
    actions = np.concatenate(parts)
    if actions.shape != (len(observations), action_size):
        raise ConfigError(
            f"the policy decides for actions of shape {actions.shape[1:]}, the data have "
            f"{action_size} numbers: give the data of the task that it was trained for"
        )
    if not np.isfinite(actions).all():
        raise ConfigError("the policy decides for actions that are not finite: train it again")
    return actions


def _chunks(rows: NDArray[Any]) -> Sequence[NDArray[Any]]:
    return [rows[first : first + _ROWS] for first in range(0, len(rows), _ROWS)]
