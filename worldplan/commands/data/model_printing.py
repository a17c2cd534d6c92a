"""The tables of a model report on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.table import Table

from worldplan.commands.data.model_measures import DRAWN, ONE_ELITE, RECALIBRATED
from worldplan.output.console import plain_console
from worldplan.runs import Run

_MOST = 30  # columns that are printed


def print_report(tables: Mapping[str, pd.DataFrame], notes: Sequence[str], run: Run) -> None:
    """Print all tables of a report, the notes and the place of the run folder.

    Args:
        tables: by the name of their file.
        notes: lines.
        run: the run folder.
    """
    console = plain_console()
    for table in (
        _errors(tables["model_one_step"], tables["model_steps"]),
        _calibration(tables["model_calibration"], tables["model_recalibration"]),
        _penalties(tables["model_penalties"]),
    ):
        console.print(table)
    if "model_beyond" in tables:
        console.print(_beyond(tables["model_beyond"]))
    for note in notes:
        console.print(note, soft_wrap=True)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}", soft_wrap=True)


def _errors(one_step: pd.DataFrame, steps: pd.DataFrame) -> Table:
    """One-step errors, and relative k-step errors for a few k."""
    most = int(steps["steps"].max())
    shown = sorted({k for k in (2, 5, 10, 20, 50, 100) if k < most} | ({most} - {1}))
    wide = steps.pivot(index="column", columns="steps", values="relative")
    chosen = one_step.iloc[_worst(one_step["relative"].to_numpy())]
    table = _table(
        "errors of the mean prediction on held-out rows; relative to the standard deviation of the "
        f"change over so many steps{_left_out(len(one_step))}",
        ("column", "one step", "relative", *(f"{k} steps" for k in shown)),
    )
    for row in chosen.to_dict("records"):
        later = [_number(wide.loc[row["column"], k]) for k in shown]
        table.add_row(row["column"], _number(row["rmse"]), _number(row["relative"]), *later)
    return table


def _calibration(shares: pd.DataFrame, scores: pd.DataFrame) -> Table:
    """Shares of truths in the 50, 80 and 95 % intervals."""
    wide = shares.pivot(index="column", columns=["predictions", "level"], values="share")
    levels = sorted(shares["level"].unique())
    table = _table(
        f"truths inside {', '.join(f'{100 * level:.0f}' for level in levels)} % intervals, in %, "
        "on rows that the recalibration was not fitted on",
        ("column", ONE_ELITE, DRAWN, RECALIBRATED),
    )
    for row in scores.iloc[_worst(scores["calibration_error"].to_numpy())].to_dict("records"):
        texts = [
            " ".join(f"{100 * wide.loc[row['column'], (kind, level)]:3.0f}" for level in levels)
            for kind in (ONE_ELITE, DRAWN, RECALIBRATED)
        ]
        table.add_row(row["column"], *texts)
    means = shares.groupby(["predictions", "level"])["share"].mean()
    texts = [
        " ".join(f"{100 * means[kind, level]:3.0f}" for level in levels)
        for kind in (ONE_ELITE, DRAWN, RECALIBRATED)
    ]
    table.add_row("mean", *texts)
    logs = [f"{scores[name].mean():.3f}" for name in ("log_score", "recalibrated_log_score")]
    table.add_row("-log density", "", *logs)
    return table


def _penalties(penalties: pd.DataFrame) -> Table:
    """Spearman's coefficients."""
    columns = list(penalties[["rows", "error"]].drop_duplicates().itertuples(index=False))
    table = _table(
        "rank correlation (Spearman) of penalties with the true one-step error [95 % interval]",
        ("penalty", *(f"{rows}, {error}" for rows, error in columns)),
    )
    for name, part in penalties.groupby("penalty", sort=False):
        cells = part.set_index(["rows", "error"])
        texts = [_interval(cells.loc[tuple(column)]) for column in columns]
        table.add_row(str(name), *texts)
    return table


def _beyond(beyond: pd.DataFrame) -> Table:
    """One-step errors by distance from the data."""
    table = _table(
        "beyond the data: one-step errors after so many steps of a held action, means over columns",
        ("steps", "rows", "relative error", "inside 95 %", "recalibrated"),
    )
    for row in beyond.to_dict("records"):
        shares = [f"{100 * row[name]:.0f} %" for name in ("share_95", "recalibrated_share_95")]
        table.add_row(
            f"{row['steps']:.0f}", f"{row['rows']:.0f}", _number(row["relative"]), *shares
        )
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    return table


def _worst(figures: np.ndarray) -> np.ndarray:
    """Places of the columns that are printed, ascending: all, or the 30 with the greatest figure
    (columns,).
    """
    order = np.argsort(-np.nan_to_num(figures, nan=-1.0), kind="stable")
    return np.sort(order[:_MOST])


def _left_out(count: int) -> str:
    return f"; the {_MOST} worst of {count} columns" if count > _MOST else ""


def _interval(row: pd.Series) -> str:
    return f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _number(value: float) -> str:
    return f"{value:.3g}"
