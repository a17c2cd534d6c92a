"""`worldplan actions evaluate`: k-fold cross validation of action-model learning in, a run folder
with tables, plots and report out.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator
from rich.table import Table

from worldplan.cluster import require_ray
from worldplan.commands.actions.jobs import (
    COUNTS,
    KINDS,
    CrossValidation,
    Job,
    jobs_of,
    problem_file_of,
    run_job,
    true_model,
)
from worldplan.files import input_files, read_table
from worldplan.lists import whole_numbers
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.opening import open_run
from worldplan.output.console import plain_console
from worldplan.output.report import write_report
from worldplan.output.style import COLOURS, INK, NARROW, new_figure, save_figure, style_axes
from worldplan.parallel import run_waiting
from worldplan.planners.base import bootstrap
from worldplan.planners.numeric.task.result import STATUSES
from worldplan.runs import METRICS, Run
from worldplan.world_models.numeric.sources.log_files import is_table, trajectory_files

MEASURES = {
    "learn_seconds": "learning, CPU s",
    "self_consistency": "self-consistency",
    "precondition_precision": "precond. precision",
    "precondition_recall": "precond. recall",
    "effect_precision": "effect precision",
    "effect_recall": "effect recall",
    "solved": "solved",
    "false_plan_ratio": "false plans",
    "length_ratio": "length / expert's",
    "expert_accepted": "expert's plans valid",
}
SHARES = (
    "self_consistency",
    "precondition_precision",
    "precondition_recall",
    "effect_precision",
    "effect_recall",
    "solved",
    "false_plan_ratio",
    "expert_accepted",
)


def evaluate_command(options: Namespace) -> int:
    """Run or resume a cross validation and print its table. Returns 0.

    Args:
        options: the parsed command line.

    Raises:
        ConfigError: an option is wrong.
        DatasetError: a file is missing or malformed.
    """
    files = evaluated_files(options.trajectories)
    study = CrossValidation(
        files=tuple(files),
        domain=options.domain.resolve(),
        counts=_counts(options.counts, CrossValidation.most(len(files), max(options.folds, 1))),
        folds=options.folds,
        problems=options.problems,
        walk_steps=options.walk_steps,
        seed=options.seed,
        planner=options.planner,
        time_limit=options.time_limit,
        memory_limit=options.memory_limit,
        decimals=options.decimals,
    )
    run = cross_validate(
        study,
        options.name,
        root=options.runs,
        jobs=options.jobs,
        engine=options.engine,
        fresh=options.fresh,
    )
    table = run.read_csv("results.csv")
    assert table is not None
    if options.json:
        print(
            json.dumps(
                {"run": str(run.path), "results": json.loads(table.to_json(orient="records"))},
                indent=2,
            )
        )
    else:
        _print(run, study, table)
    return 0


def evaluated_files(sources: Sequence[Path]) -> list[Path]:
    """The trajectories among files and folders, in the order of their names.

    Raises:
        DatasetError: a source is missing or a table, or a folder has no trajectory.
    """
    files: list[Path] = []
    for source in sources:
        found = trajectory_files([source])
        trajectories = [file for file in found if not is_table(file)]
        if source.is_dir() and not trajectories:
            raise DatasetError(f"{source}: holds no .trajectory file")
        if len(trajectories) < len(found) and not source.is_dir():
            raise DatasetError(
                f"{source}: a table; give trajectory files (worldplan.world_models.numeric."
                "write_trajectory writes one of each episode)"
            )
        files += trajectories
    return [file.resolve() for file in files]


def _counts(text: str, most: int) -> tuple[int, ...]:
    """The numbers of trajectories to learn from.

    Args:
        text: such as 1,5,10 or 1..5; "" for the default numbers up to `most`.
        most: largest default number.

    Raises:
        ConfigError: `text` has another form.
    """
    if not text:
        return tuple(count for count in COUNTS if count <= most)
    try:
        return tuple(sorted(set(whole_numbers(text))))
    except ValueError:
        raise ConfigError(
            f"--counts {text}: write numbers of trajectories such as 1,5,10 or 1..5"
        ) from None


def cross_validate(
    study: CrossValidation,
    name: str,
    *,
    root: str | Path = "runs",
    jobs: int = 0,
    engine: str = "local",
    fresh: bool = False,
) -> Run:
    """Run or resume a cross validation; returns its finished run folder.

    Args:
        study: all settings that the results depend on.
        name: of the run folder.
        root: folder of run folders.
        jobs: parallel processes; 0 for one per core.
        engine: "local" or "ray".
        fresh: start a new run even if an unfinished one can be resumed.

    Raises:
        ConfigError: an option is wrong.
        MissingExtra: `engine` is "ray" and Ray is not installed.
        DatasetError: a file is missing or malformed.
        FolderInUse: another process works on the unfinished run of these settings.
    """
    if engine == "ray":
        require_ray()
    true_model(study.domain)  # a wrong domain raises here, before anything is written
    config = study.to_dict()
    problems = [path for path in map(problem_file_of, study.files) if path is not None]
    config["inputs"] = input_files([config, problems])
    with open_run(root, name, config, study.seed, fresh=fresh) as run:
        todo = jobs_of(run.path.resolve(), study)
        run_waiting(
            run_job,
            todo,
            lambda job: job.done,
            lambda job: f"fold {job.fold}, {job.count} trajectories",
            jobs,
            engine,
            [study.domain, *study.files, *problems],
        )
        _write_results(run, todo)
    return run


def _write_results(run: Run, jobs: Sequence[Job]) -> None:
    """Gather the jobs' tables; the summary and the report, written last, mark a finished run.

    Raises:
        DatasetError: a job's table is missing or damaged.
    """
    for kind, file in zip(KINDS, (METRICS, "actions.csv", "problems.csv"), strict=True):
        tables = [read_table(job.file(kind)) for job in jobs]
        run.write_csv(file, pd.concat(tables, ignore_index=True))
    results = summarise(read_table(run.path / METRICS))
    run.write_csv("results.csv", results)
    _plot(results, run.plots / "learning_curve.svg")
    run.write_text(
        "notes.txt",
        "Means over folds with their 95 % interval. 'mean return' below is the share of held-out "
        "problems solved.\n",
    )
    run.write_summary(_for_report(results))
    write_report([run.path])


def summarise(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per number of trajectories: mean and interval of every measure over folds, and counts.

    A measure without any value is NaN.

    Args:
        metrics: a row per fold and number of trajectories.
    """
    rows = []
    for count, part in metrics.groupby("count"):
        row: dict[str, float] = {"count": int(str(count))}
        for measure in MEASURES:
            values = part[measure].dropna().to_numpy()
            figures = (
                bootstrap(values)
                if len(values)
                else dict.fromkeys(("mean", "low", "high"), float("nan"))
            )
            row |= {f"{measure}_{name}": figure for name, figure in figures.items()}
        row |= {
            name: int(part[name].sum())
            for name in ("problems", "false_plans", "disagreements", "rounded_numbers", *STATUSES)
        }
        row["largest_rounding"] = float(part["largest_rounding"].max())
        rows.append(row)
    return pd.DataFrame(rows)


