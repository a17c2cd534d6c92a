"""`worldplan run`: train every method of a study over its seeds, resumably, and write the run
folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from worldplan.arguments import add_run_options, check_jobs
from worldplan.commands.studies.jobs import jobs_of, make_task, run_job
from worldplan.commands.studies.results import write_results
from worldplan.commands.studies.study import Study, parse_study, study_parser
from worldplan.parallel import ENGINES, require_ray, run_waiting
from worldplan.runs import SUMMARY, Run, continue_or_create


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
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
    """Run, or continue, a study; returns its finished run folder."""
    if engine == "ray":
        require_ray()
    for method in {
        study.share(method): method for method in study.methods
    }.values():  # raise for bad input before anything is written
        make_task(study, method)
    run = continue_or_create(root, study.name, study.to_dict(), study.seed, fresh=fresh)
    todo = jobs_of(run.path.resolve(), study)
    run_waiting(
        run_job,
        todo,
        lambda job: job.result.exists(),
        lambda job: f"{job.method}, seeds {job.first}..{job.first + job.count - 1}",
        jobs,
        engine,
    )
    write_results(run, study)
    return run


def print_table(run: Run) -> None:
    """The summary for people."""
    table = run.read_csv(SUMMARY)
    assert table is not None
    shown = Table(title="mean return with the 95 % interval over seeds")
    shares = table["bound_share"].notna().any()
    for column in ("method", "return", "interval", *(["of oracle"] if shares else []), "note"):
        shown.add_column(
            column,
            justify="left" if column in ("method", "note") else "right",
            no_wrap=column != "note",
        )
    for row in table.to_dict("records"):
        share = [f"{100 * row['bound_share']:.1f} %"] if shares else []
        note = "" if pd.isna(row["note"]) else str(row["note"])
        shown.add_row(
            str(row["policy"]),
            f"{row['mean']:.2f}",
            f"{row['low']:.2f}..{row['high']:.2f}",
            *share,
            note,
        )
    console = Console()
    console.print(shown)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}")
