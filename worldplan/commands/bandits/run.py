"""`worldplan bandits run`: compare policies over seeds and episodes, into a run folder.

A run that was interrupted resumes where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from worldplan.arguments import add_run_options, check_jobs
from worldplan.cluster import require_ray
from worldplan.commands.bandits.control import run_control_job, waiting_control_jobs
from worldplan.commands.bandits.default_policies import suited
from worldplan.commands.bandits.jobs import (
    jobs_of,
    policy_context,
    refuse_learner,
    refuse_short,
    run_job,
    with_control_values,
)
from worldplan.commands.bandits.judged import (
    JUDGED,
    check_draws,
    check_memory,
    judged_jobs,
    run_judged,
)
from worldplan.commands.bandits.results import NOTES, write_results
from worldplan.commands.bandits.scenario import (
    Scenario,
    make_scenario,
    parse_scenario,
    scenario_parser,
)
from worldplan.files import input_files, named_files
from worldplan.opening import open_run
from worldplan.output.console import plain_console
from worldplan.parallel import ENGINES, run_waiting
from worldplan.planners.bandits.bounds import check_bound, make_bound
from worldplan.planners.bandits.policies import check_policy, learns
from worldplan.runs import Run
from worldplan.world_models.arms.programme import build


def main(argv: Sequence[str]) -> int:
    """Entry of the command; returns its exit code."""
    parser = scenario_parser(
        "bandits run",
        "Train where needed, evaluate every policy, and write table, plots and report.",
    )
    add_run_options(parser, ENGINES)
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    check_jobs(settings.jobs)
    scenario, left_out = suited(scenario, base)
    for sentence in left_out:
        plain_console().print(sentence, soft_wrap=True)
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
    """Run a scenario, or resume an unfinished run of it; returns the finished run folder.

    Args:
        scenario: what is run.
        base: the scenario's file; file names in it are looked up there.
        root: folder of run folders.
        jobs: parallel processes; 0: one per core.
        engine: "local", or "ray".
        fresh: start a new run even if an unfinished one could be resumed.

    Raises:
        ConfigError: a setting is wrong, or does not fit the programme.
        DatasetError: a file of the programme is missing or malformed.
        FolderInUse: another process works on the unfinished run of this scenario.
        InfeasibleActionSet: no action satisfies the constraints.
        MissingExtra: the engine is not installed.
    """
    check(scenario, base, engine)
    config = scenario.to_dict()
    config |= {"inputs": input_files(config, base.parent, Path()), "base": str(base.resolve())}
    with open_run(root, scenario.name, config, scenario.seed_list()[0], fresh=fresh) as run:
        parts, inputs = jobs_of(run.path, scenario, base.resolve()), _inputs(scenario, base)
        seeds = [job.seed for job in parts if with_control_values(job) and not job.done]
        control = waiting_control_jobs(run.path, scenario, base.resolve(), seeds)
        if control:
            run_waiting(
                run_control_job,
                control,
                lambda job: job.done,
                lambda job: f"control variates, seed {job.seed}",
                jobs,
                engine,
                inputs,
            )
        run_waiting(
            run_job,
            parts,
            lambda job: job.done,
            lambda job: f"{job.policy}, seed {job.seed}",
            jobs,
            engine,
            inputs,
        )
        if scenario.draws:
            run_waiting(
                run_judged,
                judged_jobs(run.path, scenario, base.resolve()),
                lambda job: job.done,
                lambda job: f"{job.policy} in draws, seed {job.seed}",
                jobs,
                engine,
                inputs,
            )
        write_results(run, scenario, base)
    return run


def _inputs(scenario: Scenario, base: Path) -> list[Path]:
    """The files that jobs read: the scenario and those that it names."""
    named = named_files(scenario.to_dict(), base.parent, Path()).values()
    return [*([base] if base.is_file() else []), *named]


def check(scenario: Scenario, base: Path, engine: str = "local") -> None:
    """Raise what the jobs would raise for bad input, before anything is written.

    Raises:
        ConfigError: a setting is wrong, or does not fit the programme.
        MissingExtra: the engine is not installed.
    """
    if engine == "ray":
        require_ray()
    check_draws(scenario)
    seeds = scenario.seed_list()
    for seed in seeds if scenario.programme.domain else seeds[:1]:  # else all have one instance
        built = build(scenario.programme, base, scenario.programme.seed + seed)
        refuse_short(scenario.programme)
        check_bound(built.instance, scenario.bound)
        check_memory(scenario, built.instance.dynamics)
        for policy in scenario.policy_list():
            if learns(policy):
                refuse_learner(policy, scenario.programme, simulated=True)
            check_policy(policy, policy_context(built, scenario, seed, None))
        if scenario.solver.name != "highs":  # installed, and licensed for a model of this size?
            bound = make_bound(built.instance, scenario.solver, scenario.bound)
            bound.from_distribution(built.instance.initial)


def share_text(row: Mapping[Any, Any]) -> str:
    """A policy's share of the bound with its interval; empty where no policy can gain."""
    share, low, high = (100 * row[name] for name in ("bound_share", "share_low", "share_high"))
    return "" if math.isnan(share) else f"{share:.1f} % ({low:.1f}..{high:.1f})"


