"""`worldplan bandits run`: compare policies over seeds and episodes, resumably, and write the run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from milp.errors import ConfigError
from world_models.programme import Built, build
from worldplan.bandit_jobs import jobs_of, make_bound, make_planner, run_job
from worldplan.bandit_results import write_results
from worldplan.parallel import ENGINES, execute, require_ray
from worldplan.runs import Run, create_run, latest_run
from worldplan.scenario import Scenario, make_scenario, parse_scenario, scenario_parser


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
    parser = scenario_parser("worldplan bandits run", "Train where needed, evaluate every policy, and write table, plots and report.")
    parser.add_argument("--jobs", type=int, default=0, help="parallel processes; 0: one per core")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="where jobs run; ray uses RAY_ADDRESS")
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
        for done in execute(run_job, waiting, jobs, engine):
            progress.update(task, advance=1, description=f"{done.policy}, seed {done.seed} done")
    write_results(run, scenario, base)
    return run


def check(scenario: Scenario, base: Path, engine: str = "local") -> None:
    """Raise what the jobs would raise for bad input, before anything is written."""
    if engine == "ray":
        require_ray()
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
