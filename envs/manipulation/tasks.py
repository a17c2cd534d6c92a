"""The manipulation tasks by name."""

from __future__ import annotations

from worldplan.envs.manipulation.bin_pick import BinPick
from worldplan.envs.manipulation.incline_push import InclinePush
from worldplan.envs.manipulation.planar_push import PlanarPush
from worldplan.envs.manipulation.task import Task
from worldplan.envs.manipulation.upright_pivot import UprightPivot
from worldplan.milp.errors import ConfigError

TASKS: dict[str, type[Task]] = {
    "PlanarPush": PlanarPush,
    "InclinePush": InclinePush,
    "BinPick": BinPick,
    "UprightPivot": UprightPivot,
}


def task_named(name: str) -> Task:
    """The task called `name`.

    Raises:
        ConfigError: no task has this name; the message lists the names.
    """
    if name not in TASKS:
        raise ConfigError(
            f"manipulation task {name!r} is not known; choose one of {', '.join(TASKS)}"
        )
    return TASKS[name]()
