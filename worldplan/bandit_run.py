"""`worldplan bandits run`: compare policies over seeds and episodes, resumably, and write the run folder."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_backend
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from milp.errors import ConfigError, MissingExtra
from world_models.programme import Built, build
from worldplan.bandit_jobs import Job, jobs_of, make_bound, make_planner, run_job
from worldplan.bandit_results import write_results
from worldplan.runs import Run, create_run, latest_run
from worldplan.scenario import Scenario, make_scenario, parse_scenario, scenario_parser


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
    parser = scenario_parser("worldplan bandits run", "Train where needed, evaluate every policy, and write table, plots and report.")
    parser.add_argument("--jobs", type=int, default=0, help="parallel processes; 0: one per core")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="where jobs run; ray uses RAY_ADDRESS")
    parser.add_argument("--runs", default="runs", help="folder of run folders")
    parser.add_argument("--fresh", action="store_true", help="start a new run even if an unfinished one can be continued")
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    if settings.jobs < 0:
        raise ConfigError(f"--jobs {settings.jobs}: give the number of parallel processes, or 0 for one per core")
    run = run_scenario(scenario, base, root=settings.runs, jobs=settings.jobs, engine=settings.engine, fresh=settings.fresh)
    print_table(run)
    return 0


def run_scenario(scenario: Scenario, base: Path, *, root: str = "runs", jobs: int = 0, engine: str = "local", fresh: bool = False) -> Run:
    """Run, or continue, a scenario; returns its finished run folder."""
    check(scenario, base, engine)
    run = _open(scenario, base, root, fresh)
    todo = jobs_of(run.path, scenario, base.resolve())
    waiting = [job for job in todo if not job.result.exists()]
    label = "runs on Ray" if engine == "ray" else "jobs"
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=len(todo), completed=len(todo) - len(waiting))
        for done in _execute(waiting, jobs, engine):
            progress.update(task, advance=1, description=f"{done.policy}, seed {done.seed} done")
    write_results(run, scenario, base)
    return run


def check(scenario: Scenario, base: Path, engine: str = "local") -> None:
    """Raise what the jobs would raise for bad input, before anything is written."""
    if engine == "ray":
        _ray()
    for number, seed in enumerate(scenario.seed_list()):
        built = build(scenario.programme, base, scenario.programme.seed + seed)
        if number == 0 or scenario.programme.domain:
            _check_policies(scenario, built, seed)


def _check_policies(scenario: Scenario, built: Built, seed: int) -> None:
    if "whittle" in scenario.policy_list() and built.instance.dynamics.effect is not None:
        make_planner("whittle", built, scenario, seed, None)
    if "sequoia" in scenario.policy_list() and scenario.checkpoint is not None:
        make_planner("sequoia", built, scenario, seed, None)
    if scenario.solver.name != "highs":  # is it installed and licensed for a model of this size?
        make_bound(built, scenario.solver).from_law(built.instance.initial)


def _open(scenario: Scenario, base: Path, root: str, fresh: bool) -> Run:
    config = scenario.to_dict() | {"base": str(base.resolve())}
    seed = scenario.seed_list()[0]
    known = None if fresh else latest_run(root, scenario.name, config, seed)
    if known is not None and not all((known.path / name).exists() for name in ("summary.csv", "report.html")):
        print(f"continuing {known.path}", file=sys.stderr)  # noqa: T201
        return known
    return create_run(root, scenario.name, config, seed)


def _execute(jobs: list[Job], processes: int, engine: str) -> Iterable[Job]:
    """Run the jobs in separate processes, here or on Ray; results come as they finish."""
    if engine == "ray":
        ray, register_ray = _ray()
        if not ray.is_initialized():
            ray.init(ignore_reinit_error=True, log_to_driver=False)  # RAY_ADDRESS picks a cluster
        register_ray()
        with parallel_backend("ray"):
            yield from Parallel(n_jobs=processes or -1)(delayed(run_job)(job) for job in jobs)
        return
    if processes == 1:
        yield from map(run_job, jobs)
        return
    parallel = Parallel(n_jobs=processes or -1, return_as="generator_unordered", inner_max_num_threads=1, backend="loky")
    yield from parallel(delayed(_run_while)(os.getpid(), job) for job in jobs)


def _run_while(parent: int, job: Job) -> Job:
    """Do the job as long as the process that asked for it lives: the run that continues it must not meet its orphans."""

    def watch() -> None:
        while not over.wait(0.5):
            if os.getppid() != parent:
                os._exit(1)

    over = threading.Event()
    threading.Thread(target=watch, daemon=True).start()
    try:
        return run_job(job)
    finally:
        over.set()


def _ray() -> tuple[Any, Any]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise MissingExtra("--engine ray needs Ray: pip install 'worldplan[ray]'") from error
    return ray, register_ray


def print_table(run: Run) -> None:
    """The summary for people."""
    table = run.read_csv("summary.csv")
    assert table is not None
    rows = table.to_dict("records")
    noted = any(isinstance(row["note"], str) and row["note"] for row in rows)
    shown = Table(title="mean reward per step, with the 95 % interval over episodes")
    for column in ("policy", "mean", "interval", "of bound", "ms each", *(["note"] if noted else [])):
        shown.add_column(column, justify="left" if column in ("policy", "note") else "right", no_wrap=column != "note")
    for row in rows:
        cells = [
            str(row["policy"]),
            f"{row['mean']:.3f}",
            f"{row['low']:.2f}..{row['high']:.2f}",
            f"{100 * row['bound_share']:.1f} %",
            f"{row['decision_ms']:.2f}",
        ]
        shown.add_row(*cells, *([row["note"] if isinstance(row["note"], str) else ""] if noted else []))
    console = Console()
    console.print(shown)
    console.print(f"upper bound on every policy: {float((run.path / 'bound.txt').read_text()):.3f} per step")
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}")
