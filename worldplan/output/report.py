"""One self-contained HTML file from one or several run folders: tables, plots, configuration."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from worldplan.files import config_text, read_table, write_text
from worldplan.milp.errors import ConfigError
from worldplan.output.summary import (
    MEASURES,
    interval_text,
    number_text,
    read_summary,
    share_text,
)
from worldplan.runs import REPORT, VERSIONS, Run

HEADINGS = {
    "policy": "policy",
    "mean": "mean",
    "interval": "95 % interval",
    "cost": "cost (interval)",
    "discounted_cost": "discounted cost (interval)",
    "before": "return before the change-over",
    "drop": "lowest soon after it, less that",
    "score": "score",
    "bound_share": "share of bound",
    "q": "mean Q",
    "decision_ms": "ms per decision",
    "cpu_minutes": "CPU minutes",
    "episodes": "episodes",
    "note": "note",
}
PLOT_ORDER = (
    "policy_comparison",
    "return_by_share",
    "learning_curve",
    "critic_spread",
    "step_rewards",
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the page shows it.

    Args:
        headings: of the columns.
        rows: one text for every column.
        numeric: for every column, whether it holds numbers (aligned to the right).
        best: for every row, whether it is emphasised.
    """

    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    best: list[bool]


@dataclass(frozen=True, slots=True)
class Picture:
    """An embedded plot; `data` is a data URL."""

    caption: str
    data: str


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the report that shows one run; `notes` are empty where the run has none.

    `others` are the tables of a model report (`worldplan data describe --ensemble`), by title.
    """

    title: str
    folder: str
    seed: int
    table: Table | None
    others: list[tuple[str, Table]]
    pictures: list[Picture]
    notes: str
    config: str
    versions: list[tuple[str, str]]


def write_report(paths: Sequence[Path], output: Path | None = None) -> Path:
    """Write the report of one or several run folders and return the path of the HTML file.

    Args:
        paths: run folders. Each may hold summary.csv (policy, mean, low, high, score, bound_share,
            q, decision_ms, cpu_minutes, episodes, reference, note), plots/*.png and notes.txt;
            missing parts are left out.
        output: the HTML file to write. If None, report.html in the run folder, or, for several
            runs, comparison.html in the folder that contains them all.

    Raises:
        ConfigError: a folder is not a run folder, `output` is a folder, or `paths` is empty.
        DatasetError: the summary table of a run is damaged.
    """
    if not paths:
        raise ConfigError(
            "a report needs at least one run folder: give one like runs/<name>/<time>"
        )
    runs = [Run.open(path) for path in paths]
    summaries = [read_summary(run) for run in runs]
    target = Path(output) if output is not None else _default_output(runs)
    if target.is_dir():
        raise ConfigError(f"{target}: is a folder: give the name of an HTML file")
    sections = [_section(run, summary) for run, summary in zip(runs, summaries, strict=True)]
    template = (
        resources.files("worldplan.output")
        .joinpath("report_template.html")
        .read_text(encoding="utf-8")
    )
    page = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(template)
    text = page.render(
        title=sections[0].title if len(sections) == 1 else f"{len(sections)} runs compared",
        sections=sections,
        comparison=_comparison([section.title for section in sections], summaries)
        if len(sections) > 1
        else None,
        written=f"{datetime.now():%Y-%m-%d %H:%M}",
    )
    return write_text(target, text)


def _default_output(runs: list[Run]) -> Path:
    if len(runs) == 1:
        return runs[0].path / REPORT
    return Path(os.path.commonpath([run.path.resolve().parent for run in runs])) / "comparison.html"


# --- tables ---------------------------------------------------------------------------------------


def _measure(row: dict[Any, Any], name: str) -> str:
    """A measure with its interval; empty where it is unknown."""
    if math.isnan(row[name]):
        return ""
    return (
        f"{number_text(row[name])} {interval_text(row[f'{name}_low'], row[f'{name}_high'])}".strip()
    )


def _policy_table(summary: pd.DataFrame) -> Table:
    """The policies of one run, without the columns that are empty. A policy is emphasised if its
    interval contains the best mean; rows for reference are not compared.
    """
    texts = {
        "policy": [str(policy) for policy in summary["policy"]],
        "mean": [number_text(value) for value in summary["mean"]],
        "interval": [
            interval_text(low, high)
            for low, high in zip(summary["low"], summary["high"], strict=True)
        ],
        **{name: [_measure(row, name) for row in summary.to_dict("records")] for name in MEASURES},
        "bound_share": [share_text(row) for row in summary.to_dict("records")],
        "score": ["" if math.isnan(value) else f"{value:.1f}" for value in summary["score"]],
        "q": ["" if math.isnan(value) else f"{value:.4g}" for value in summary["q"]],
        "decision_ms": [
            "" if math.isnan(value) else f"{value:.3g}" for value in summary["decision_ms"]
        ],
        "cpu_minutes": [
            "" if math.isnan(value) else f"{value:.1f}" for value in summary["cpu_minutes"]
        ],
        "episodes": ["" if math.isnan(value) else f"{value:.0f}" for value in summary["episodes"]],
        "note": [str(note) for note in summary["note"]],
    }
    columns = [column for column in HEADINGS if any(texts[column])]
    best = summary.loc[~summary["reference"], "mean"].max()
    return Table(
        headings=[HEADINGS[column] for column in columns],
        rows=[list(row) for row in zip(*(texts[column] for column in columns), strict=True)],
        numeric=[column not in ("policy", "note") for column in columns],
        best=[
            bool(row["mean"] == best or row["high"] >= best) and not row["reference"]
            for row in summary.to_dict("records")
        ],
    )


def _comparison(titles: list[str], summaries: list[pd.DataFrame | None]) -> Table | None:
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
    policies = list(
        dict.fromkeys(str(policy) for _, summary in present for policy in summary["policy"])
    )
    columns = [
        {str(row["policy"]): _cell(row) for row in summary.to_dict("records")}
        for _, summary in present
    ]
    rows = [[policy, *(column.get(policy, "–") for column in columns)] for policy in policies]
    return Table(
        ["policy", *(title for title, _ in present)],
        rows,
        [False] + [True] * len(present),
        [False] * len(rows),
    )


def _cell(row: dict[Any, Any]) -> str:
    figure = " ".join(
        part for part in (number_text(row["mean"]), interval_text(row["low"], row["high"])) if part
    )
    return ", ".join(part for part in (figure, share_text(row)) if part)


# --- sections -------------------------------------------------------------------------------------


def _section(run: Run, summary: pd.DataFrame | None) -> Section:
    versions = run.versions if (run.path / VERSIONS).is_file() else {}
    notes = run.path / "notes.txt"
    return Section(
        title=run.name,
        folder=str(run.path),
        seed=run.seed,
        table=None if summary is None else _policy_table(summary),
        others=[_other_table(path) for path in sorted(run.path.glob("model_*.csv"))],
        pictures=[_picture(path) for path in _plots(run)],
        notes=notes.read_text(encoding="utf-8", errors="replace").strip()
        if notes.is_file()
        else "",
        config=config_text(run.config),
        versions=[(str(name), str(version)) for name, version in versions.items()],
    )


def _other_table(path: Path) -> tuple[str, Table]:
    """Title and content of a table of a model report.

    Raises:
        DatasetError: the file cannot be read.
    """
    table = read_table(path)
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    rows = [
        [
            "" if pd.isna(value) else f"{value:.4g}" if number else str(value)
            for value, number in zip(row, numeric, strict=True)
        ]
        for row in table.itertuples(index=False, name=None)
    ]
    headings = [str(name).replace("_", " ") for name in table]
    title = path.stem.removeprefix("model_").replace("_", " ").capitalize()
    return title, Table(headings, rows, numeric, [False] * len(rows))


def _plots(run: Run) -> list[Path]:
    """The run's plots: those of PLOT_ORDER first, then by name. Hidden files are unfinished."""

    def rank(path: Path) -> tuple[int, Path]:
        kinds = [number for number, kind in enumerate(PLOT_ORDER) if path.stem.startswith(kind)]
        return min(kinds, default=len(PLOT_ORDER)), path

    return sorted(
        (path for path in run.plots.glob("*.png") if path.is_file() and path.name[0] != "."),
        key=rank,
    )


def _picture(path: Path) -> Picture:
    words = re.sub(r"[_\-\s]+", " ", path.stem).strip()
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(caption=words[:1].upper() + words[1:], data=f"data:image/png;base64,{data}")
