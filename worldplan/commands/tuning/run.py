"""`worldplan tune`: search the settings of a method, resumably, and write the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.table import Table

from worldplan.arguments import add_run_options, check_jobs
from worldplan.cluster import require_ray
from worldplan.commands.tuning.tuning import SCORES, Tuning, parse_tuning, tuning_parser
from worldplan.files import files_and_data, input_files
from worldplan.milp.errors import ConfigError
from worldplan.opening import open_run
from worldplan.output.console import plain_console
from worldplan.parallel import ENGINES, run_waiting
from worldplan.runs import SUMMARY, Run
from worldplan.world_models.training.origin import origin

_NOT_OF_SCORES = ("trials", "storage", "sampler", "pruner", "side_by_side", "save_every")


def main(argv: Sequence[str]) -> int:
    """Run the command with the arguments `argv`; returns its exit code.

    Raises:
        WorldplanError: an argument, or the tuning, is wrong.
    """
    parser = tuning_parser()
    add_run_options(parser, ENGINES)
    tuning, options = parse_tuning(parser, argv)
    check_jobs(options.jobs)
    run = run_tuning(
        tuning, root=options.runs, jobs=options.jobs, engine=options.engine, fresh=options.fresh
    )
    print_table(run, tuning)
    return 0


def run_tuning(
    tuning: Tuning,
    *,
    root: str | Path = "runs",
    jobs: int = 0,
    engine: str = "local",
    fresh: bool = False,
) -> Run:
    """Run, or resume, a tuning.

    With one job it is reproducible, and one that was killed and resumed ends with the trials of an
    unbroken one.

    Args:
        tuning: what to run.
        root: folder of all runs.
        jobs: trials at a time; 0: one per core.
        engine: "local" or "ray".
        fresh: begin a new run even if an unfinished one exists.

    Returns:
        The finished run folder.

    Raises:
        CheckpointError: an ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: settings, task and score do not fit each other, or the storage cannot be used.
        DatasetError: a dataset is missing or damaged.
        Diverged: no trial has a score.
        FolderInUse: another process works on the unfinished run of this tuning.
    """
    # these import optuna and Lightning: seconds
    from worldplan.commands.tuning.cluster_journal import journal_on_cluster
    from worldplan.commands.tuning.results import write_results
    from worldplan.commands.tuning.scores import check_inputs
    from worldplan.commands.tuning.storage import (
        JOURNAL,
        absolute,
        mend,
        open_study,
        storage_text,
    )
    from worldplan.commands.tuning.trials import jobs_of, run_trial

    if engine == "ray":
        require_ray()
        _check_reachable(tuning.storage)
    check_inputs(tuning)
    config = tuning.to_dict()
    config["inputs"] = input_files(config)
    if tuning.storage is not None:
        config["storage"] = storage_text(tuning.storage)  # without its password
    made_with = origin(
        **{name: value for name, value in config.items() if name not in _NOT_OF_SCORES}
    )
    if tuning.storage is not None:  # refused before anything is written
        open_study(absolute(tuning.storage), tuning, made_with)
    with open_run(root, tuning.name, config, tuning.seed, fresh=fresh) as run:
        folder = run.path.resolve()
        storage = absolute(tuning.storage or str(folder / JOURNAL))
        (folder / "trials").mkdir(exist_ok=True)
        mend(folder / JOURNAL)
        open_study(storage, tuning, made_with)  # a damaged journal is refused here
        own = tuning.storage is None
        on_cluster = own and engine == "ray"
        journal = journal_on_cluster(folder / JOURNAL) if on_cluster else nullcontext(storage)
        with journal as shared:
            run_waiting(
                run_trial,
                jobs_of(folder, tuning, shared, made_with, own),
                lambda job: False,
                lambda job: "a trial",
                jobs,
                engine,
                files_and_data(
                    tuning.to_dict(),
                    tuning.data.dataset if tuning.data else None,
                    tuning.score_data,
                ),
            )
        write_results(run, tuning, open_study(storage, tuning, made_with))
    return run


def _check_reachable(storage: str | None) -> None:
    """Check that a storage is no file, which other machines would make anew.

    Raises:
        ConfigError: it is a file.
    """
    if storage is not None and ("://" not in storage or storage.startswith("sqlite")):
        raise ConfigError(
            f"storage {storage}: a file, which other machines of the cluster do not see: give the "
            "URL of a database server, or leave --engine ray out"
        )


def print_table(run: Run, tuning: Tuning) -> None:
    """Print the best trials of a finished run."""
    summary = run.read_csv(SUMMARY)
    assert summary is not None
    printed = Table(title=f"best trials by {SCORES[tuning.score]}")
    for column in ("trial", "score", "95 % interval", "settings"):
        printed.add_column(column, justify="right" if column == "score" else "left")
    for row in summary.to_dict("records"):
        printed.add_row(
            str(row["policy"]).removeprefix("trial "),
            f"{row['mean']:.4g}",
            f"{row['low']:.4g} .. {row['high']:.4g}",
            str(row["note"]),
        )
    console = plain_console()
    console.print(printed)
    console.print((run.path / "notes.txt").read_text(encoding="utf-8"), soft_wrap=True)
    console.print(f"run folder: {run.path}   report: {run.path / 'report.html'}", soft_wrap=True)
    console.print(f"next: worldplan run {run.path / 'best.yaml'}", soft_wrap=True)
