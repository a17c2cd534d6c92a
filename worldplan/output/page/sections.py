"""What a report shows of one run, and what is missing in its folder."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from worldplan.files import config_text
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.output.page.answer import answer
from worldplan.output.page.films import Film, films
from worldplan.output.page.hidden_paths import settings_without_folders, without_folders
from worldplan.output.page.pictures import Picture, pictures
from worldplan.output.page.tables import Table, last_metrics, other_table, policy_table
from worldplan.output.page.terms import (
    ACTIONS,
    BANDITS,
    GLOSSARY,
    MODEL,
    OTHER,
    RAMP,
    TERMS,
    TRAINING,
    Kind,
    kind_of,
)
from worldplan.output.summary import number_text, read_summary
from worldplan.runs import BOUND, EVALUATION, METRICS, SUMMARY, UNFINISHED, VERSIONS, Run

_TABLES = {  # tables of single kinds of runs -> caption
    "results.csv": "All measures over folds, by number of trajectories learned from",
    "by_problem.csv": "By problem, in order: means over seeds",
    "trials.csv": "All trials, in the order of their start",
    "importance.csv": "Importance of the settings",
    EVALUATION: "Later evaluation, from worldplan evaluate",
    "policies.csv": "Policies of the training",
    "judged.csv": "In posterior samples of the dynamics: mean reward per step; regret, what a "
    "policy would gain if it were made from the sample, as if the dynamics were known; share of "
    "the samples in which it is best",
}
_LISTED = (".csv", ".json", ".txt", ".yaml")


@dataclass(slots=True)
class Section:
    """The part of the report that shows one run.

    Args:
        title: name of the run.
        kind: of the run.
        seed: of the run, or "unknown".
        missing: lines on what is missing or damaged.
        answer: sentences on what came out.
        summary: the table of results, for a comparison.
        table: the same for the page.
        others: further tables.
        bound: what bounds the values, in words.
        pictures: plots.
        films: films.
        notes: of the run.
        config: its settings.
        versions: of what it was made with.
        files: name and address of the files of the run; the address is empty where no relative one
            leads there.
        terms: words and their meanings.
    """

    title: str
    kind: Kind = OTHER
    seed: str = "unknown"
    missing: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    summary: pd.DataFrame | None = None
    table: Table | None = None
    others: list[Table] = field(default_factory=list)
    bound: str = ""
    pictures: list[Picture] = field(default_factory=list)
    films: list[Film] = field(default_factory=list)
    notes: str = ""
    config: str = ""
    versions: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)
    terms: list[tuple[str, str]] = field(default_factory=list)

    def address(self, name: str) -> str:
        """The address of a file of the run, or ""."""
        return dict(self.files).get(name, "")


def read_section(run: Run, prefix: str, page: Path) -> Section:
    """What the folder of a run holds. What is missing or damaged is said in `missing`.

    Args:
        run: the run folder.
        prefix: of ids on the page.
        page: the HTML file to write, from which addresses lead to the files of the run.
    """
    section = Section(run.name)

    def say(line: str) -> None:
        section.missing.append(without_folders(line, run.path))

    config = _tried(lambda: run.config, say) or {}
    section.kind = kind_of(config)
    section.config = config_text(settings_without_folders(config, run.path)) if config else ""
    seed = _tried(lambda: run.seed, say)
    section.seed = "unknown" if seed is None else str(seed)
    if (run.path / VERSIONS).is_file():
        versions = _tried(lambda: run.versions, say) or {}
        section.versions = [(str(name), str(version)) for name, version in versions.items()]
    else:
        say(f"{VERSIONS} is missing: it is not known what the run was made with")
    section.summary = _tried(lambda: read_summary(run), say)
    if section.summary is not None:
        section.table = policy_table(section.summary, section.kind)
    section.answer = _tried(lambda: answer(run, section.summary, section.kind), say) or []
    section.others = _other_tables(run, section, say)
    _say_unfinished(run, section, say)
    section.bound = _bound_text(run, section)
    section.pictures = pictures(run, section.kind, prefix, say)
    section.films = films(run)
    section.notes = without_folders(_text(run.path / "notes.txt"), run.path)
    section.files = _files(run, page)
    section.terms = [(name, GLOSSARY[name]) for name in TERMS[section.kind]]
    return section


def _tried(read: Callable[[], Any], say: Callable[[str], None]) -> Any:
    """What `read` returns; None, and a line, where it cannot."""
    try:
        return read()
    except (ConfigError, DatasetError, OSError, ValueError, TypeError) as error:
        say(str(error))
        return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""


def _other_tables(run: Run, section: Section, say: Callable[[str], None]) -> list[Table]:
    named = [(run.path / name, caption) for name, caption in _TABLES.items()]
    named += [
        (path, path.stem.removeprefix("model_").replace("_", " ").capitalize())
        for path in sorted(run.path.glob("model_*.csv"))
    ]
    tables: list[Table | None] = [
        _tried(partial(other_table, path, caption), say)
        for path, caption in named
        if path.is_file()
    ]
    metrics = run.path / METRICS
    if not section.kind.summarised and metrics.is_file():
        tables.insert(0, _tried(lambda: last_metrics(metrics), say))
    return [table for table in tables if table is not None and table.rows]


def _say_unfinished(run: Run, section: Section, say: Callable[[str], None]) -> None:
    """Lines on results that a run of this kind ends with, and that are not there."""
    if text := _text(run.path / UNFINISHED):
        say(text)
    jobs = len(list((run.path / "jobs").glob("*.csv"))) if (run.path / "jobs").is_dir() else 0
    done = f"; {jobs} tables of finished jobs are in jobs/" if jobs else ""
    if section.kind.summarised and not (run.path / SUMMARY).is_file():
        say(
            f"{SUMMARY} is missing: the run was interrupted, or goes on{done}. "
            "Repeat the command that made it: it resumes the run"
        )
    elif section.kind.summarised and section.summary is None and not section.missing:
        say(f"{SUMMARY} holds no rows: the run has no results")
    elif section.kind is MODEL and not section.others:
        say("the tables model_*.csv are missing: repeat the command that made the run")
    elif section.kind is TRAINING and not (run.path / METRICS).is_file():
        say(f"{METRICS} is missing: the training has logged nothing yet")


def _bound_text(run: Run, section: Section) -> str:
    """The value of the bound and what it is, in words; empty where there is none."""
    if section.kind in (ACTIONS, RAMP):
        return ""
    try:
        bound = run.bound
    except DatasetError:
        section.missing.append(f"{BOUND} is damaged: the bound is not known")
        return ""
    if bound is None:
        return ""
    if not math.isfinite(bound):
        return "No bound is known for this programme."
    of = "reward per step" if section.kind is BANDITS else "value"
    text = (
        f"Upper bound: {number_text(bound)} {of}. In this model, no policy can have a greater "
        "expected value, so no better one can be found than a policy that reaches the bound. The "
        "bound is computed, not played; it may lie above what the best policy reaches."
    )
    summary = section.summary
    if summary is None or summary.empty:
        return text
    best = summary.loc[~summary["reference"]].iloc[0]
    text += (
        f" The best policy here, {best['policy']}, has a mean of {number_text(best['mean'])} over "
        f"the episodes that were played"
    )
    if best["mean"] > bound:
        return (
            f"{text}, which is above the bound by chance: few or lucky episodes. Its interval says "
            "how far the mean may be from the expected value; play more episodes to narrow it."
        )
    missed = number_text(bound - best["mean"])
    return f"{text}: with this estimate, deciding better can gain no more than {missed} {of}."


def _files(run: Run, page: Path) -> list[tuple[str, str]]:
    """Files of the run, films included, and their addresses from the page. From a page that shares
    no folder with the run but the root, the address would spell out folders of this machine: it is
    left empty.
    """
    names = sorted(
        path.name
        for path in run.path.iterdir()
        if path.is_file() and path.suffix in _LISTED and path.name[0] != "."
    )
    names += [film.file for film in films(run)]
    here, there = page.resolve().parent, run.path.resolve()
    try:
        common = Path(os.path.commonpath([here, there]))
    except ValueError:  # two drives
        common = Path(here.anchor)
    if common == Path(here.anchor) and here != there:
        return [(name, "") for name in names]
    folder = os.path.relpath(there, here).replace(os.sep, "/")
    head = "" if folder == "." else f"{folder}/"
    return [(name, quote(f"./{head}{name}", errors="surrogateescape")) for name in names]
