"""The first lines of a report: which policy is best, by how much, and what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from worldplan.output.judged import last_value
from worldplan.output.page.terms import RAMP, Kind
from worldplan.output.summary import interval_text, number_text, share_text
from worldplan.runs import EVALUATION, Run

_MOST = 4  # references or policies in a sentence


def answer(run: Run, summary: pd.DataFrame | None, kind: Kind) -> list[str]:
    """Sentences on what came out of a run; none where it has no results.

    Args:
        run: the run folder.
        summary: its table of results, best first; None where there is none.
        kind: of the run.

    Raises:
        DatasetError: a table of the run is damaged.
    """
    if summary is not None and len(own := summary[~summary["reference"]]):
        lines = _of_summary(own, summary[summary["reference"]], kind)
        return [*lines, *(str(note) for note in own["note"])] if kind is RAMP else lines
    return [] if kind.summarised else _of_training(run)


def _of_summary(own: pd.DataFrame, references: pd.DataFrame, kind: Kind) -> list[str]:
    rows = own[own["mean"].notna()].to_dict("records")
    if not rows:
        return ["No row has a value: see the notes in the table."]
    best = rows[0]
    number = f"Best of {len(own)}" if len(own) > 1 else "Result"
    share = f", {share_text(best)} ({kind.share[0]})" if share_text(best) else ""
    lines = [f"{number}: {_named(best)}{share}."]
    if len(rows) > 1:
        lines.append(f"Next: {_named(rows[1])}. {_apart(best, rows[1])}")
    if len(rows) > 2:
        lines.append(f"Last: {_named(rows[-1])}.")
    if len(rows) < len(own):
        lines.append(f"Without a value: {len(own) - len(rows)}; the table says why.")
    if len(references):
        shown = references.dropna(subset=["mean"]).head(_MOST).to_dict("records")
        lines.append(f"To compare with: {'; '.join(map(_named, shown))}.")
    return lines


def _apart(best: Mapping[Any, Any], other: Mapping[Any, Any]) -> str:
    """What the two intervals say about the order."""
    if math.isnan(best["low"]) or math.isnan(other["high"]):
        return "No interval is known, so the order of the two may be chance."
    if best["low"] > other["high"]:
        return "The two intervals do not overlap."
    return "The two intervals overlap, so their order may be chance."


def _of_training(run: Run) -> list[str]:
    lines = []
    if (last := last_value(run)) is not None:
        lines.append(f"Last check of the training: {last[0]} is {number_text(last[1])}.")
    table = run.read_csv(EVALUATION)
    if table is not None and {"policy", "mean", "low", "high"} <= set(table):
        known = table[table["mean"].notna()].head(2 * _MOST).to_dict("records")
        lines.append(f"Later evaluation: {'; '.join(map(_named, known))}.")
    return lines


def _named(row: Mapping[Any, Any]) -> str:
    """Name, mean and interval of a row."""
    numbers = [row["mean"], row["low"], row["high"]]
    if not all(isinstance(number, int | float) for number in numbers):
        return str(row["policy"])
    interval = interval_text(float(row["low"]), float(row["high"]))
    return f"{row['policy']} {number_text(float(row['mean']))} {interval}".strip()
