"""Tables of a report: cells with the numbers to sort by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from worldplan.files import read_table
from worldplan.output.page.terms import COLUMNS, Kind
from worldplan.output.summary import (
    MEASURES,
    interval_text,
    number_text,
    share_text,
)

_MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, and the number to sort by, or None for a text."""

    text: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the page shows it.

    Args:
        caption: what it holds.
        headings: of the columns.
        rows: one cell for every column; the first names the row.
        numeric: for every column, whether it holds numbers (aligned to the right).
        best: for every row, whether it is emphasised.
        file: the name of the table in the run folder; empty if there is none.
        meanings: of headings that need one.
    """

    caption: str
    headings: list[str]
    rows: list[list[Cell]]
    numeric: list[bool]
    best: list[bool]
    file: str = ""
    meanings: dict[str, str] = field(default_factory=dict)


def _number(value: float, text: str) -> Cell:
    return Cell("", None) if math.isnan(value) else Cell(text, value)


def _measure(row: dict[Any, Any], name: str) -> Cell:
    """A measure with its interval; empty where it is unknown."""
    interval = interval_text(row[f"{name}_low"], row[f"{name}_high"])
    return _number(row[name], f"{number_text(row[name])} {interval}".strip())


def policy_table(summary: pd.DataFrame, kind: Kind) -> Table:
    """The rows of a summary, without the columns that are empty. A row is emphasised if its
    interval contains the best mean; rows for reference are not compared.
    """
    records = summary.to_dict("records")
    cells = {
        "policy": [Cell(str(policy)) for policy in summary["policy"]],
        "mean": [_number(value, number_text(value)) for value in summary["mean"]],
        "interval": [
            _number(low, interval_text(low, high))
            for low, high in zip(summary["low"], summary["high"], strict=True)
        ],
        **{name: [_measure(row, name) for row in records] for name in MEASURES},
        "bound_share": [_number(row["bound_share"], share_text(row)) for row in records],
        "score": [_number(value, f"{value:.1f}") for value in summary["score"]],
        "q": [_number(value, f"{value:.4g}") for value in summary["q"]],
        "decision_ms": [_number(value, f"{value:.3g}") for value in summary["decision_ms"]],
        "cpu_minutes": [_number(value, f"{value:.1f}") for value in summary["cpu_minutes"]],
        "episodes": [_number(value, f"{value:.0f}") for value in summary["episodes"]],
        "note": [Cell(str(note)) for note in summary["note"]],
    }
    columns = [name for name in COLUMNS if any(cell.text for cell in cells[name])]
    words = {
        **COLUMNS,
        "policy": (kind.row, COLUMNS["policy"][1] if kind.row == "policy" else ""),
        "mean": ("mean", f"{kind.value[:1].upper()}{kind.value[1:]}."),
        "bound_share": kind.share,
    }
    best = summary.loc[~summary["reference"], "mean"].max()
    return Table(
        caption=f"Results by {kind.row}, best first. Mean: {kind.value}.",
        headings=[words[name][0] for name in columns],
        rows=[list(row) for row in zip(*(cells[name] for name in columns), strict=True)],
        numeric=[name not in ("policy", "note") for name in columns],
        best=[
            bool(row["mean"] == best or row["high"] >= best) and not row["reference"]
            for row in records
        ],
        file="summary.csv",
        meanings={words[name][0]: words[name][1] for name in columns if words[name][1]},
    )


def comparison_table(
    titles: Sequence[str], summaries: Sequence[pd.DataFrame | None]
) -> Table | None:
    """The mean of every policy (rows) in every run (columns), with interval and share of the bound;
    None where no run has results.
    """
    present = [
        (title, summary)
        for title, summary in zip(titles, summaries, strict=True)
        if summary is not None
    ]
    if not present:
        return None
    policies = dict.fromkeys(str(name) for _, summary in present for name in summary["policy"])
    columns = [
        {str(row["policy"]): _compared(row) for row in summary.to_dict("records")}
        for _, summary in present
    ]
    rows = [
        [Cell(policy), *(column.get(policy, Cell("–")) for column in columns)]
        for policy in policies
    ]
    return Table(
        "Mean [95 % interval], share of the bound, by policy and run.",
        ["policy", *(title for title, _ in present)],
        rows,
        [False] + [True] * len(present),
        [False] * len(rows),
    )


def _compared(row: dict[Any, Any]) -> Cell:
    figure = " ".join(
        part for part in (number_text(row["mean"]), interval_text(row["low"], row["high"])) if part
    )
    return _number(row["mean"], ", ".join(part for part in (figure, share_text(row)) if part))


def other_table(path: Path, caption: str) -> Table:
    """A table of the run as it is, its first rows where it is long.

    Raises:
        DatasetError: the file cannot be read.
    """
    table = read_table(path)
    shown = table.head(_MOST_ROWS)
    if len(shown) < len(table):
        caption += f" (the first {_MOST_ROWS} of {len(table)} rows)"
    numeric = [
        pd.api.types.is_numeric_dtype(table[name]) and not pd.api.types.is_bool_dtype(table[name])
        for name in table
    ]
    rows = [
        [
            Cell("")
            if pd.isna(value)
            else _number(float(value), f"{value:.4g}")
            if number
            else Cell(str(value))
            for value, number in zip(row, numeric, strict=True)
        ]
        for row in shown.itertuples(index=False, name=None)
    ]
    headings = [str(name).replace("_", " ") for name in table]
    return Table(caption, headings, rows, numeric, [False] * len(rows), path.name)


def last_metrics(path: Path) -> Table:
    """The first, last, lowest and highest value of every logged metric.

    Raises:
        DatasetError: the file cannot be read.
    """
    table = read_table(path)
    rows = []
    for name in table.columns:
        if name in ("step", "epoch") or not pd.api.types.is_numeric_dtype(table[name]):
            continue
        values = table[name].dropna()
        if len(values):
            figures = (values.iloc[0], values.iloc[-1], values.min(), values.max(), len(values))
            cells = [_number(float(value), f"{value:.4g}") for value in figures]
            rows.append([Cell(str(name)), *cells])
    return Table(
        "What the training logged, by metric.",
        ["metric", "first", "last", "lowest", "highest", "times logged"],
        rows,
        [False] + [True] * 5,
        [False] * len(rows),
        path.name,
    )