def print_table(run: Run) -> None:
    """Print the summary of a finished run."""
    summary = run.read_csv("summary.csv")
    assert summary is not None
    rows = summary.to_dict("records")
    noted = any(isinstance(row["note"], str) and row["note"] for row in rows)
    table = Table(title="mean reward per step, with the 95 % interval over episodes")
    table.add_column("policy", no_wrap=True)
    for column in ("mean", "interval", "share of bound", "ms each"):
        table.add_column(column, justify="right", no_wrap=True)
    if noted:
        table.add_column("note")
    for row in rows:
        cells = [
            str(row["policy"]),
            f"{row['mean']:.5g}",
            f"{row['low']:.4g}..{row['high']:.4g}",
            share_text(row),
            f"{row['decision_ms']:.2f}",
        ]
        if noted:
            cells.append(row["note"] if isinstance(row["note"], str) else "")
        table.add_row(*cells)
    console = plain_console()
    console.print(table)
    bound = float((run.path / "bound.txt").read_text())
    console.print(f"upper bound on every policy: {bound:.5g} per step, in expectation")
    if (run.path / NOTES).is_file():
        console.print((run.path / NOTES).read_text(encoding="utf-8").rstrip())
    console.print("share of bound: 0 % is the set's default action at every step, 100 % the bound")
    if (summary["bound_share"] > 1).any():
        console.print("a mean over episodes is above the bound by chance only: see its interval")
    if (run.path / JUDGED).is_file():
        print_judged(run)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}", soft_wrap=True)


def print_judged(run: Run) -> None:
    """Print what the policies earn in draws of the posterior."""
    judged = run.read_csv(JUDGED)
    assert judged is not None
    count = int(judged["draws"].iloc[0])
    table = Table(title=f"mean reward per step in {count} posterior samples of the dynamics")
    table.add_column("policy", no_wrap=True)
    for column in ("mean", "interval", "regret", "its interval", "best in"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in judged.to_dict("records"):
        known = not math.isnan(row["regret"])
        table.add_row(
            str(row["policy"]),
            f"{row['mean']:.5g}",
            f"{row['low']:.4g}..{row['high']:.4g}",
            f"{row['regret']:.3g}" if known else "",
            f"{row['regret_low']:.3g}..{row['regret_high']:.3g}" if known else "",
            f"{100 * row['best']:.0f} %",
        )
    console = plain_console()
    console.print(table)
    console.print(
        "regret: what each policy would gain if it were made from the sample, as if the dynamics "
        "were known; 95 % intervals over samples"
    )
