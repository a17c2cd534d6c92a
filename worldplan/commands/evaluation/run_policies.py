"""The policies of a run that learned from data: the last ones, or the best ones of its checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from worldplan.commands.evaluation.finished_runs import policies_to_evaluate
from worldplan.commands.studies.jobs import finished_rows, jobs_of
from worldplan.commands.studies.study import study_from_dict
from worldplan.milp.errors import ConfigError
from worldplan.output.console import plain_console
from worldplan.planners.offline.best import BEST, best_about
from worldplan.planners.offline.saved_policies import OfflinePolicy, load_policies
from worldplan.runs import CONFIG, Run

CHECKPOINTS = ("last", "best")


def run_policies(
    run: Run, names: list[str], checkpoint: str = "last"
) -> Iterator[tuple[str, int, OfflinePolicy, Path]]:
    """(method, seed, policy, its folder) of a study, or ("policy", index, policy, the run folder)
    of a training.

    Args:
        run: a training, or a study.
        names: of the rows of a study; empty: all.
        checkpoint: "last", or "best" for each seed's policy of its best check; how these were
            chosen is printed.

    Raises:
        CheckpointError: a policy cannot be read, or there are no best ones.
        ConfigError: the study is not finished, or has no method of such a name.
    """
    config = run.config
    if "search" in config:
        raise ConfigError(
            f"{run.path}: this run is a tuning: run its best settings with 'worldplan run "
            f"{run.path / 'best.yaml'}', and evaluate that run"
        )
    if "methods" not in config:
        if unknown := [name for name in names if name != "policy"]:
            raise ConfigError(
                f"--policies: {', '.join(unknown)} is not in this run: a training has 'policy' "
                "alone, so leave the option out"
            )
        for index, policy in enumerate(_loaded("policy", run.path, checkpoint)):
            yield "policy", index, policy, run.path
        return
    study = study_from_dict(config, run.path / CONFIG)
    finished = finished_rows(run.path, study)
    chosen = policies_to_evaluate(run, "worldplan run", names, [row.name for row in finished])
    for job in jobs_of(run.path, study, [row for row in finished if row.name in chosen]):
        for index, policy in enumerate(_loaded(job.row.name, job.training, checkpoint)):
            yield job.row.name, job.first + index, policy, job.training


def _loaded(name: str, folder: Path, checkpoint: str) -> list[OfflinePolicy]:
    """The policies of all seeds of a training."""
    if checkpoint == "last":
        return load_policies(folder)
    about = best_about(folder)
    policies = load_policies(folder / BEST)
    epochs = ", ".join(map(str, about["epoch"]))
    plain_console().print(
        f"{name}: best checkpoints by {about['chosen_by']}: epochs {epochs}", soft_wrap=True
    )
    return policies
