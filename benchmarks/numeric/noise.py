"""Learning and planning with bounded noise: recall and plan success against the noise bound and the
number of trajectories.

    python -m benchmarks.numeric.noise [--domains watering vans sailing] [--bounds 0.01 0.1 0.5]
        [--counts 5 20 60] [--seeds 3] [--problems 10] [--limit 3]

For each domain, bound, number of trajectories and seed: random walks of 20 steps in the true model,
whose numbers are observed with an error drawn uniformly within the bound (a fifth of the errors at
its ends); a model learned from them; and problems whose initial numbers are observed with the same
noise. Every plan is then carried out in the true model from the true initial state, from the
corners of the box of values within the bounds, and from 20 random ones in it. A plan that fails in
any of them is broken. Recall and precision of preconditions are measured on held-out random walks,
in true numbers. The exact learner on the same numbers is set beside it.

Rows are kept in benchmarks/numeric/results/noise.csv, and finished rows are not run again; the
table is in the .md beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.numeric.noisy_domains import DOMAINS, NoisyDomain
from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric.model_scores import (
    mean_precision,
    mean_recall,
    precondition_agreement,
    random_walk,
)
from worldplan.planners.numeric.planning import solve
from worldplan.world_models.action_model.learner import learn, learn_with_noise
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import NumericProblem, State
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.trajectories import Trajectory

RESULTS = Path(__file__).resolve().parent / "results"
KEY = ("domain", "bound", "trajectories", "seed")
STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS))
    parser.add_argument("--bounds", nargs="+", default=["0.01", "0.1", "0.5"])
    parser.add_argument("--counts", nargs="+", type=int, default=[5, 20, 60])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=10)
    parser.add_argument("--limit", type=float, default=3.0, help="seconds for a plan")
    parser.add_argument("--output", type=Path, default=RESULTS / "noise.csv")
    options = parser.parse_args()
    table = options.output
    rows = pd.read_csv(table, dtype={"bound": str}).to_dict("records") if table.exists() else []
    for row in measured(options, {tuple(str(row[name]) for name in KEY) for row in rows}):
        rows.append(row)
        print(row, flush=True)
        pd.DataFrame(rows).to_csv(table, index=False)
    text = report(pd.DataFrame(rows), options)
    table.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def measured(options: argparse.Namespace, done: set[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    """A row for each missing domain, bound, number of trajectories and seed."""
    for name, bound, count, seed in product(
        options.domains, options.bounds, options.counts, range(options.seeds)
    ):
        if (name, bound, str(count), str(seed)) in done:
            continue
        domain, rng = DOMAINS[name](), np.random.default_rng([seed, count])
        noise = Noise(Fraction(bound), dict.fromkeys(domain.exact, 0))
        trajectories = [walk(domain, noise, rng) for _ in range(count)]
        row = {"domain": name, "bound": bound, "trajectories": count, "seed": seed}
        yield row | scores(domain, noise, trajectories, rng, options)


def walk(domain: NoisyDomain, noise: Noise, rng: np.random.Generator) -> Trajectory:
    """A random walk in the true model with observed numbers."""
    problem = domain.problem(rng)
    examples = random_walk(domain.model, problem, STEPS, rng, inapplicable=0)
    states, calls = [problem.initial], []
    for _, (name, *binding) in examples:
        states.append(domain.model.actions[name].successor(tuple(binding), states[-1]))
        calls.append((name, *binding))
    seen = tuple(observed(state, noise, rng) for state in states)
    return Trajectory(problem.objects, seen, tuple(calls), (True,) * len(calls))


def observed(state: State, noise: Noise, rng: np.random.Generator) -> State:
    """A state whose numbers are off by at most the bounds."""
    values = {}
    for fluent, value in state.values.items():
        share = rng.integers(-1000, 1001) if rng.random() < 0.8 else rng.choice([-1000, 1000])
        values[fluent] = value + noise.of(fluent[0]) * Fraction(int(share), 1000)
    return replace(state, values=values)


def scores(
    domain: NoisyDomain,
    noise: Noise,
    trajectories: list[Trajectory],
    rng: np.random.Generator,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What the learned model accepts and solves."""
    started = time.process_time()
    bounded = learn_with_noise(domain.model.vocabulary, trajectories, noise, domain.declarations)
    seconds = time.process_time() - started
    try:
        by_exact = len(learn(domain.model.vocabulary, trajectories, domain.declarations).actions)
    except DatasetError:  # a number that no action touches seems to change
        by_exact = 0
    held_out = [
        example
        for _ in range(10)
        for example in random_walk(domain.model, domain.problem(rng), 60, rng)
    ]
    agreement = precondition_agreement(domain.model, bounded.model, held_out)
    found = solved = broken = solvable = 0
    for _ in range(options.problems):
        true = domain.problem(rng)
        seen = replace(true, initial=observed(true.initial, noise, rng))
        solvable += solve(domain.model, true, "search", time_limit=options.limit).plan is not None
        plan = solve(bounded, seen, "search", time_limit=options.limit).plan
        if plan is not None:
            found += 1
            starts = [true, *within(seen, noise, rng)]
            valid = [is_valid(domain.model, start, plan) for start in starts]
            solved += valid[0]
            broken += not all(valid)
    return {
        "actions": len(bounded.model.actions),
        "actions_exact_learner": by_exact,
        "learn_seconds": seconds,
        "precision": mean_precision(agreement),
        "recall": mean_recall(agreement),
        "problems": options.problems,
        "solvable": solvable,
        "found": found,
        "solved": solved,
        "broken": broken,
    }


