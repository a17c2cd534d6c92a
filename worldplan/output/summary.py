"""The summary of a run, the table that reports and comparisons show, and its figures as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from worldplan.milp.errors import DatasetError
from worldplan.runs import SUMMARY, Run

MEASURES = ("cost", "discounted_cost", "before", "drop")  # with intervals, in some studies
NUMERIC = (
    *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")),
    "mean",
    "low",
    "high",
    "score",
    "bound_share",
    "share_low",
    "share_high",
    "q",
    "decision_ms",
    "cpu_minutes",
    "episodes",
)


def read_summary(run: Run) -> pd.DataFrame | None:
    """The run's table of policies, best first, with all columns of the report; None where the run
    has no results yet.

    Args:
        run: the run folder.

    Raises:
        DatasetError: a column is missing or holds text in place of numbers.
    """
    table = run.read_csv(SUMMARY)
    if table is None or table.empty:
        return None
    missing = [column for column in ("policy", "mean") if column not in table]
    if missing:
        raise DatasetError(
            f"{run.path / SUMMARY}: column '{missing[0]}' is missing: "
            "delete this table and repeat the command that made the run"
        )
    for column in NUMERIC:
        if column not in table:
            table[column] = float("nan")
        elif not pd.api.types.is_numeric_dtype(table[column]):
            raise DatasetError(
                f"{run.path / SUMMARY}: column '{column}' holds text where numbers belong: "
                "delete this table and repeat the command that made the run"
            )
    table["reference"] = table["reference"].isin([True]) if "reference" in table else False
    table["note"] = table["note"].astype(object).fillna("") if "note" in table else ""
    return table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)


def number_text(value: float) -> str:
    """A number with four digits; empty where it is NaN."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:#.4g}".rstrip(".")


def interval_text(low: float, high: float) -> str:
    """An interval; empty where an end is NaN."""
    return (
        "" if math.isnan(low) or math.isnan(high) else f"[{number_text(low)}, {number_text(high)}]"
    )


def share_text(row: Mapping[Any, Any]) -> str:
    """The share of the bound in a row of a summary, with its interval where that is known."""
    share, low, high = (row[name] for name in ("bound_share", "share_low", "share_high"))
    if math.isnan(low) or math.isnan(high):
        return percent_text(share)
    return f"{100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def percent_text(share: float) -> str:
    """A share in percent; empty where it is NaN."""
    return "" if math.isnan(share) else f"{100 * share:.1f} %"
