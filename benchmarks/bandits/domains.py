"""Reward of every policy on the four domains and a real network: docs/measurements/bandits.md.

    python -m benchmarks.bandits.domains [--arms 20,40,100] [--seeds 0..2] [--episodes 8,4,2]
        [--domains capacity,path] [--policies whittle,sequoia] [--connections london.csv]

The domain "network" is the path domain on connected pieces of the network in --connections, around
its best-connected station. Runs the code of `worldplan bandits run`, so an interrupted benchmark
resumes. Writes benchmarks/bandits/results/bandit_domains.csv and .md: mean reward per step with its
interval, share of the bound, the largest share that a longer search for the bound could show,
SEQUOIA's lead in the same episodes, CPU time of a decision.

The share is (policy - untreated) / (bound - untreated), where nobody is treated at all. (On three
domains that is the set's default action. Interventions must choose exactly B, and the default, the
first B, is nearly the best constant choice: nothing could be measured from there.)
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.bandits.domain_table import rows_of, write
from worldplan.commands.bandits.run import run_scenario
from worldplan.commands.bandits.scenario import (
    Scenario,
    make_scenario,
    parse_scenario,
    scenario_parser,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
DOMAINS = ("capacity", "schedule", "path", "interventions", "network")
LP_UPDATE = "benchmarks.bandits.peers:LpUpdate"
PEER_WHITTLE = "benchmarks.bandits.peers:MarkovianWhittle"
POLICIES = (
    f"null,random,sampling,myopic,iterative_myopic,whittle,fluid,sequoia,{LP_UPDATE},{PEER_WHITTLE}"
)


def main() -> None:
    """Run the domains one after the other and write the tables after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", default="20", help="sizes, such as 20,40,100")
    parser.add_argument("--policies", default=POLICIES)
    parser.add_argument("--seeds", default="0..2")
    parser.add_argument("--episodes", default="8", help="a number, or one for each size")
    parser.add_argument("--domains", default=",".join(DOMAINS[:4]))
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0: one for each core")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds of a solve")
    parser.add_argument(
        "--steps", type=int, default=None, help="of each phase of SEQUOIA's training"
    )
    parser.add_argument("--check-episodes", type=int, default=None, help="of SEQUOIA's checks")
    parser.add_argument("--runs", default="runs/benchmark")
    parser.add_argument("--output", default="bandit_domains")
    parser.add_argument("--connections", default=None, help="CSV of the network's connections")
    parser.add_argument("--stations", default=None, help="CSV of its stations")
    options = parser.parse_args()
    sizes = [int(size) for size in options.arms.split(",")]
    episodes = [int(count) for count in options.episodes.split(",")]
    episodes = episodes if len(episodes) == len(sizes) else episodes[:1] * len(sizes)
    tables = []
    for arms, count in zip(sizes, episodes, strict=True):
        for domain in options.domains.split(","):
            tables.append(_domain(domain, arms, count, options))
            write(pd.concat(tables, ignore_index=True), RESULTS / options.output)


def _domain(domain: str, arms: int, episodes: int, options: argparse.Namespace) -> pd.DataFrame:
    """The rows of a domain at one size."""
    scenario, base = _scenario(domain, arms, options)
    scenario = replace(scenario, episodes=episodes)
    run = run_scenario(scenario, base, root=options.runs, jobs=options.jobs)
    return rows_of(f"{domain}-{arms}", run.path, scenario, base)


def _scenario(domain: str, arms: int, options: argparse.Namespace) -> tuple[Scenario, Path]:
    parser = scenario_parser("benchmark", "")
    shipped = "path" if domain == "network" else domain
    file = f"{shipped}.yaml" if arms == 20 else f"{shipped}-{arms}.yaml"
    settings, base = parse_scenario(parser, [str(ROOT / "configs" / "bandits" / file)])
    scenario = make_scenario(parser, settings)
    policies: list[str | None] = [
        name
        for name in options.policies.split(",")
        if domain != "interventions" or name not in ("whittle", PEER_WHITTLE)
    ]
    programme, sequoia = scenario.programme, scenario.sequoia
    if domain == "network":
        if options.connections is None:
            raise SystemExit("the domain network needs --connections")
        files = [
            name and str(Path(name).resolve()) for name in (options.connections, options.stations)
        ]
        programme = replace(programme, connections=files[0], stations=files[1])
    if options.steps is not None:
        steps = options.steps
        sequoia = replace(sequoia, pretrain_steps=steps, updates=steps, check_every=steps)
    if options.check_episodes is not None:
        sequoia = replace(sequoia, check_episodes=options.check_episodes)
    scenario = replace(
        scenario,
        name=f"{domain}-{arms}",
        seeds=options.seeds,
        policies=policies,
        programme=programme,
        sequoia=sequoia,
        solver=replace(scenario.solver, time_limit=options.time_limit),
    )
    return scenario, base


if __name__ == "__main__":
    main()
