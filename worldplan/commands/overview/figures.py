"""The rows of a run: policies, methods, trials or trainings, each with a mean and an interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from worldplan.commands.overview.kinds import Kind
from worldplan.files import plain
from worldplan.milp.errors import DatasetError
from worldplan.output.judged import last_value
from worldplan.output.summary import interval_text, number_text, read_summary
from worldplan.runs import EVALUATION, Run

RESULTS = "results.csv"
COLUMNS = ("policy", "mean", "low", "high", "bound_share", "share_low", "share_high", "score")
_ACTION_MEASURES = {
    "precondition_precision": "precondition precision",
    "precondition_recall": "precondition recall",
    "effect_precision": "effect precision",
    "effect_recall": "effect recall",
}


@dataclass(frozen=True)
class Figure:
    """A value of a run, with its interval where that is known.

    Args:
        name: what it is.
        value: the value.
        low: lower end of the interval, or NaN.
        high: upper end.
        percent: whether it is a share.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    percent: bool = False

    def __str__(self) -> str:
        """Such as "solved 95.0 % [90.0, 100.0]"."""
        if self.percent:
            value, low, high = (100 * number for number in (self.value, self.low, self.high))
            ends = "" if math.isnan(low) or math.isnan(high) else f" [{low:.1f}, {high:.1f}]"
            return f"{self.name} {value:.1f} %{ends}"
        return f"{self.name} {number_text(self.value)} {interval_text(self.low, self.high)}".strip()

    def to_dict(self) -> dict[str, Any]:
        """For JSON: null where a number is not known."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {"name": self.name} | {
            name: plain(number) if math.isfinite(number) else None
            for name, number in numbers.items()
        }


def rows_of(run: Run, kind: Kind) -> pd.DataFrame | None:
    """The rows of a run, best first, with the columns COLUMNS; None where it has no results yet.

    Args:
        run: the run folder.
        kind: of the run.

    Raises:
        DatasetError: a table of the run is damaged.
    """
    if not kind.training:
        table = read_summary(run)
        return None if table is None else table[~table["reference"]].reset_index(drop=True)
    table = run.read_csv(EVALUATION)
    if table is not None and not table.empty:
        return _evaluated(run, table)
    last = last_value(run)
    if last is None:
        return None
    row = dict.fromkeys(COLUMNS, math.nan) | {"policy": f"last check: {last[0]}", "mean": last[1]}
    return pd.DataFrame([row])


def _evaluated(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of evaluation.csv that have a policy of the run; those to compare with have no seed,
    or are marked as references.

    Raises:
        DatasetError: a column is missing, or holds text.
    """
    for name in ("policy", "mean"):
        if name not in table:
            raise DatasetError(
                f"{run.path / EVALUATION}: column '{name}' is missing: evaluate anew"
            )
    own = table.dropna(subset=["seed"]) if "seed" in table else table
    if "reference" in own:
        own = own[~own["reference"].isin([True])]
    for name in COLUMNS[1:]:
        if name not in own:
            own = own.assign(**{name: math.nan})
        elif not pd.api.types.is_numeric_dtype(own[name]):
            raise DatasetError(
                f"{run.path / EVALUATION}: column '{name}' holds text where numbers belong: "
                "evaluate anew"
            )
    if "seed" in own:
        names = [f"{row['policy']}, seed {row['seed']:.0f}" for row in own.to_dict("records")]
        own = own.assign(policy=names)
    return own.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)


def headlines(run: Run, kind: Kind) -> list[Figure]:
    """The figures that a run is told by: those of its best row.

    Args:
        run: the run folder.
        kind: of the run.

    Raises:
        DatasetError: a table of the run is damaged.
    """
    rows = rows_of(run, kind)
    if rows is None or rows.empty:
        return []
    best: Mapping[Any, Any] = rows.to_dict("records")[0]
    return [*_of_row(best, kind), *(_of_actions(run) if kind.name == "action models" else ())]


def _of_row(row: Mapping[Any, Any], kind: Kind) -> Iterator[Figure]:
    name = f"{row['policy']}:"
    share = row["bound_share"]
    if not math.isnan(share):
        low, high = row["share_low"], row["share_high"]
        yield Figure(f"{name} share of the bound", share, low, high, percent=True)
        name = ""
    label = "" if str(row["policy"]).startswith("last check") else kind.value
    percent = kind.percent or "success" in name
    yield Figure(f"{name} {label}".strip(), row["mean"], row["low"], row["high"], percent)
    if not math.isnan(row["score"]):
        yield Figure("score", row["score"])


def _of_actions(run: Run) -> Iterator[Figure]:
    """Precision and recall of the models that are learned from most trajectories.

    Raises:
        DatasetError: the table is damaged.
    """
    results = run.read_csv(RESULTS)
    if results is None or results.empty or "count" not in results:
        return
    row = results.sort_values("count").iloc[-1]
    for measure, name in _ACTION_MEASURES.items():
        numbers = [row.get(f"{measure}_{end}", math.nan) for end in ("mean", "low", "high")]
        if not all(isinstance(number, int | float) for number in numbers):
            raise DatasetError(
                f"{run.path / RESULTS}: '{measure}' holds text where numbers belong: "
                "delete this table and repeat the command that made the run"
            )
        mean, low, high = map(float, numbers)
        yield Figure(name, mean, low, high, percent=True)
