"""`worldplan run`: train every method of a study over its seeds, resumably, and write the run
folder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from worldplan.arguments import add_run_options, check_jobs
from worldplan.cluster import require_ray
from worldplan.commands.studies.jobs import check_tasks, jobs_of, run_job
from worldplan.commands.studies.results import write_results
from worldplan.commands.studies.rows import Selection
from worldplan.commands.studies.study import Study, parse_study, study_parser
from worldplan.files import files_and_data, input_files
from worldplan.milp.errors import ConfigError, one_line
from worldplan.opening import open_run
from worldplan.output.console import plain_console
from worldplan.parallel import ENGINES, run_waiting
from worldplan.runs import SUMMARY, UNFINISHED, Run

_OPTIONAL = {
    "bound_share": "of oracle",
    "score": "score",
    "q": "Q",
    "cpu_minutes": "CPU min",
}
_WITH_INTERVAL = {
    "cost": "cost",
    "discounted_cost": "discounted cost",
    "before": "before change-over",
    "drop": "lowest soon after, less that",
}


def main(argv: Sequence[str]) -> int:
    """Run the command with the arguments `argv`; returns its exit code.

    Raises:
        WorldplanError: an argument, or the study, is wrong.
    """
    parser = study_parser()
    add_run_options(parser, ENGINES)
    study, selection, options = parse_study(parser, argv)
    check_jobs(options.jobs)
    run = run_study(
        study,
        selection,
        root=options.runs,
        jobs=options.jobs,
        engine=options.engine,
        fresh=options.fresh,
    )
    print_table(run)
    return 0


def run_study(
    study: Study,
    selection: Selection | None = None,
    *,
    root: str | Path = "runs",
    jobs: int = 0,
    engine: str = "local",
    fresh: bool = False,
) -> Run:
    """Run, or resume, a study. Tables, figures and report show all rows that are complete; a run
    that has others is unfinished, and the next call continues it.

    Args:
        study: what to run.
        selection: the part of it to run now; None: all of it.
        root: folder of all runs.
        jobs: processes at a time; 0: one per core.
        engine: "local" or "ray".
        fresh: begin a new run even if an unfinished one exists.

    Returns:
        The run folder.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: a method and the task do not fit each other, the study has no such part, or
            this machine lacks the accelerator.
        DatasetError: the dataset is missing or damaged.
        FolderInUse: another process works on the unfinished run of this study.
    """
    if engine == "ray":
        require_ray()
    chosen = (selection or Selection()).of(study.rows())
    check_tasks(study, chosen)
    _check_accelerator(study.accelerator)
    config = study.to_dict()
    config["inputs"] = input_files(config)
    with open_run(root, study.name, config, study.seed, fresh=fresh) as run:
        run_waiting(
            run_job,
            jobs_of(run.path.resolve(), study, chosen),
            lambda job: job.result.exists(),
            lambda job: f"{job.row.name}, seeds {job.first}..{job.first + job.count - 1}",
            jobs,
            engine,
            files_and_data(study.to_dict(), study.data.dataset if study.data else None),
        )
        write_results(run, study)
    return run


def _check_accelerator(name: str) -> None:
    """Check that jobs can train on an accelerator.

    Raises:
        ConfigError: there is no such accelerator, or this machine lacks it.
    """
    if name == "cpu":
        return
    import lightning as L  # takes seconds

    from worldplan.commands.fit_trainer import check_accelerator_name

    remedy = "set --accelerator cpu, or auto"
    check_accelerator_name(name, "accelerator", f"; {remedy}")
    try:
        L.Trainer(accelerator=name, devices=1, logger=False, enable_checkpointing=False)
    except Exception as error:  # Lightning raises several types
        raise ConfigError(f"accelerator {name}: {one_line(error)}: {remedy}") from error


def print_table(run: Run) -> None:
    """Print the summary of a run."""
    summary = run.read_csv(SUMMARY)
    assert summary is not None
    printed = Table(title="mean return with the 95 % interval over seeds")
    optional = [name for name in _OPTIONAL if summary[name].notna().any()]
    measured = [name for name in _WITH_INTERVAL if name in summary and summary[name].notna().any()]
    notes = ["note"] if summary["note"].fillna("").any() else []
    headings = [_WITH_INTERVAL[name] for name in measured] + [_OPTIONAL[name] for name in optional]
    for column in ("method", "return", "interval", *headings, *notes):
        printed.add_column(
            column,
            justify="left" if column in ("method", "note") else "right",
            no_wrap=column != "note",
        )
    for row in summary.to_dict("records"):
        printed.add_row(
            str(row["policy"]),
            f"{row['mean']:.2f}",
            f"{row['low']:.2f}..{row['high']:.2f}",
            *(_with_interval(row, name) for name in measured),
            *(_figure(name, row[name]) for name in optional),
            *(["" if pd.isna(row["note"]) else str(row["note"])] if notes else []),
        )
    console = plain_console()
    console.print(printed)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}")
    if (run.path / UNFINISHED).exists():
        console.print((run.path / UNFINISHED).read_text(encoding="utf-8").rstrip())


def _with_interval(row: dict[Any, Any], name: str) -> str:
    """A measure and its interval over seeds; empty where it is unknown."""
    if math.isnan(row[name]):
        return ""
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f}..{row[f'{name}_high']:.2f})"


def _figure(name: str, value: float) -> str:
    """A number of an optional column; empty where it is unknown."""
    if math.isnan(value):
        return ""
    if name == "q":
        return f"{value:.4g}"
    return f"{100 * value:.1f} %" if name == "bound_share" else f"{value:.1f}"
