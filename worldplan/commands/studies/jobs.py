"""The independent jobs of a study: each trains a method over some of its seeds side by side, and
evaluates the policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from worldplan.arguments import naming
from worldplan.commands.studies.option_measures import add_change_over, measured_costs, metered
from worldplan.commands.studies.references import halting_threshold, reward_ceiling
from worldplan.commands.studies.rows import StudyRow
from worldplan.commands.studies.study import Study
from worldplan.envs.edge_of_reach import Plane, PlaneVectorEnv
from worldplan.milp.errors import Diverged
from worldplan.planners.base import Decision, Planner, evaluate
from worldplan.planners.offline.saved_policies import OfflinePolicy, load_policies
from worldplan.planners.offline.task import (
    OfflineTask,
    dataset_task,
    model_free_task,
    plane_task,
)
from worldplan.runs import write_result
from worldplan.world_models.training.checkpoints import last_checkpoint, saved_entry

if TYPE_CHECKING:
    from worldplan.planners.offline.model_free.training import ModelFreeModule
    from worldplan.planners.offline.settings import ReachAwareSettings
    from worldplan.planners.offline.training import ReachAwareModule

_MEANS = ("return", "length", "decision_seconds")  # per seed, over the final episodes
EPISODE_SEED = 300_001  # of the final episodes, the same for every method


@dataclass(frozen=True)
class Job:
    """Seeds first .. first + count - 1 of one row of the study's table.

    Args:
        folder: of the run.
        study: the study.
        row: a method, and its share of the true dynamics.
        first: the least seed.
        count: number of seeds.
    """

    folder: Path
    study: Study
    row: StudyRow
    first: int
    count: int

    @property
    def method(self) -> str:
        """Name of the method in the study."""
        return self.row.method

    @property
    def result(self) -> Path:
        """Table of returns per seed; the job is done when it exists."""
        return self.folder / "jobs" / f"{self.row.name}-{self.first}.csv"

    @property
    def spreads(self) -> Path:
        """Table of the critics' spread, written before `result`; none for a diverged training."""
        return self.folder / "jobs" / f"{self.row.name}-{self.first}-spread.csv"

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files and folders, the one that says that it is done last."""
        return self.training, self.spreads, self.result

    @property
    def training(self) -> Path:
        """Folder of checkpoint and metrics."""
        return self.folder / "checkpoints" / f"{self.row.name}-seed{self.first}"


def jobs_of(folder: Path, study: Study, rows: Sequence[StudyRow]) -> list[Job]:
    """The jobs of some rows, all seeds of a row before the next row, so that a study which is
    broken off has complete rows.
    """
    return [
        Job(
            folder,
            study,
            row,
            first=study.seed + offset,
            count=min(study.side_by_side, study.seeds - offset),
        )
        for row in rows
        for offset in range(0, study.seeds, study.side_by_side)
    ]


def finished_rows(folder: Path, study: Study) -> list[StudyRow]:
    """The rows of which every job has its result."""
    return [
        row
        for row in study.rows()
        if all(job.result.exists() for job in jobs_of(folder, study, [row]))
    ]


def make_task(study: Study, share: float | None, method: str | None = None) -> OfflineTask:
    """The task of a study: the plane, or the dataset with a share of the true dynamics, or without
    a model where that is None.

    Args:
        study: with the task.
        share: of the true dynamics, or None.
        method: whose simulator is taken; None takes that of the study.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: dataset, environment and dynamics do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    if study.plane is not None:
        return plane_task(study.plane, seed=study.seed)
    assert study.data is not None
    data = study.data if method is None else study.task_of(method)
    if share is None:
        return model_free_task(data.dataset, environment=data.environment)
    return dataset_task(
        data.dataset,
        environment=data.environment,
        ensemble=data.ensemble,
        true_share=share,
        termination=data.termination,
        threads=data.threads,
        dynamics=data.dynamics,
        dynamics_options=data.dynamics_options,
        cost=data.cost,
        simulator=data.simulator,
    )


