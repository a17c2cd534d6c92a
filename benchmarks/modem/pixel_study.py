"""MoDem-V2 against behaviour cloning from images: two cameras of 64 x 64 pixels and the hand's own
joints, no state of the object.

    OMP_NUM_THREADS=1 python -m benchmarks.modem.pixel_study [--tasks PlanarPush BinPick]
        [--seeds 2] [--more] [--jobs 2] [--out FOLDER]

Methods, evaluation and resuming are those of `benchmarks.modem.study`. Cloning has fewer updates of
smaller batches, since cloning is the slow part with images: afterwards the encoder is frozen, and
images are encoded once. Writes pixel_study.csv, pixel_curves.csv, pixel_study.md and two plots;
with --more, which gives every run more demonstrations, pixel_more_study.csv and so on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.modem.report import gains, write_report
from benchmarks.modem.runs import RESULTS, Job, curves, run_all, train_and_evaluate
from benchmarks.modem.study import V2, Demonstrations, method_settings, task_of

TASKS = {
    "PlanarPush": Demonstrations(2, 0.05, 10_000),
    "InclinePush": Demonstrations(3, 0.05, 10_000),
    "BinPick": Demonstrations(5, 0.1, 30_000),
    "UprightPivot": Demonstrations(10, 0.1, 36_000),
}
MORE = {"PlanarPush": 3, "InclinePush": 5, "BinPick": 10, "UprightPivot": 20}  # demonstrations
# a latent of 64 numbers loses the positions of objects
LATENT = replace(V2.latent, latent=192, encoder_hidden=256, channels=32, keypoints=True)
CLONE_UPDATES, CLONE_BATCH = 1500, 64


def run(job: Job, out: Path, *, more: bool) -> dict[str, Any]:
    """Train, evaluate, and return the row of this run."""
    demonstrations = TASKS[job.task]
    if more:
        demonstrations = replace(demonstrations, episodes=MORE[job.task])
    settings = replace(
        method_settings(job.method, demonstrations.steps),
        latent=LATENT,
        clone_updates=CLONE_UPDATES,
        clone_batch=CLONE_BATCH,
    )
    figures = train_and_evaluate(
        job, lambda: task_of(job, {"observation": "pixels"}, demonstrations), settings, out
    )
    return figures | {"demonstrations": demonstrations.episodes}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tasks", nargs="+", default=["PlanarPush", "BinPick"], choices=list(TASKS)
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--more",
        action="store_true",
        help="more demonstrations: " + ", ".join(f"{task} {count}" for task, count in MORE.items()),
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        help="runs/pixel_study or runs/pixel_more_study when not given",
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "pixels")
    options = parser.parse_args()
    prefix = "pixel_more" if options.more else "pixel"
    out = options.out or Path("runs") / f"{prefix}_study"
    jobs = [
        Job("pixels", task, "v2", seed) for seed in range(options.seeds) for task in options.tasks
    ]
    rows = run_all(partial(run, more=options.more), jobs, options.jobs, out)
    write_report(rows, curves(jobs, out), options.results, prefix=prefix, aims=gains(rows))


if __name__ == "__main__":
    main()
