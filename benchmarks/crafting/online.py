"""RAMP, RAMP as published, MaskablePPO and DQN on sequences of crafting maps, learning online.

    OMP_NUM_THREADS=1 python -m benchmarks.crafting.online [--tasks wooden_sword pogo_stick]
        [--sizes 6] [--methods ramp ramp_paper ppo dqn] [--seeds 5] [--maps 10] [--jobs 1]
        [--out FOLDER]

Each seed draws its own maps, which are the same for all methods and in the same order. Budgets are
those of the publication (arXiv 2502.13006): for the pogo stick 6000 steps per map and 1500 per
episode, for the sword 800 and 200. A method keeps what it learned from map to map.

    ramp        this project's: `RampSettings()`, without knowledge of preconditions and effects. A
                map is left before its budget is used up if no model has a shorter plan
    ramp_safe   the same without the optimistic model: safe plans and curious exploration only (an
                ablation, not run by default because it is slow)
    ramp_paper  `RampSettings.paper()`, with 10 s per search instead of the published 300 s
    ppo         MaskablePPO (sb3-contrib) with the published settings. An action that changed
                nothing is masked in the same state
    dqn         DQN (stable-baselines3) with the published settings. After each episode there is one
                update per 4 steps of the episode limit

Measured per map: whether the goal was reached, the number of steps up to the first time, and the
fewest steps of a successful episode over those of an exact shortest plan. Rows are kept in
crafting_online.csv; runs in that file are not repeated. The report and the plot are written beside
it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN

from benchmarks.crafting.online_report import draw, report
from benchmarks.sequences import ProblemSequence, Row
from worldplan.envs.crafting.environment import MAX_STEPS, CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.pddl import domain_pddl
from worldplan.envs.crafting.rules import TASKS, CraftingMap, Task
from worldplan.planners.numeric.symbolic_env import crafting_task
from worldplan.planners.ramp.policy import ppo_settings
from worldplan.planners.ramp.ramp import Ramp
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.numeric.domain import NumericModel
from worldplan.world_models.pddl.reading import read_model
from worldplan.world_models.storage import replace_file

RESULTS = Path(__file__).resolve().parent / "results"
BUDGET = {"wooden_sword": 800, "pogo_stick": 6000}  # steps per map
SHORTEST_POSSIBLE = {"wooden_sword": 2, "pogo_stick": 5}  # `RampSettings`, as published
TARGET_UPDATE = {"wooden_sword": 64, "pogo_stick": 32}
METHODS = ("ramp", "ramp_safe", "ramp_paper", "ppo", "dqn")
DEFAULT = ("ramp", "ramp_paper", "ppo", "dqn")
KEY = ["task", "size", "method", "seed", "maps"]


# ---- RAMP


def by_ramp(kind: str, task: Task, maps: list[CraftingMap], seed: int) -> list[Row]:
    """A RAMP run over all maps: one row per map."""
    env = CraftingEnv(task, maps=maps[0])
    settings = RampSettings(rollout=env.max_steps, optimism=kind == "ramp")
    model = None
    if kind == "ramp_paper":
        settings = RampSettings.paper(
            rollout=env.max_steps,
            time_limit=10.0,
            shortest_possible=SHORTEST_POSSIBLE[task],
            similar=env.size**2,
        )
        model = true_model(task)
    ramp = Ramp(env, *crafting_task(env), settings, seed=seed, true_model=model)
    rows = []
    for instance in maps:
        began = time.process_time()
        record = ramp.run_map(BUDGET[task], {"map": instance})
        rows.append(
            {
                "first_goal": record.first_goal,
                "first_by": record.first_by,
                "best": record.best,
                "best_by": record.best_by,
                "steps": record.steps,
                "episodes": record.episodes,
                "planned_steps": record.planned_steps,
                "broken_plans": record.broken_plans,
                "cpu_seconds": time.process_time() - began,
            }
        )
    return rows


def true_model(task: Task) -> NumericModel:
    """The true domain, with which the published code validates plans."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "domain.pddl"
        path.write_text(domain_pddl(task, "map"))
        return read_model(path)


# ---- the baselines


def by_baseline(kind: str, task: Task, maps: list[CraftingMap], seed: int) -> list[Row]:
    """One learning run over all maps: one row per map."""
    env = ProblemSequence(
        CraftingEnv(task, maps=maps[0]),
        [{"map": instance} for instance in maps],
        BUDGET[task],
        attrgetter("state"),
    )
    total, limit = BUDGET[task] * len(maps), MAX_STEPS[task]
    if kind == "ppo":
        agent: Any = MaskablePPO(
            "MlpPolicy",
            env,
            **ppo_settings(RampSettings.paper(), limit),
            seed=seed,
            device="cpu",
        )
    else:
        agent = DQN(
            "MlpPolicy",
            env,
            learning_rate=3e-4,
            buffer_size=total,
            learning_starts=32,
            batch_size=32,
            train_freq=(1, "episode"),
            gradient_steps=limit // 4,
            target_update_interval=TARGET_UPDATE[task],
            exploration_fraction=1.0,
            seed=seed,
            device="cpu",
        )
    agent.learn(total, log_interval=None)
    return env.timed_rows(first_by="policy", best_by="policy", planned_steps=0, broken_plans=0)


# ---- runs


def one_run(task: Task, size: int, method: str, seed: int, count: int) -> list[Row]:
    """Run a method on one sequence of maps."""
    torch.set_num_threads(1)
    maps = generate(task, size, count, np.random.default_rng([seed, size, TASKS.index(task)]))
    run = partial(by_ramp, method) if method.startswith("ramp") else partial(by_baseline, method)
    key = dict(zip(KEY, (task, size, method, seed, count), strict=True))
    return [
        {
            **key,
            "map": number,
            **row,
            "shortest": len(shortest_plan(instance) or ()),
            "budget": BUDGET[task],
        }
        for number, (instance, row) in enumerate(zip(maps, run(task, maps, seed), strict=True))
    ]


def missing(options: argparse.Namespace, done: set[tuple]) -> Iterator[tuple]:
    """The keys of the runs that are not in `done`, all methods of a seed together."""
    for task in options.tasks:
        for size in options.sizes:
            for seed in range(options.seeds):
                for method in options.methods:
                    if (key := (task, size, method, seed, options.maps)) not in done:
                        yield key


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[6])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(DEFAULT))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--maps", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    path = options.out / "crafting_online.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    jobs = list(missing(options, {tuple(row[name] for name in KEY) for row in rows}))
    workers = joblib.Parallel(n_jobs=options.jobs, return_as="generator_unordered")
    for new_rows in workers(joblib.delayed(one_run)(*job) for job in jobs):
        rows += new_rows
        replace_file(path, partial(pd.DataFrame(rows).to_csv, index=False))
        table = pd.DataFrame(new_rows)
        print(
            *table[KEY].iloc[0],
            f"first goals {table['first_goal'].tolist()}, {table['cpu_seconds'].sum():.0f} s",
            flush=True,
        )
    table = pd.DataFrame(rows)
    text = report(table)
    replace_file(path.with_suffix(".md"), lambda draft: draft.write_text(text, encoding="utf-8"))
    replace_file(path.with_suffix(".png"), lambda draft: draw(table, draft))
    print(text)


if __name__ == "__main__":
    main()
