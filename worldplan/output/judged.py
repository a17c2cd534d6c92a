"""What a training is judged by: the metric of its checks."""

from __future__ import annotations

from typing import Any

import pandas as pd

from worldplan.runs import METRICS, Run

# of metrics.csv: the first of these that a training has is its value
CURVES = (
    "check/planner_success",
    "check/clone_success",
    "check/mean_return",
    "check/return",
    "val/reward",
    "best_val_mse",
)


def last_value(run: Run) -> tuple[str, float] | None:
    """Name and last value of what a training is judged by; None where nothing was measured.

    Args:
        run: the run folder.

    Raises:
        DatasetError: the metrics are damaged.
    """
    metrics = run.read_csv(METRICS)
    if metrics is None:
        return None
    name, values = judged_by(metrics)
    known = values.dropna()
    return None if known.empty else (name, float(known.iloc[-1]))


def judged_by(metrics: pd.DataFrame) -> tuple[str, pd.Series]:
    """Name and values of the metric that a training is judged by: the mean over its seeds where
    each has a column ("check/return/0"). Empty where there is none.

    Args:
        metrics: of metrics.csv.
    """
    numbers = metrics.select_dtypes("number")
    for name in CURVES:
        columns = [column for column in numbers if column == name or _seed_of(column, name)]
        if columns:
            return name, numbers[columns].mean(axis=1)
    for column in numbers:
        if str(column).startswith(("val", "check")):
            return str(column), numbers[column]
    return "", pd.Series(dtype=float)


def _seed_of(column: Any, name: str) -> bool:
    return str(column).startswith(f"{name}/") and str(column).rpartition("/")[2].isdigit()
