"""Success on held-out crafting maps by number of expert trajectories: NSAM, cloning, offline DQN.

    OMP_NUM_THREADS=1 python -m benchmarks.crafting.offline [--tasks wooden_sword pogo_stick]
        [--counts 1 5 20 80 160 320 640] [--seeds 3] [--maps 50] [--time-limit 10]
        [--methods nsam nsam_relevant nsam_resources bc dqn] [--updates 8] [--out FOLDER]

Training data are shortest plans on random 6 x 6 maps, test maps are others of 6 x 6, 10 x 10 and
15 x 15 cells. A map is solved if the goal is reached within 32 steps. Each seed draws its own maps,
which are the same for all methods.

    nsam            convex preconditions and affine effects. Plans come from worldplan's search in
                    the learned model: first with a few cells of each kind
                    (planners/numeric/task/symmetry.py) and, if there is no plan, with all cells
    nsam_relevant   also given the items on which each action's precondition depends, as in the
                    publication (arXiv 2502.13006)
    nsam_resources  also given that more of an item never disables an action, and that actions
                    change amounts by constants
    bc, dqn         one network for all map sizes (benchmarks/crafting/networks.py), which acts
                    greedily; `--updates` updates per trajectory, of 32 rows each, and at least
                    1,000 (the publication: 128 per trajectory)

Every plan is executed in the environment; a plan that fails there counts as a false plan. Rows are
kept in crafting_offline.csv and are not computed again. The tables are in the .md beside it, the
plot in the .png.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.crafting.experts import (
    Expert,
    declarations,
    problem_of,
    reaches_goal,
    split,
    vocabulary,
)
from benchmarks.crafting.networks import LEARNERS, steps_to_goal, transitions
from benchmarks.crafting.report import draw, report
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import SIZES, TASKS, CraftingMap, Task
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.symmetry import with_representatives
from worldplan.planners.ramp.knowledge.constant_arguments import ActionSplitter
from worldplan.world_models.action_model.learner import learn
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.storage import replace_file

RESULTS = Path(__file__).resolve().parent / "results"
SIMILAR = 6  # cells of each kind in the first search
LIMIT = 32  # steps within which a solved map's goal is reached
TRAINED_ON = 6  # cells per side
KNOWLEDGE = {"nsam": "nothing", "nsam_relevant": "relevant", "nsam_resources": "resources"}
METHODS = (*KNOWLEDGE, *LEARNERS)
LEAST_UPDATES = 1000
KEY = ["task", "seed", "method", "trajectories", "size", "maps", "updates"]
HeldOut = list[tuple[CraftingMap, int]]  # (map, length of its shortest plan)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 5, 20, 80, 160, 320, 640])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--maps", type=int, default=50, help="held-out maps of each size and seed")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--time-limit", type=float, default=10.0, help="seconds per plan, of wall time"
    )
    parser.add_argument("--updates", type=int, default=8, help="of a network, per trajectory")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.out / "crafting_offline.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    for row in missing(options, {key_of(row) for row in rows}):
        rows.append(row)
        replace_file(path, lambda draft: pd.DataFrame(rows).to_csv(draft, index=False))
        print({name: value for name, value in row.items() if value == value}, flush=True)
    wanted = {key for keys, *_ in settings(options) for key in keys.values()}
    table = pd.DataFrame([row for row in rows if key_of(row) in wanted])
    text = report(table, LIMIT)
    replace_file(path.with_suffix(".md"), lambda draft: draft.write_text(text, encoding="utf-8"))
    draw(table, path.with_suffix(".png"))
    print(text)


def key_of(row: dict[str, Any]) -> tuple:
    """The columns that identify a row."""
    return tuple(row[name] for name in KEY)


def settings(
    options: argparse.Namespace,
) -> Iterator[tuple[dict[int, tuple], Task, int, int, str, int]]:
    """All requested settings: (keys of the rows by map size, task, seed, trajectories, method,
    updates).
    """
    for task, seed, count, method in product(
        options.tasks, range(options.seeds), options.counts, options.methods
    ):
        updates = max(LEAST_UPDATES, options.updates * count) if method in LEARNERS else 0
        keys = {size: (task, seed, method, count, size, options.maps, updates) for size in SIZES}
        yield keys, task, seed, count, method, updates


def missing(options: argparse.Namespace, done: set[tuple]) -> Iterator[dict[str, Any]]:
    """Compute the rows whose keys are not in `done`, one after the other."""
    most = max(options.counts)
    for keys, task, seed, count, method, updates in settings(options):
        if done.issuperset(keys.values()):
            continue
        expert_data = experts(task, seed, options.maps, most)[:count]
        tests = {size: held_out(task, seed, size, options.maps, most) for size in SIZES}
        if method in KNOWLEDGE:
            rows = by_planning(task, KNOWLEDGE[method], expert_data, tests, options.time_limit)
        else:
            rows = by_network(task, method, expert_data, tests, seed, updates)
        for size, row in rows:
            if keys[size] not in done:
                yield dict(zip(KEY, keys[size], strict=True)) | row


# ---- maps


@cache
def small_maps(task: Task, seed: int, maps: int, most: int) -> list[CraftingMap]:
    """Different 6 x 6 maps; the first `maps` are held out."""
    return generate(
        task, TRAINED_ON, maps + most, np.random.default_rng([seed, TASKS.index(task), TRAINED_ON])
    )


@cache
def experts(task: Task, seed: int, maps: int, most: int) -> list[Expert]:
    """Shortest plans on the maps that are not held out."""
    return [Expert.on(instance) for instance in small_maps(task, seed, maps, most)[maps:]]


@cache
def held_out(task: Task, seed: int, size: int, maps: int, most: int) -> HeldOut:
    """The test maps of one size, on which there are no expert trajectories."""
    if size == TRAINED_ON:
        instances = small_maps(task, seed, maps, most)[:maps]
    else:
        instances = generate(
            task, size, maps, np.random.default_rng([seed, TASKS.index(task), size])
        )
    return [(instance, len(shortest_plan(instance) or ())) for instance in instances]


# ---- methods


def by_planning(
    task: Task,
    knowledge: str,
    expert_data: list[Expert],
    tests: dict[int, HeldOut],
    time_limit: float,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Learn one model, then plan on every map and execute the plans; one row per size."""
    splitter = ActionSplitter(vocabulary(task))
    trajectories = split((expert.trajectory() for expert in expert_data), splitter)
    began = time.process_time()
    model = learn(splitter.vocabulary, trajectories, declarations(knowledge, task, splitter))
    learning = time.process_time() - began
    for size, test in tests.items():
        results = [plan_and_play(model, splitter, instance, time_limit) for instance, _ in test]
        outcomes = Counter(outcome for outcome, _, _ in results)
        lengths = [
            (length, shortest)
            for (outcome, length, _), (_, shortest) in zip(results, test, strict=True)
            if outcome == "solved"
        ]
        seconds = [cpu_seconds for _, _, cpu_seconds in results]
        counts = {
            name: outcomes[name]
            for name in ("solved", "no_plan", "time_limit", "too_long", "false_plan")
        }
        yield (
            size,
            counts
            | ratios(lengths)
            | {
                "learn_seconds": learning,
                "plan_seconds": np.median(seconds),
                "slowest_plan": max(seconds),
            },
        )


