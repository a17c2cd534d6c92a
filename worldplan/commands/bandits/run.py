"""`worldplan bandits run`: compare policies over seeds and episodes, resumably, and write the run
folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldplan.arguments import add_run_options, check_jobs
from worldplan.commands.bandits.jobs import jobs_of, make_bound, make_planner, run_job
from worldplan.commands.bandits.results import write_results
from worldplan.commands.bandits.scenario import (
    Scenario,
    make_scenario,
    parse_scenario,
    scenario_parser,
)
from worldplan.parallel import ENGINES, require_ray, run_waiting
from worldplan.runs import Run, continue_or_create
from worldplan.world_models.arms.programme import Built, build


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
    parser = scenario_parser(
        "worldplan bandits run",
        "Train where needed, evaluate every policy, and write table, plots and report.",
    )
    add_run_options(parser, ENGINES)
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    check_jobs(settings.jobs)
    run = run_scenario(
        scenario,
        base,
        root=settings.runs,
        jobs=settings.jobs,
        engine=settings.engine,
        fresh=settings.fresh,
    )
    print_table(run)
    return 0


def run_scenario(
    scenario: Scenario,
    base: Path,
    *,
    root: str = "runs",
    jobs: int = 0,
    engine: str = "local",
    fresh: bool = False,
) -> Run:
    """Run, or continue, a scenario; returns its finished run folder."""
    check(scenario, base, engine)
    config = scenario.to_dict() | {"base": str(base.resolve())}
    run = continue_or_create(root, scenario.name, config, scenario.seed_list()[0], fresh=fresh)
    todo = jobs_of(run.path, scenario, base.resolve())
    run_waiting(
        run_job,
        todo,
        lambda job: job.result.exists(),
        lambda job: f"{job.policy}, seed {job.seed}",
        jobs,
        engine,
    )
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


def print_table(run: Run) -> None:
    """The summary for people."""
    table = run.read_csv("summary.csv")
    assert table is not None
    rows = table.to_dict("records")
    noted = any(isinstance(row["note"], str) and row["note"] for row in rows)
    shown = Table(title="mean reward per step, with the 95 % interval over episodes")
    for column in (
        "policy",
        "mean",
        "interval",
        "of bound",
        "ms each",
        *(["note"] if noted else []),
    ):
        shown.add_column(
            column,
            justify="left" if column in ("policy", "note") else "right",
            no_wrap=column != "note",
        )
    for row in rows:
        cells = [
            str(row["policy"]),
            f"{row['mean']:.3f}",
            f"{row['low']:.2f}..{row['high']:.2f}",
            f"{100 * row['bound_share']:.1f} %",
            f"{row['decision_ms']:.2f}",
        ]
        shown.add_row(
            *cells, *([row["note"] if isinstance(row["note"], str) else ""] if noted else [])
        )
    console = Console()
    console.print(shown)
    console.print(
        f"upper bound on every policy: {float((run.path / 'bound.txt').read_text()):.3f} per step"
    )
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}")
