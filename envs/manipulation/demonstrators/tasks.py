"""Scripted demonstrators by the name of their task."""

from __future__ import annotations

from worldplan.envs.manipulation.demonstrators.base import Demonstrator
from worldplan.envs.manipulation.demonstrators.grasp import (
    BinPickDemonstrator,
    UprightPivotDemonstrator,
)
from worldplan.envs.manipulation.demonstrators.push import (
    InclinePushDemonstrator,
    PlanarPushDemonstrator,
)
from worldplan.milp.errors import ConfigError

DEMONSTRATORS: dict[str, type[Demonstrator]] = {
    "PlanarPush": PlanarPushDemonstrator,
    "InclinePush": InclinePushDemonstrator,
    "BinPick": BinPickDemonstrator,
    "UprightPivot": UprightPivotDemonstrator,
}


def demonstrator_of(task_id: str) -> Demonstrator:
    """A new demonstrator of a task.

    Args:
        task_id: name of the task ("PlanarPush") or its gymnasium id ("worldplan/PlanarPush-v0"),
            also with a module in front.

    Raises:
        ConfigError: no demonstrator exists for this task; the message lists the tasks.
    """
    name = task_id.rsplit("/", 1)[-1].removesuffix("-v0")
    if name not in DEMONSTRATORS:
        raise ConfigError(
            f"no demonstrator for task {task_id!r}; there are some for {', '.join(DEMONSTRATORS)}"
        )
    return DEMONSTRATORS[name]()
