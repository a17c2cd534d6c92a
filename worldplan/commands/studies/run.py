"""`worldplan run`: train every method of a study over its seeds, resumably, and write the run
folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from worldplan.arguments import add_run_options, check_jobs
from worldplan.commands.studies.jobs import jobs_of, make_task, run_job
from worldplan.commands.studies.results import write_results
from worldplan.commands.studies.study import Study, parse_study, study_parser
from worldplan.files import input_files
from worldplan.opening import open_run
from worldplan.output.console import plain_console
from worldplan.parallel import ENGINES, require_ray, run_waiting
from worldplan.runs import SUMMARY, Run


def main(argv: Sequence[str]) -> int:
    """Run the command with the arguments `argv`; returns its exit code.

    Raises:
        WorldplanError: an argument, or the study, is wrong.
    """
    parser = study_parser()
    add_run_options(parser, ENGINES)
    study, options = parse_study(parser, argv)
    check_jobs(options.jobs)
    run = run_study(
        study, root=options.runs, jobs=options.jobs, engine=options.engine, fresh=options.fresh
    )
    print_table(run)
    return 0


def run_study(
    study: Study,
    *,
    root: str | Path = "runs",
    jobs: int = 0,
    engine: str = "local",
    fresh: bool = False,
) -> Run:
    """Run, or resume, a study.

    Args:
        study: what to run.
        root: folder of all runs.
        jobs: processes at a time; 0: one per core.
        engine: "local" or "ray".
        fresh: begin a new run even if an unfinished one exists.

    Returns:
        The finished run folder.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: a method and the task do not fit each other.
        DatasetError: the dataset is missing or damaged.
        FolderInUse: another process works on the unfinished run of this study.
    """
    if engine == "ray":
        require_ray()
    by_share = {study.share(method): method for method in study.methods}
    for method in by_share.values():  # errors in the input are raised before anything is written
        make_task(study, method)
    config = study.to_dict()
    config["inputs"] = input_files(config)
    with open_run(root, study.name, config, study.seed, fresh=fresh) as run:
        run_waiting(
            run_job,
            jobs_of(run.path.resolve(), study),
            lambda job: job.result.exists(),
            lambda job: f"{job.method}, seeds {job.first}..{job.first + job.count - 1}",
            jobs,
            engine,
        )
        write_results(run, study)
    return run


def print_table(run: Run) -> None:
    """Print the summary of a finished run."""
    summary = run.read_csv(SUMMARY)
    assert summary is not None
    printed = Table(title="mean return with the 95 % interval over seeds")
    shares = summary["bound_share"].notna().any()
    for column in ("method", "return", "interval", *(["of oracle"] if shares else []), "note"):
        printed.add_column(
            column,
            justify="left" if column in ("method", "note") else "right",
            no_wrap=column != "note",
        )
    for row in summary.to_dict("records"):
        share = [f"{100 * row['bound_share']:.1f} %"] if shares else []
        note = "" if pd.isna(row["note"]) else str(row["note"])
        printed.add_row(
            str(row["policy"]),
            f"{row['mean']:.2f}",
            f"{row['low']:.2f}..{row['high']:.2f}",
            *share,
            note,
        )
    console = plain_console()
    console.print(printed)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}")
