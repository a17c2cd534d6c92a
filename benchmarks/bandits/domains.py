"""Reward of every policy on the four domains, J = 20: the table of docs/measurements/bandits.md.

    python -m benchmarks.bandits.domains [--arms 20,40,100] [--seeds 0..4] [--episodes 50]
        [--domains capacity,path] [--policies whittle,sequoia]

Runs the code of `worldplan bandits run`, so an interrupted benchmark resumes. Writes
benchmarks/bandits/results/bandit_domains.csv and .md, with SEQUOIA's margin over the best baseline
of each domain.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.commands.bandits.run import run_scenario, share_text
from worldplan.commands.bandits.scenario import make_scenario, parse_scenario, scenario_parser
from worldplan.commands.bandits.summary import mean_bound

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
DOMAINS = ("capacity", "schedule", "path", "interventions")
BASELINES = ("random", "sampling", "myopic", "iterative_myopic", "iterative_dqn")


def main() -> None:
    """Run the domains one after the other and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", default="20", help="sizes, such as 20,40,100")
    parser.add_argument("--policies", default=None, help="instead of those of the scenarios")
    parser.add_argument("--seeds", default="0..4")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--domains", default=",".join(DOMAINS))
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0: one for each core")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds of a solve")
    parser.add_argument("--runs", default="runs/benchmark")
    parser.add_argument("--output", default="bandit_domains")
    parser.add_argument(
        "--paper", action="store_true", help="also train SEQUOIA exactly as published (slow)"
    )
    parser.add_argument(
        "--connections",
        default=None,
        help="CSV of connections for the path domain (a real network)",
    )
    parser.add_argument("--stations", default=None)
    options = parser.parse_args()
    tables = [
        _domain(domain, int(arms), options)
        for arms in options.arms.split(",")
        for domain in options.domains.split(",")
    ]
    write(pd.concat(tables, ignore_index=True), RESULTS / options.output)


def _domain(domain: str, arms: int, options: argparse.Namespace) -> pd.DataFrame:
    parser = scenario_parser("benchmark", "")
    file = f"{domain}.yaml" if arms == 20 else f"{domain}-{arms}.yaml"
    settings, base = parse_scenario(parser, [str(ROOT / "configs" / "bandits" / file)])
    scenario = make_scenario(parser, settings)
    named = options.policies.split(",") if options.policies else scenario.policy_list()
    usable = [name for name in named if name != "whittle" or domain != "interventions"]
    extra = ["sequoia_paper"] if options.paper else []
    policies: list[str | None] = [*usable, *extra]
    programme = scenario.programme
    if domain == "path":
        programme = replace(programme, connections=options.connections, stations=options.stations)
    scenario = replace(
        scenario,
        seeds=options.seeds,
        episodes=options.episodes,
        policies=policies,
        programme=programme,
        solver=replace(scenario.solver, time_limit=options.time_limit),
    )
    run = run_scenario(scenario, base, root=options.runs, jobs=options.jobs)
    table = run.read_csv("summary.csv")
    assert table is not None
    return table.assign(domain=f"{domain}-{arms}", bound=mean_bound(run.path, scenario))


def write(table: pd.DataFrame, stem: Path) -> None:
    """Write the table as CSV, and as Markdown with the margins."""
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(stem.with_suffix(".csv"), index=False)
    lines = [
        "| domain | policy | mean reward per step (95 %) | bound | share | ms per decision |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        interval = f"{row['mean']:.2f} ({row['low']:.2f}..{row['high']:.2f})"
        lines.append(
            f"| {row['domain']} | {row['policy']} | {interval} "
            f"| {row['bound']:.2f} | {share_text(row)} | {row['decision_ms']:.1f} |"
        )
    margins = []
    lines += ["", "| domain | best baseline | SEQUOIA over it |", "|---|---|---|"]
    for domain, part in table.groupby("domain", sort=False):
        means = part.set_index("policy")["mean"]
        rivals = means[[name for name in BASELINES if name in means.index]]
        if rivals.empty or "sequoia" not in means:
            continue
        margin = means["sequoia"] / rivals.max() - 1
        margins.append(margin)
        lines.append(
            f"| {domain} | {rivals.idxmax()} ({rivals.max():.2f}) | {100 * margin:+.1f} % |"
        )
    if margins:
        lines.append(f"| mean | | {100 * np.mean(margins):+.1f} % |")
    text = "\n".join(lines) + "\n"
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
