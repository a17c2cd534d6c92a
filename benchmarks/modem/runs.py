"""Trainings of MoDem's studies: each in a folder of its own, resumed where it was interrupted,
evaluated on the same new episodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch

from worldplan.milp.errors import CheckpointError
from worldplan.planners.episodes import figures_of, play
from worldplan.planners.modem.policy import load_policy
from worldplan.planners.modem.settings import ModemSettings
from worldplan.planners.modem.task import ModemTask
from worldplan.planners.modem.training import ModemModule
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.trainer import fit

RESULTS = Path(__file__).resolve().parent / "results"
EVALUATED = 100  # episodes
EVALUATION_SEED = 100_000  # the same for every method, so that all play the same episodes


@dataclass(frozen=True)
class Job:
    """One training."""

    part: str
    task: str
    method: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Folder of the run."""
        return out / self.task / self.method / f"seed{self.seed}"


def train_and_evaluate(
    job: Job, make: Callable[[], ModemTask], settings: ModemSettings, out: Path
) -> dict[str, Any]:
    """Train, evaluate planner and clone, and return the row of this run; that of a finished run is
    read from its folder.

    Raises:
        CheckpointError: the finished run had other settings.
    """
    torch.set_num_threads(1)
    folder = job.folder(out)
    row = folder / "row.json"
    if row.exists():
        finished = json.loads(row.read_text(encoding="utf-8"))
        if finished["settings"] != repr(settings):
            raise CheckpointError(
                f"{folder} is a finished run with other settings: choose another folder with --out,"
                " or delete it to train again"
            )
        return dict(finished["figures"])
    task = make()
    module = ModemModule(task, settings, seed=job.seed, check_every=10)
    checkpoint = fit(module, folder, save_every=5)
    figures: dict[str, Any] = {
        "part": job.part,
        "task": job.task,
        "method": job.method,
        "seed": job.seed,
        "steps": settings.steps,
    }
    table = pd.read_csv(folder / "metrics.csv")
    figures |= {name: float(table[name].max()) for name in ("violations", "saturations")}
    for name, share in (("planner", 1.0), ("clone", 0.0)):
        if share or settings.clone_updates:
            figures |= {
                f"{name}_{key}": value for key, value in evaluated(task, checkpoint, share).items()
            }
    replace_file(
        row,
        lambda draft: draft.write_text(
            json.dumps({"settings": repr(settings), "figures": figures}), encoding="utf-8"
        ),
    )
    return figures


def evaluated(task: ModemTask, checkpoint: Path, share: float) -> dict[str, float]:
    """Figures of a policy over new episodes, which are the same for every method."""
    planner, _ = load_policy(checkpoint, share=share)
    played = []
    for part in range(EVALUATED // 25):
        environments = task.make(25)
        played += play(planner, environments, EVALUATION_SEED + 25 * part)
        environments.close()
    return figures_of(played)


def run_all(
    run: Callable[[Job, Path], dict[str, Any]], jobs: list[Job], workers: int, out: Path
) -> pd.DataFrame:
    """Run all jobs and return their rows in the order of the jobs; prints each when it is ready."""
    rows = []
    for row in joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(
        joblib.delayed(run)(job, out) for job in jobs
    ):
        rows.append(row)
        clone = row.get("clone_success", float("nan"))
        print(
            f"{row['task']} {row['method']} {row['seed']}: "
            f"planner {row['planner_success']:.2f}, clone {clone:.2f}",
            flush=True,
        )
    order = {job: index for index, job in enumerate(jobs)}
    rows.sort(key=lambda row: order[Job(row["part"], row["task"], row["method"], row["seed"])])
    return pd.DataFrame(rows)


def curves(jobs: list[Job], out: Path) -> pd.DataFrame:
    """The checks of all runs so far, one row each."""
    tables = []
    for job in jobs:
        file = job.folder(out) / "metrics.csv"
        if file.exists():
            table = pd.read_csv(file)
            tables.append(
                table.assign(part=job.part, task=job.task, method=job.method, seed=job.seed)
            )
    kept = ["part", "task", "method", "seed", "epoch", "step", "violations", "saturations"]
    whole = pd.concat(tables, ignore_index=True)
    return whole[kept + [name for name in whole if name.startswith(("check/", "train/success"))]]
