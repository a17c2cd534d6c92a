"""The independent jobs of a study: each trains a method over some of its seeds side by side, and
evaluates the policies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from worldplan.commands.studies.study import Study
from worldplan.envs.edge_of_reach import Plane, PlaneVectorEnv
from worldplan.milp.errors import Diverged
from worldplan.planners.base import Decision, Planner, evaluate
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.task import OfflineTask, dataset_task, plane_task
from worldplan.runs import write_result

if TYPE_CHECKING:
    from worldplan.planners.offline.training import ReachAwareModule

_MEANS = ("return", "length", "decision_seconds")  # per seed, over the final episodes
_EPISODE_SEED = 300_001  # of the final episodes, the same for every method


@dataclass(frozen=True)
class Job:
    """Seeds first .. first + count - 1 of one method.

    Args:
        folder: of the run.
        study: the study.
        method: name of the method.
        first: the least seed.
        count: number of seeds.
    """

    folder: Path
    study: Study
    method: str
    first: int
    count: int

    @property
    def result(self) -> Path:
        """Table of returns per seed; the job is done when it exists."""
        return self.folder / "jobs" / f"{self.method}-{self.first}.csv"

    @property
    def training(self) -> Path:
        """Folder of checkpoint and metrics."""
        return self.folder / "checkpoints" / f"{self.method}-seed{self.first}"


def jobs_of(folder: Path, study: Study) -> list[Job]:
    """All jobs of a study; those with many critics first, since they take longest."""
    methods = sorted(study.methods, key=lambda method: -study.method_settings(method).critics)
    return [
        Job(
            folder,
            study,
            method,
            first=study.seed + offset,
            count=min(study.side_by_side, study.seeds - offset),
        )
        for method in methods
        for offset in range(0, study.seeds, study.side_by_side)
    ]


def make_task(study: Study, method: str) -> OfflineTask:
    """The task of a method: the plane, or the dataset with the method's dynamics.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: dataset, environment and dynamics do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    if study.plane is not None:
        return plane_task(study.plane, seed=study.seed)
    assert study.data is not None
    data = study.data
    return dataset_task(
        data.dataset,
        environment=data.environment,
        ensemble=data.ensemble,
        true_share=study.share(method),
        termination=data.termination,
        threads=data.threads,
        dynamics=data.dynamics,
        dynamics_options=data.dynamics_options,
    )


def make_training(job: Job) -> ReachAwareModule:
    """The training of a job; in the plane, with the diagnostics of the edge of reach.

    Raises:
        ConfigError: method and task do not fit each other, or the data do not exist.
    """
    from worldplan.planners.offline.edge_of_reach import for_plane  # imports Lightning: seconds
    from worldplan.planners.offline.training import ReachAwareModule

    study, settings = job.study, job.study.method_settings(job.method)
    if study.plane is not None:
        return for_plane(
            study.plane,
            settings,
            seed=job.first,
            seeds=job.count,
            epochs=study.epochs,
            check_every=study.check_every,
            check_episodes=study.check_episodes,
            patch=study.patch(job.method),
            start_seed=study.seed,
        )
    return ReachAwareModule(
        make_task(study, job.method),
        settings,
        seed=job.first,
        seeds=job.count,
        epochs=study.epochs,
        check_every=study.check_every,
        check_episodes=study.check_episodes,
    )


def run_job(job: Job) -> Job:
    """Train, or resume, and evaluate; nothing if the result exists. A diverged training is a result
    too, so that the other methods of the study are finished.
    """
    if job.result.exists():
        return job
    from worldplan.world_models.training.trainer import fit  # imports Lightning: seconds

    torch.set_num_threads(1)
    study, training = job.study, make_training(job)
    try:
        checkpoint = fit(
            training, job.training, save_every=study.save_every, accelerator=study.accelerator
        )
    except Diverged as error:
        unknown = dict.fromkeys(_MEANS, np.nan)
        rows = [{**unknown, "note": f"diverged: {error}"} for _ in range(job.count)]
    else:
        policies = ReachAwarePolicy.load_all(checkpoint)
        rows = _evaluated(policies, training.task, study.episodes)
    table = pd.DataFrame(rows)
    table.insert(0, "method", job.method)
    table.insert(1, "seed", range(job.first, job.first + job.count))
    write_result(job.result, table)
    return job


def _evaluated(
    policies: list[ReachAwarePolicy], task: OfflineTask, episodes: int
) -> list[dict[str, Any]]:
    """Means over the same `episodes` episodes of each policy."""
    environment = task.environment(episodes)
    rows = []
    for policy in policies:
        table = evaluate(policy, environment, episodes, _EPISODE_SEED).episodes
        rows.append({**{name: table[name].mean() for name in _MEANS}, "note": ""})
    environment.close()
    return rows


def oracle_return(plane: Plane, episodes: int) -> float:
    """Mean return of the optimal actions in the episodes that policies are evaluated in."""
    result = evaluate(_Oracle(plane), PlaneVectorEnv(episodes, plane), episodes, _EPISODE_SEED)
    return float(result.episodes["return"].mean())


class _Oracle(Planner):
    """The optimal actions of a plane."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def plan(self, observation: object) -> Decision:
        state = torch.as_tensor(observation)
        return Decision(self.plane.best_action(state).numpy(), None, None, "optimal", 0.0)