def check_tasks(study: Study, rows: Sequence[StudyRow]) -> None:
    """Make the task of every row once, to find faults of the input before anything is written.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: dataset, environment, dynamics and costs do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    made: list[tuple[float | None, object]] = []
    for row in rows:
        choice = (row.share, None if study.data is None else study.task_of(row.method).simulator)
        if choice in made:
            continue
        own = "simulator" in study.methods[row.method]
        with naming(f"method '{row.method}'") if own else nullcontext():
            make_task(study, row.share, row.method)
        made.append(choice)


def make_training(job: Job) -> ReachAwareModule | ModelFreeModule:
    """The training of a job; in the plane, with the diagnostics of the edge of reach.

    Raises:
        ConfigError: method and task do not fit each other, or the data do not exist.
    """
    from worldplan.planners.offline.edge_of_reach import for_plane  # imports Lightning: seconds
    from worldplan.planners.offline.leq_training import LEQModule
    from worldplan.planners.offline.model_free.training import ModelFreeModule
    from worldplan.planners.offline.training import ReachAwareModule

    study = job.study
    if (algorithm := study.algorithm(job.method)) is not None:
        module = LEQModule if algorithm.NEEDS_MODEL else ModelFreeModule
        return module(
            make_task(study, job.row.share),
            algorithm,
            seed=job.first,
            seeds=job.count,
            epochs=study.epochs,
            check_every=study.check_every,
            check_episodes=study.check_episodes,
        )
    if study.plane is not None:
        return for_plane(
            study.plane,
            study.method_settings(job.method),
            seed=job.first,
            seeds=job.count,
            epochs=study.epochs,
            check_every=study.check_every,
            check_episodes=study.check_episodes,
            patch=study.patch(job.method),
            start_seed=study.seed,
        )
    task = make_task(study, job.row.share, job.method)
    finetune, finetuning = study.finetuning(job.method)
    return ReachAwareModule(
        task,
        settings_by_data(study, job.row, task),
        seed=job.first,
        seeds=job.count,
        epochs=study.epochs,
        check_every=study.check_every,
        check_episodes=study.check_episodes,
        finetune=finetune,
        finetuning=finetuning,
    )


def settings_by_data(study: Study, row: StudyRow, task: OfflineTask) -> ReachAwareSettings:
    """The settings of a row, with the numbers that its method takes from the data.

    Args:
        study: with a dataset.
        row: of reach-aware value learning.
        task: that of the row.

    Raises:
        ConfigError: the study has no ensemble, and the method needs one.
    """
    settings = study.method_settings(row.method)
    if study.caps_by_data(row.method):
        settings = replace(settings, target_cap=reward_ceiling(task, settings.discount))
    quantile = study.halt_quantile(row.method)
    if quantile is not None and row.share != 1:  # exact dynamics have no members
        learned = task if row.share == 0 else make_task(study, 0.0, row.method)
        threshold = halting_threshold(learned, quantile)
        settings = replace(settings, pessimism=replace(settings.pessimism, halt_above=threshold))
    return settings


def run_job(job: Job) -> Job:
    """Train, or resume, and evaluate; nothing if the result exists. A diverged training is a result
    too, so that the other methods of the study are finished.
    """
    if job.result.exists():
        return job
    from worldplan.commands.studies.cpu_time import CpuTime, cpu_seconds, training_seconds
    from worldplan.world_models.training.trainer import fit  # imports Lightning: seconds

    torch.set_num_threads(1)
    began = cpu_seconds()
    study, training = job.study, make_training(job)
    try:
        checkpoint = fit(
            training,
            job.training,
            save_every=study.save_every,
            accelerator=study.accelerator,
            callbacks=[CpuTime()],
        )
    except Diverged as error:
        unknown = dict.fromkeys(_MEANS, np.nan)
        rows = [{**unknown, "note": f"diverged: {error}"} for _ in range(job.count)]
        seconds = cpu_seconds() - began
    else:
        seconds, began = training_seconds(last_checkpoint(job.training)), cpu_seconds()
        _write_spreads(job, training)
        policies = load_policies(checkpoint)
        rows = _evaluated(policies, training.task, study)
        add_change_over(rows, job.training)
        seconds += cpu_seconds() - began
    table = pd.DataFrame(rows)
    table["cpu_seconds"] = seconds / job.count
    places: dict[str, str | float] = {
        "policy": job.row.name,
        "method": job.method,
        "true_share": job.row.column,
    }
    for place, (column, value) in enumerate(places.items()):
        table.insert(place, column, value)
    table.insert(len(places), "seed", range(job.first, job.first + job.count))
    write_result(job.result, table)
    return job


def _write_spreads(job: Job, training: ReachAwareModule | ModelFreeModule) -> None:
    """Write the critics' spread at the end of a training with model rollouts."""
    from worldplan.commands.studies.spreads import spread_table
    from worldplan.planners.offline.training import ReachAwareModule

    if not isinstance(training, ReachAwareModule):
        return
    # `fit` trains nothing where the training has finished before
    training.cpu().load_state_dict(saved_entry(last_checkpoint(job.training), "state_dict"))
    table = spread_table(training, job.study.plane)
    table.insert(0, "policy", job.row.name)
    write_result(job.spreads, table)


def _evaluated(
    policies: list[OfflinePolicy], task: OfflineTask, study: Study
) -> list[dict[str, Any]]:
    """Means over the same episodes of each policy, with their costs in a task that has costs."""
    environment, meter = metered(task, task.environment(study.episodes), study.settings.discount)
    rows = []
    for policy in policies:
        table = evaluate(policy, environment, study.episodes, EPISODE_SEED).episodes
        means = {name: table[name].mean() for name in _MEANS}
        rows.append({**means, **measured_costs(meter), "note": ""})
    environment.close()
    return rows


def oracle_return(plane: Plane, episodes: int) -> float:
    """Mean return of the optimal actions in the episodes that policies are evaluated in."""
    result = evaluate(_Oracle(plane), PlaneVectorEnv(episodes, plane), episodes, EPISODE_SEED)
    return float(result.episodes["return"].mean())


class _Oracle(Planner):
    """The optimal actions of a plane."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def plan(self, observation: object) -> Decision:
        state = torch.as_tensor(observation)
        return Decision(self.plane.best_action(state).numpy(), None, None, "optimal", 0.0)