def _for_report(results: pd.DataFrame) -> pd.DataFrame:
    """The summary in the report's columns; the compared value is the share of held-out problems
    solved.
    """
    rows = []
    for row in results.to_dict("records"):
        figures = [
            f"{heading} {_figure(name, row[f'{name}_mean'])}{' %' if name in SHARES else ''}"
            for name, heading in MEASURES.items()
        ]
        rows.append(
            {
                "policy": f"learned from {row['count']}",
                "mean": row["solved_mean"],
                "low": row["solved_low"],
                "high": row["solved_high"],
                "episodes": row["problems"],
                "note": ", ".join(figures),
            }
        )
    return pd.DataFrame(rows)


def _print(run: Run, study: CrossValidation, results: pd.DataFrame) -> None:
    """The table of results, and where the run folder is."""
    table = Table(
        title=f"mean and 95 % interval over {study.folds} folds, by trajectories learned from"
    )
    table.add_column("", no_wrap=True)
    rows = results.to_dict("records")
    for row in rows:
        table.add_column(str(row["count"]), justify="right")
    for measure, heading in MEASURES.items():
        table.add_row(
            f"{heading}, %" if measure in SHARES else heading,
            *(_cell(row, measure) for row in rows),
        )
    for status in STATUSES:
        if results[status].any():
            table.add_row(
                f"problems: {status.replace('_', ' ')}", *(str(row[status]) for row in rows)
            )
    table.add_row("problems: false plans", *(str(row["false_plans"]) for row in rows))
    console = plain_console()
    console.print(table)
    if disagreements := results["disagreements"].sum():
        console.print(
            (
                f"{disagreements} plans are valid for one of the two validators only and count as "
                "false: see problems.csv"
            ),
            soft_wrap=True,
        )
    if study.decimals is not None:
        console.print(
            f"numbers rounded to {study.decimals} decimals: {results['rounded_numbers'].max()} "
            f"changed at most, by at most {results['largest_rounding'].max():.3g}",
            soft_wrap=True,
        )
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}", soft_wrap=True)


def _cell(row: Mapping[Hashable, float], measure: str) -> str:
    """Mean, with the interval in a second line."""
    mean, low, high = (
        _figure(measure, row[f"{measure}_{name}"]) for name in ("mean", "low", "high")
    )
    return (
        mean
        if row[f"{measure}_low"] == row[f"{measure}_high"] or mean == "-"
        else f"{mean}\n{low}..{high}"
    )


def _figure(measure: str, value: float) -> str:
    """A measure as a short text; shares in percent."""
    if np.isnan(value):
        return "-"
    return f"{100 * value:.3g}" if measure in SHARES else f"{value:.2g}"


def _plot(results: pd.DataFrame, path: Path) -> Path:
    """Every measure against the number of trajectories learned from, with its interval."""
    panels = (
        ("held-out problems solved", ("solved",)),
        ("preconditions", ("precondition_precision", "precondition_recall")),
        ("plan length over the expert's", ("length_ratio",)),
        ("learning, CPU seconds", ("learn_seconds",)),
    )
    figure = new_figure(NARROW, 10)
    for number, (title, measures) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        for measure, colour in zip(measures, COLOURS, strict=False):
            label = measure.rpartition("_")[2]
            axes.plot(
                results["count"],
                results[f"{measure}_mean"],
                color=colour,
                marker="o",
                markersize=3.5,
                label=label,
            )
            axes.fill_between(
                results["count"],
                results[f"{measure}_low"],
                results[f"{measure}_high"],
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
        axes.set_xscale("log")
        axes.set_xticks(results["count"])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        if measures[0] in SHARES:
            axes.set_ylim(-0.03, 1.03)
        style_axes(axes, title, "trajectories learned from", "", grid="both")
        if len(measures) > 1:
            axes.legend(frameon=False, fontsize=9.5, labelcolor=INK)
    return save_figure(figure, path)
