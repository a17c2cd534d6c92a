"""Whether task and settings of a training fit each other."""

from __future__ import annotations

import warnings

from worldplan.envs.dynamics.mixed import MixedDynamics
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import OfflineTask


def check_task(task: OfflineTask, settings: ReachAwareSettings) -> None:
    """Refuse settings that the task cannot serve; warn of one without effect.

    Raises:
        ConfigError: task and settings do not fit each other.
    """
    if settings.real_share > 0 and task.rows is None:
        raise ConfigError(
            "real_share is above 0, but this task has start states only: set real_share to 0"
        )
    if settings.pessimism.cut_quantile is not None and task.rows is None:
        raise ConfigError(
            "pessimism.cut_quantile is a quantile over a dataset, but this task has start states "
            "only: leave it out"
        )
    if (
        settings.mobile > 0
        and isinstance(task.dynamics, MixedDynamics)
        and 0 < task.dynamics.share < 1
    ):
        raise ConfigError(
            "mobile needs the members' own predictions: set true_share to 0 "
            "(or to 1, where the penalty is zero)"
        )
    _check_halting(settings)
    if len(task.low) == 1 and settings.diversity > 0:
        warnings.warn(
            f"diversity {settings.diversity} has no effect with actions of one number, whose unit "
            "gradients are 1 or -1: set it to 0, which is faster",
            stacklevel=1,
        )


def _check_halting(settings: ReachAwareSettings) -> None:
    """Refuse rollouts that halt with a reward and a cost that undo another setting.

    Raises:
        ConfigError: they would.
    """
    if settings.pessimism.halt_above is None:
        return
    if settings.guardian is not None:
        raise ConfigError(
            "pessimism.halt_above with a guardian: both end rollouts, with rewards of their own: "
            "leave one of them out"
        )
    if settings.costs is not None and settings.costs.binds:
        raise ConfigError(
            "pessimism.halt_above with a budget of costs: a halted rollout costs nothing from then "
            "on, so halting would pay: use a guardian, or pessimism.cut_quantile"
        )
