"""RAMP and MaskablePPO on counters, depots, sailing and the pogo stick, learning online.

    OMP_NUM_THREADS=1 python -m benchmarks.numeric.ramp_domains [--domains counters ...]
        [--methods ramp combined ppo ppo_pre] [--seeds 5] [--problems 5] [--steps 3000]
        [--episode-steps 500] [--minutes 30] [--out FOLDER]

The setting is that of Numeric PDDLGym (arXiv 2604.08685): a reward of 1 at the goal, an action that
is not applicable changes nothing and costs a step, all ground actions of the right types are
offered. Each seed draws its own problems (`domains.py`), the same for all methods and in the same
order, with a budget of steps each; a method keeps what it learned from problem to problem.

    ramp      `RampSettings()` with 2 s per search; preconditions and effects are hidden
    combined  the same with `RampSettings.exploring("combined")`: informative actions as well
    ppo       MaskablePPO (sb3-contrib), masks "post": an action that changed nothing is masked in
              the same state. Learning rate, discount and loss weights as published for the setting
    ppo_pre   the same with masks "pre": the true applicable actions are shown

The publication trains PPO for 1000 iterations of 1500 steps on 50 problems drawn at random; the
budgets here are much smaller. Its tables could not be read, so its results are not quoted.

Rows are kept in ramp_domains.csv; runs in that file are not repeated, and after --minutes no run is
begun. The report is written beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sb3_contrib import MaskablePPO

from benchmarks.numeric.domains import DOMAINS, problems_of
from benchmarks.numeric.ramp_domains_report import report
from benchmarks.sequences import ProblemSequence, Row
from worldplan.envs.crafting import CraftingEnv, generate
from worldplan.planners.numeric.pddl_env import PddlEnv
from worldplan.planners.numeric.symbolic_env import crafting_task, state_of
from worldplan.planners.ramp.ramp import Ramp
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.storage import replace_file

RESULTS = Path(__file__).resolve().parent / "results"
POGO = "pogo_stick"
NAMES = (*DOMAINS, POGO)
METHODS = ("ramp", "combined", "ppo", "ppo_pre")
KEY = ["domain", "method", "seed", "problems", "budget", "limit"]
PUBLISHED = {  # PPO of Numeric PDDLGym, as far as MaskablePPO has the same settings
    "learning_rate": 1e-3,
    "gamma": 0.999,
    "gae_lambda": 0.95,
    "ent_coef": 0.01,
    "vf_coef": 0.65,
    "max_grad_norm": 1.0,
    "clip_range": 0.2,
    "n_epochs": 3,
}


def environment(domain: str, seed: int, count: int, limit: int) -> tuple[Any, list[dict]]:
    """The environment of a domain, and the options of `reset` for each problem."""
    if domain == POGO:
        maps = generate("pogo_stick", 6, count, np.random.default_rng([seed, 9]))
        env = CraftingEnv("pogo_stick", maps=maps[0], max_steps=limit)
        return env, [{"map": instance} for instance in maps]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "domain.pddl"
        path.write_text(DOMAINS[domain][0])
        env = PddlEnv(
            path,
            problems_of(domain, seed, count),
            max_steps=limit,
            step_reward=0.0,
            masks=False,
        )
    return env, [{"problem": number} for number in range(count)]


def by_ramp(method: str, domain: str, seed: int, count: int, budget: int, limit: int) -> list[Row]:
    """A run of RAMP over all problems: one row per problem."""
    env, options = environment(domain, seed, count, limit)
    if domain == POGO:
        vocabulary, goal = crafting_task(env)
    else:
        vocabulary, goal = env.model.vocabulary, None
    explorer = "combined" if method == "combined" else "optimistic"
    settings = RampSettings.exploring(explorer, rollout=limit, time_limit=2.0)
    ramp = Ramp(env, vocabulary, goal, settings, seed=seed)
    rows = []
    for each in options:
        began = time.process_time()
        record = ramp.run_map(budget, each)
        names = ("first_goal", "first_by", "best", "steps", "episodes", "planned_steps")
        row = {name: getattr(record, name) for name in (*names, "broken_plans")}
        rows.append({**row, "cpu_seconds": time.process_time() - began})
    return rows


def by_ppo(method: str, domain: str, seed: int, count: int, budget: int, limit: int) -> list[Row]:
    """A run of MaskablePPO over all problems: one row per problem."""
    env, options = environment(domain, seed, count, limit)
    sequence = ProblemSequence(env, options, budget, state_of, method == "ppo_pre")
    agent = MaskablePPO(
        "MlpPolicy",
        sequence,
        n_steps=limit,
        batch_size=limit,
        **PUBLISHED,
        seed=seed,
        device="cpu",
    )
    agent.learn(budget * count, log_interval=None)
    return sequence.timed_rows(first_by="policy", planned_steps=0, broken_plans=0)


def one_run(key: tuple) -> list[Row]:
    """Run a method on one sequence of problems."""
    torch.set_num_threads(1)
    domain, method, seed, count, budget, limit = key
    run = by_ppo if method.startswith("ppo") else by_ramp
    named = dict(zip(KEY, key, strict=True))
    return [
        {**named, "number": number, **row}
        for number, row in enumerate(run(method, domain, seed, count, budget, limit))
    ]


def missing(options: argparse.Namespace, done: set[tuple]) -> Iterator[tuple]:
    """The keys of the runs that are not in `done`, all domains and methods of a seed together."""
    for seed in range(options.seeds):
        for domain in options.domains:
            for method in options.methods:
                numbers = (options.problems, options.steps, options.episode_steps)
                if (key := (domain, method, seed, *numbers)) not in done:
                    yield key


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--domains", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000, help="budget per problem")
    parser.add_argument("--episode-steps", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    path = options.out / "ramp_domains.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    end = time.monotonic() + 60 * options.minutes
    for key in missing(options, {tuple(row[name] for name in KEY) for row in rows}):
        if time.monotonic() > end:
            print("out of time", flush=True)
            break
        new = one_run(key)
        rows += new
        replace_file(path, partial(pd.DataFrame(rows).to_csv, index=False))
        goals = [row["first_goal"] for row in new]
        print(*key, goals, f"{sum(row['cpu_seconds'] for row in new):.0f} s", flush=True)
    text = report(pd.DataFrame(rows))
    replace_file(path.with_suffix(".md"), lambda draft: draft.write_text(text, encoding="utf-8"))
    print(text)


if __name__ == "__main__":
    main()
