"""The independent pieces of a study: one job trains a method over some of its seeds side by side
and evaluates what came out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from worldplan.commands.studies.study import Study
from worldplan.envs.edge_of_reach import Plane, PlaneVectorEnv
from worldplan.milp.errors import Diverged
from worldplan.planners.base import Decision, Planner, evaluate
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.task import OfflineTask, dataset_task, plane_task
from worldplan.runs import write_csv

if TYPE_CHECKING:
    from worldplan.planners.offline.training import ReachAwareModule

_LUCK = 300_001  # seed of the final episodes, the same for every method


@dataclass(frozen=True)
class Job:
    """Seeds first .. first + count - 1 of one method."""

    folder: Path
    study: Study
    method: str
    first: int
    count: int

    @property
    def result(self) -> Path:
        """Returns per seed; its presence says that the job is done."""
        return self.folder / "jobs" / f"{self.method}-{self.first}.csv"

    @property
    def training(self) -> Path:
        """Checkpoint and metrics."""
        return self.folder / "checkpoints" / f"{self.method}-seed{self.first}"


def jobs_of(folder: Path, study: Study) -> list[Job]:
    """All jobs of a study, those with many critics first: they take longest."""
    methods = sorted(study.methods, key=lambda method: -study.method_settings(method).critics)
    starts = range(0, study.seeds, study.side_by_side)
    return [
        Job(folder, study, method, study.seed + i, min(study.side_by_side, study.seeds - i))
        for method in methods
        for i in starts
    ]


def make_task(study: Study, method: str) -> OfflineTask:
    """The task as a method sees it."""
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
    """Train, or continue, and evaluate, unless the result is there already."""
    if job.result.exists():
        return job
    from worldplan.world_models.training.trainer import fit  # imports Lightning: seconds

    torch.set_num_threads(1)
    study, module = job.study, make_training(job)
    try:
        checkpoint = fit(
            module, job.training, save_every=study.save_every, accelerator=study.accelerator
        )
    except Diverged as error:  # a result of the study like any other; the other methods go on
        failed = {
            "method": job.method,
            "return": np.nan,
            "length": np.nan,
            "decision_seconds": np.nan,
            "note": f"diverged: {error}",
        }
        write_csv(
            job.result,
            pd.DataFrame([failed | {"seed": job.first + index} for index in range(job.count)]),
        )
        return job
    rows = []
    environment = module.task.environment(study.episodes)
    for index, policy in enumerate(ReachAwarePolicy.load_all(checkpoint)):
        episodes = evaluate(policy, environment, study.episodes, _LUCK).episodes
        rows.append(
            {
                "method": job.method,
                "seed": job.first + index,
                "return": episodes["return"].mean(),
                "length": episodes["length"].mean(),
                "decision_seconds": episodes["decision_seconds"].mean(),
                "note": "",
            }
        )
    environment.close()
    write_csv(job.result, pd.DataFrame(rows))
    return job


def oracle_return(plane: Plane, episodes: int) -> float:
    """What walking straight to the goal collects in the same episodes."""
    result = evaluate(_Oracle(plane), PlaneVectorEnv(episodes, plane), episodes, _LUCK)
    return float(result.episodes["return"].mean())


class _Oracle(Planner):
    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def plan(self, observation: object) -> Decision:
        state = torch.as_tensor(observation)
        return Decision(self.plane.best_action(state).numpy(), None, None, "optimal", 0.0)
