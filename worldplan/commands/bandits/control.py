"""The values of the control variates: found once for each seed of a bandit run.

The returns of all policies on a seed are corrected by the same values, which take a fluid program
to find. A job of its own writes them into the run folder; the policies' jobs read them there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.errors import DatasetError, one_line
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.control_values import control_values
from worldplan.runs import refuse_deleted
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import build
from worldplan.world_models.storage import READ_ERRORS, replace_file

WITHOUT = "returns without control variates: no fluid values within solver.time_limit"


@dataclass(frozen=True)
class ControlJob:
    """The values of one seed.

    Args:
        folder: of the run.
        scenario: what is run.
        base: the scenario's file; file names in it are looked up there.
        seed: of the instance.
    """

    folder: Path
    scenario: Scenario
    base: Path
    seed: int

    @property
    def files(self) -> tuple[Path, ...]:
        """The file with the values."""
        return (control_file(self.folder, self.seed),)

    @property
    def done(self) -> bool:
        """Whether the file exists."""
        return self.files[0].exists()


def control_file(folder: Path, seed: int) -> Path:
    """Where a run in `folder` keeps the values of a seed."""
    return folder / "jobs" / f"control-values-{seed}.npz"


def run_control_job(job: ControlJob) -> ControlJob:
    """Find the values and write them, unless they exist.

    Raises:
        ConfigError: the run folder was deleted or moved; it is not made again.
        WorldplanError: as in `worldplan.world_models.arms.programme.build`.
    """
    if not job.done:
        programme = job.scenario.programme
        built = as_seen(build(programme, job.base, programme.seed + job.seed), programme).built
        values = control_values(built.instance, job.scenario.solver)
        refuse_deleted(job.files[0].parent)
        replace_file(job.files[0], lambda draft: np.savez_compressed(draft, values=values))
    return job


def values_of(folder: Path, seed: int, instance: BanditInstance, solver: SolverSettings) -> Floats:
    """The values (horizon + 1, arms, states) of a seed: from their file, or found if there is none.

    Raises:
        DatasetError: the file is damaged.
    """
    path = control_file(folder, seed)
    if not path.exists():
        return control_values(instance, solver)
    try:
        with np.load(path) as saved:
            values: Floats = saved["values"]
    except READ_ERRORS as error:
        raise DatasetError(
            f"{path}: cut off or damaged ({one_line(error)}): delete it and repeat the command"
        ) from error
    return values


def waiting_control_jobs(
    folder: Path, scenario: Scenario, base: Path, seeds: Iterable[int]
) -> list[ControlJob]:
    """The jobs of those seeds whose values do not exist yet."""
    jobs = [ControlJob(folder, scenario, base, seed) for seed in dict.fromkeys(seeds)]
    return [job for job in jobs if not job.done]