def within(seen: NumericProblem, noise: Noise, rng: np.random.Generator) -> list[NumericProblem]:
    """The problem from the corners of the box of true values, and from 20 random values in it."""
    uncertain = [fluent for fluent in seen.initial.values if noise.of(fluent[0])]
    shares: list[tuple[Rational, ...]] = list(product((-1, 1), repeat=len(uncertain)))
    for _ in range(20):
        drawn = rng.integers(-1000, 1001, len(uncertain))
        shares.append(tuple(Fraction(int(share), 1000) for share in drawn))
    problems = []
    for share in shares:
        values = dict(seen.initial.values)
        for fluent, part in zip(uncertain, share, strict=True):
            values[fluent] += part * noise.of(fluent[0])
        problems.append(replace(seen, initial=replace(seen.initial, values=values)))
    return problems


def report(rows: pd.DataFrame, options: argparse.Namespace) -> str:
    """The table in Markdown."""
    lines = [
        "# Bounded noise",
        "",
        f"`python -m benchmarks.numeric.noise`: {options.seeds} seeds, {options.problems} problems "
        f"each, {options.limit:g} s for a plan; means over seeds, in percent.",
        "",
        "| domain | bound | trajectories | recall | precision | problems solved | of those that "
        "the true model solves | broken plans | actions learned | by the exact learner | "
        "learning, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, part in rows.groupby(["domain", "bound", "trajectories"], sort=False):
        total = part.sum(numeric_only=True)
        cells = [
            *map(str, key),
            f"{100 * part['recall'].mean():.0f}",
            f"{100 * part['precision'].mean():.0f}",
            f"{100 * total['solved'] / total['problems']:.0f}",
            f"{100 * total['solved'] / max(total['solvable'], 1):.0f}",
            f"{total['broken']:.0f} of {total['found']:.0f}",
            f"{part['actions'].mean():.1f}",
            f"{part['actions_exact_learner'].mean():.1f}",
            f"{part['learn_seconds'].mean():.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    broken, found = rows["broken"].sum(), rows["found"].sum()
    return "\n".join([*lines, "", f"Broken plans in all: {broken} of {found}.", ""])


if __name__ == "__main__":
    main()
