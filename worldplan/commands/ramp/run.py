"""`worldplan ramp`: run the seeds, gather their tables, write the report."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from rich.table import Table

from worldplan.commands.ramp.jobs import Job, RampRun, run_job
from worldplan.commands.ramp.results import figures_of, plot, summary_of, table_of
from worldplan.files import input_files, read_table
from worldplan.opening import open_run
from worldplan.output.console import plain_console
from worldplan.output.progress import progress_bar
from worldplan.output.report import write_report
from worldplan.parallel import execute
from worldplan.runs import METRICS, Run

PROBLEMS = "by_problem.csv"
_LOOK_EVERY = 0.5  # seconds between two looks at what is finished


def run_ramp(
    plan: RampRun,
    name: str = "ramp",
    *,
    root: str | Path = "runs",
    jobs: int = 0,
    fresh: bool = False,
) -> Run:
    """Run, or resume, RAMP on the problems of a domain; returns the finished run folder.

    Args:
        plan: all settings that the results depend on.
        name: of the run folder.
        root: folder of run folders.
        jobs: parallel processes; 0 for one per core.
        fresh: start a new run even if an unfinished one can be resumed.

    Raises:
        ConfigError: a setting, or a problem, is wrong.
        DatasetError: a file is missing or malformed.
        FolderInUse: another process works on the unfinished run of these settings.
    """
    plan.environment()  # a wrong domain or problem raises here, before anything is written
    config = plan.to_dict()
    config["inputs"] = input_files(config)
    with open_run(root, name, config, plan.seeds[0], fresh=fresh) as run:
        todo = [Job(run.path.resolve(), plan, seed) for seed in plan.seeds]
        waiting = [job for job in todo if not job.file.is_file()]
        with _progress(todo):
            for _ in execute(run_job, waiting, jobs):
                pass
        write_results(run, plan, todo)
    return run


@contextmanager
def _progress(jobs: Sequence[Job]) -> Iterator[None]:
    """Show how many problems are finished while the block under `with` runs."""
    total = sum(len(job.plan.problems) for job in jobs)
    stop = threading.Event()
    with progress_bar() as bar:
        task = bar.add_task(_running(jobs), total=total, completed=_finished(jobs))

        def look() -> None:
            while not stop.wait(_LOOK_EVERY):
                bar.update(task, completed=_finished(jobs), description=_running(jobs))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            stop.set()
            looking.join()
            bar.update(task, completed=_finished(jobs), description=_running(jobs))


def _finished(jobs: Sequence[Job]) -> int:
    return sum(job.finished() for job in jobs)


def _running(jobs: Sequence[Job]) -> str:
    """What is running: the first unfinished seed and its problem."""
    left = [job for job in jobs if not job.file.is_file()]
    if not left:
        return "done"
    number = min(left[0].finished(), len(left[0].plan.problems) - 1)
    more = f" (and {len(left) - 1} more seeds)" if len(left) > 1 else ""
    return f"seed {left[0].seed}, {left[0].plan.problems[number].name}{more}"


def write_results(run: Run, plan: RampRun, jobs: Sequence[Job]) -> None:
    """Gather the tables of the seeds; the summary and the report, written last, mark a finished
    run.

    Raises:
        DatasetError: a seed's table is missing or damaged.
    """
    metrics = pd.concat([read_table(job.file) for job in jobs], ignore_index=True)
    run.write_csv(METRICS, metrics)
    run.write_csv(PROBLEMS, table_of(metrics, plan.steps))
    plot(metrics, plan.steps, run.plots / "learning_curve.svg")
    lines = figures_of(metrics)
    run.write_text("notes.txt", "\n".join(lines) + "\n")
    run.write_summary(summary_of(metrics, plan, lines))
    write_report([run.path])


def print_results(run: Run, *, as_json: bool) -> None:
    """Print the table of a finished run, and where its folder is."""
    table = run.read_csv(PROBLEMS)
    assert table is not None
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({"run": str(run.path), "problems": rows}, indent=2))
        return
    printed = Table(title="means over seeds")
    for column in table:
        printed.add_column(str(column), justify="left" if column == "problem" else "right")
    for row in table.to_dict("records"):
        printed.add_row(*(_cell(value) for value in row.values()))
    console = plain_console()
    console.print(printed)
    console.print((run.path / "notes.txt").read_text(encoding="utf-8"), soft_wrap=True, end="")
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}", soft_wrap=True)
    seed = next(iter(run.config["seeds"]))
    model = run.path / "checkpoints" / f"seed{seed}" / "action_model.json"
    console.print(f"the learned action model: {model}", soft_wrap=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.4g}"
    return "-" if value is None else str(value)
