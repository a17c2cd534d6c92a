"""MoDem-V2 against behaviour cloning on two tasks of Meta-World: state observations, 5 scripted
demonstrations, sparse success reward.

    make metaworld && export WORLDPLAN_METAWORLD_PYTHON=$PWD/.venv-metaworld/bin/python
    OMP_NUM_THREADS=1 python -m benchmarks.modem.metaworld_study [--tasks push-v3 assembly-v3]
        [--seeds 2] [--steps 20000] [--jobs 2] [--out FOLDER]

Settings and evaluation are those of `benchmarks.modem.study`; the clone that each run begins with
is the baseline "BC". A step is a decision of two simulator steps. Finished runs are not repeated,
interrupted ones resume. Writes metaworld_study.csv (a row per run), metaworld_curves.csv (checks
during training), metaworld_study.md and a plot. Meta-World does not measure contact forces, so
violations are not counted.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.modem.report import NAMES, SUCCESS, draw, interval
from benchmarks.modem.runs import EVALUATED, RESULTS, Job, curves, run_all, train_and_evaluate
from benchmarks.modem.study import method_settings
from worldplan.planners.modem.task import ModemTask
from worldplan.world_models.collection.metaworld import collect_metaworld_demonstrations
from worldplan.world_models.storage import replace_file

ENVIRONMENT = "worldplan.envs.isolated.metaworld:worldplan/MetaWorld-v0"
# cloning 5 demonstrations solves about a sixth of the episodes of the first, half of the second
TASKS = ["push-v3", "assembly-v3"]
DEMONSTRATIONS, NOISE = 5, 0.1
UNMEASURED = ("violations", "saturations", "largest_force")


def task_of(job: Job) -> ModemTask:
    """Environment and demonstrations of a training."""
    options = {"task": job.task}
    about = {
        "environment": ENVIRONMENT,
        "options": options,
        "noise": NOISE,
        "episodes": DEMONSTRATIONS,
    }
    demonstrations = collect_metaworld_demonstrations(
        job.task, DEMONSTRATIONS, noise=NOISE, seed=job.seed
    )
    return ModemTask(ENVIRONMENT, options, demonstrations.episodes, about)


def run(job: Job, out: Path, *, steps: int) -> dict[str, Any]:
    """Train, evaluate, and return the row of this run."""
    return train_and_evaluate(job, lambda: task_of(job), method_settings(job.method, steps), out)


def report(rows: pd.DataFrame) -> str:
    """The table as text."""
    lines = [
        f"Meta-World 3.1.1 from state, sparse success reward, {DEMONSTRATIONS} scripted "
        f"demonstrations with noise {NOISE}. Success (at some time in the episode, as Meta-World "
        f"counts it) of {EVALUATED} new episodes per run, planner alone (handover 1); mean over "
        "seeds, with a 95 % bootstrap interval over them where there are several. BC is the clone "
        "that the same runs begin with. A step is a decision of two steps of the simulator.",
        "",
        "| task | method | seeds | steps | success | BC | difference, points |",
        "|---|---|---|---|---|---|---|",
    ]
    for (task, method), group in rows.groupby(["task", "method"], sort=False):
        gain = 100 * (group["planner_success"] - group["clone_success"]).mean()
        about = f"{task} | {NAMES[str(method)]} | {len(group)} | {group['steps'].iloc[0]}"
        success, clone = interval(group["planner_success"]), interval(group["clone_success"])
        lines.append(f"| {about} | {success} | {clone} | {gain:+.0f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="names in Meta-World")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20_000, help="decisions of each run")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs") / "metaworld_study")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    jobs = [
        Job("metaworld", task, "v2", seed)
        for seed in range(options.seeds)
        for task in options.tasks
    ]
    table = run_all(partial(run, steps=options.steps), jobs, options.jobs, options.out)
    checks = curves(jobs, options.out)
    table, checks = (
        part[[name for name in part if not name.endswith(UNMEASURED)]] for part in (table, checks)
    )
    replace_file(
        options.results / "metaworld_study.csv", lambda draft: table.to_csv(draft, index=False)
    )
    replace_file(
        options.results / "metaworld_curves.csv",
        lambda draft: checks.round(4).to_csv(draft, index=False),
    )
    replace_file(
        options.results / "metaworld_study.md",
        lambda draft: draft.write_text(report(table), encoding="utf-8"),
    )
    draw(checks, SUCCESS, "success of the planner alone", options.results / "metaworld_success.png")


if __name__ == "__main__":
    main()