def plan_and_play(
    model: NumericModel, splitter: ActionSplitter, instance: CraftingMap, time_limit: float
) -> tuple[str, int, float]:
    """(outcome, length of the plan, CPU seconds of planning)."""
    began = time.process_time()
    result = plan_on(model, problem_of(instance), time_limit)
    seconds = time.process_time() - began
    if result.plan is None:
        limited = result.status in ("time_limit", "memory_limit")
        return "time_limit" if limited else "no_plan", 0, seconds
    plan = [splitter.join(call) for call in result.plan]
    if not reaches_goal(instance, plan):
        return "false_plan", len(plan), seconds
    return "solved" if len(plan) <= LIMIT else "too_long", len(plan), seconds


def plan_on(model: NumericModel, whole: NumericProblem, time_limit: float) -> PlanResult:
    """Search with a few cells of each kind and, if that gives no plan, with all cells."""
    part = with_representatives(model.vocabulary, whole, SIMILAR)
    result = search_plan(model, part, time_limit=time_limit)
    if result.plan is None and part is not whole and result.seconds < time_limit:
        result = search_plan(model, whole, time_limit=time_limit - result.seconds)
    return result


def by_network(
    task: Task,
    method: str,
    expert_data: list[Expert],
    tests: dict[int, HeldOut],
    seed: int,
    updates: int,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Train one network, then act greedily on every map; one row per size."""
    data = transitions(expert_data)
    began = time.process_time()
    policy = LEARNERS[method](task, data, updates, torch.Generator().manual_seed(seed))
    learning = time.process_time() - began
    for size, test in tests.items():
        steps = steps_to_goal(policy, [instance for instance, _ in test], LIMIT)
        lengths = [
            (length, shortest)
            for length, (_, shortest) in zip(steps, test, strict=True)
            if length is not None
        ]
        yield (
            size,
            {"solved": len(lengths), "not_reached": len(test) - len(lengths)}
            | ratios(lengths)
            | {"learn_seconds": learning},
        )


def ratios(lengths: Iterable[tuple[int, int]]) -> dict[str, float]:
    """Mean and maximum of (steps / steps of a shortest plan); empty without lengths."""
    values = [length / shortest for length, shortest in lengths]
    return {"mean_ratio": float(np.mean(values)), "worst_ratio": max(values)} if values else {}


if __name__ == "__main__":
    main()
