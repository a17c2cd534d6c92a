"""`worldplan run`: train every method of a study over its seeds, resumably, and write the run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from milp.errors import ConfigError
from worldplan.parallel import ENGINES, execute, require_ray
from worldplan.runs import SUMMARY, Run, create_run, latest_run
from worldplan.study import Study, parse_study, study_parser
from worldplan.study_jobs import jobs_of, make_task, run_job
from worldplan.study_results import write_results


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
    parser = study_parser()
    parser.add_argument("--jobs", type=int, default=0, help="parallel processes; 0: one per core")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="where jobs run; ray uses RAY_ADDRESS")
    parser.add_argument("--runs", default="runs", help="folder of run folders")
    parser.add_argument("--fresh", action="store_true", help="start a new run even if an unfinished one can be continued")
    study, options = parse_study(parser, argv)
    if options.jobs < 0:
        raise ConfigError(f"--jobs {options.jobs}: give the number of parallel processes, or 0 for one per core")
    run = run_study(study, root=options.runs, jobs=options.jobs, engine=options.engine, fresh=options.fresh)
    print_table(run)
    return 0


def run_study(study: Study, *, root: str | Path = "runs", jobs: int = 0, engine: str = "local", fresh: bool = False) -> Run:
    """Run, or continue, a study; returns its finished run folder."""
    if engine == "ray":
        require_ray()
    for method in {study.share(method): method for method in study.methods}.values():  # raise for bad input before anything is written
        make_task(study, method)
    run = _open(study, root, fresh)
    todo = jobs_of(run.path.resolve(), study)
    waiting = [job for job in todo if not job.result.exists()]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("trainings", total=len(todo), completed=len(todo) - len(waiting))
        for done in execute(run_job, waiting, jobs, engine):
            progress.update(task, advance=1, description=f"{done.method}, seeds {done.first}..{done.first + done.count - 1} done")
    write_results(run, study)
    return run


def _open(study: Study, root: str | Path, fresh: bool) -> Run:
    config = study.to_dict()
    known = None if fresh else latest_run(root, study.name, config, study.seed)
    if known is not None and not all((known.path / name).exists() for name in (SUMMARY, "report.html")):
        print(f"continuing {known.path}", file=sys.stderr)  # noqa: T201
        return known
    return create_run(root, study.name, config, study.seed)


def print_table(run: Run) -> None:
    """The summary for people."""
    table = run.read_csv(SUMMARY)
    assert table is not None
    shown = Table(title="mean return with the 95 % interval over seeds")
    shares = table["bound_share"].notna().any()
    for column in ("method", "return", "interval", *(["of oracle"] if shares else []), "note"):
        shown.add_column(column, justify="left" if column in ("method", "note") else "right", no_wrap=column != "note")
    for row in table.to_dict("records"):
        share = [f"{100 * row['bound_share']:.1f} %"] if shares else []
        note = "" if pd.isna(row["note"]) else str(row["note"])
        shown.add_row(str(row["policy"]), f"{row['mean']:.2f}", f"{row['low']:.2f}..{row['high']:.2f}", *share, note)
    console = Console()
    console.print(shown)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}")
