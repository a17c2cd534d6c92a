"""What a study measures beside returns: costs, and the return around the change-over from offline
epochs to those that act in the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from gymnasium.vector import VectorEnv

from worldplan.files import read_table
from worldplan.planners.base import bootstrap
from worldplan.planners.offline.options.finetuned import TABLE
from worldplan.planners.offline.options.finetuning import EARLY
from worldplan.planners.offline.options.task_costs import CostMeter
from worldplan.planners.offline.task import OfflineTask

COST, DISCOUNTED = "cost", "discounted_cost"  # of an episode
CHANGE_OVER = ("before", "drop")  # return before it; the lowest early check less that
_NONE = np.empty(0)
MEASURES = (COST, DISCOUNTED, *CHANGE_OVER)


def metered(
    task: OfflineTask, environment: VectorEnv, discount: float
) -> tuple[VectorEnv, CostMeter | None]:
    """The environment of a task, with a meter of its costs if the task has costs, and the meter."""
    if task.costs is None:
        return environment, None
    meter = CostMeter(environment, task.cost_function, discount)
    return meter, meter


def measured_costs(meter: CostMeter | None) -> dict[str, float]:
    """Mean costs of the last episodes by name; none where they are not known."""
    if meter is None or not meter.known:
        return {}
    return {COST: float(meter.cost.mean()), DISCOUNTED: float(meter.discounted.mean())}


def cost_intervals(meter: CostMeter | None) -> dict[str, float]:
    """The costs of the last episodes as in `summarised_measures`, with intervals over episodes;
    none where they are not known.
    """
    if meter is None or not meter.known:
        return {}
    return _interval(COST, meter.cost) | _interval(DISCOUNTED, meter.discounted)


def recorded_cost_interval(task: OfflineTask) -> dict[str, float]:
    """The same of the costs of the dataset's episodes, undiscounted; none for a task without
    costs.
    """
    if task.costs is None or task.last is None:
        return {}
    episode = task.last.long().cumsum(0) - task.last.long()
    sums = torch.zeros(int(episode[-1]) + 1, dtype=torch.float64)
    sums.index_add_(0, episode, task.costs.double())
    return _interval(COST, sums.numpy())


def _interval(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean of values (n,) by name, and its bootstrap interval; NaN for no values."""
    if not len(values):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    made = bootstrap(values)
    return {name: made["mean"], f"{name}_low": made["low"], f"{name}_high": made["high"]}


def add_change_over(rows: list[dict[str, Any]], folder: Path) -> None:
    """Add the returns of each seed around its change-over to its row; nothing for a training
    without one.

    Args:
        rows: of the seeds, in order.
        folder: of the training.

    Raises:
        DatasetError: the training's table is damaged.
    """
    if not (folder / TABLE).exists():
        return
    table = read_table(folder / TABLE)
    for row, around in zip(rows, table.to_dict("records"), strict=True):
        row |= {name: float(around[name]) for name in CHANGE_OVER}


def summarised_measures(seeds: pd.DataFrame) -> dict[str, float]:
    """Means of the measures over the seeds of a row, and as "cost_low", "cost_high" and so on their
    95 % bootstrap interval over seeds; NaN where a measure is unknown.

    Args:
        seeds: a row per seed.
    """
    summary: dict[str, float] = {}
    for name in MEASURES:
        summary |= _interval(name, seeds[name].dropna().to_numpy() if name in seeds else _NONE)
    return summary


def measure_notes(summary: pd.DataFrame) -> list[str]:
    """What the measures of a summary mean, a line each.

    Args:
        summary: with the columns of `summarised_measures`.
    """
    notes = []
    if summary[COST].notna().any():
        notes.append(
            "Costs are means over the episodes of the final evaluation; a budget bounds the "
            "discounted cost. Their intervals are over seeds, too."
        )
    if summary[CHANGE_OVER[0]].notna().any():
        notes.append(
            "'before' is the mean return of the check at the change-over to the environment, "
            f"'drop' the lowest of the first {EARLY} checks after it less that."
        )
    return notes
