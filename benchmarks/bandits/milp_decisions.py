"""CPU time per certified decision: worldplan, the reference formulation, and OMLT + Pyomo on HiGHS.

All sets, J = 20, 40, 100, both networks, about 15 minutes on one core; or one setting only:

    python -m benchmarks.bandits.milp_decisions
    python -m benchmarks.bandits.milp_decisions --sets path --arms 100 --networks 64-64 --states 5

Networks are trained first, briefly, by regression on action values of the fluid relaxation, or with
--fluid_solves 0 on those of acting now and never again (random networks are not representative).
States come from an episode played with worldplan's decisions. For a state, every method maximises
exactly the same function of the action, on one thread, to the same absolute gap: a share of the
spread of the function's values over 300 random feasible actions and the default one. A gap relative
to the value would count a constant that no action changes, and let most decisions be proven by a
linear bound.

* ours: `NetworkArgmax`, built once; a state only updates its numbers.
* reference: as in the public code of SEQUOIA. Big-M 1e5 for every neuron, one Python expression per
  constraint and one term per weight, rebuilt for each state, with the paper's formulation of each
  set.
* omlt: OMLT's ReluBigMFormulation with its interval bounds over the unit box, built with Pyomo for
  each state, with the same set rows as `reference`.

If a peer hits its time limit (`--peer_limit`), the time spent counts, so its ratio is a lower bound
(marked >=). A peer solves fewer states, and stops when it has spent the limit. Times are CPU time
of this process, in seconds. `--gurobi` repeats our solves with Gurobi and reports only whether the
results agree: its licence forbids publishing timings.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch

from benchmarks.bandits.milp_networks import Decided, DefaultTargets, play, train
from benchmarks.bandits.milp_peers import PEERS, PaperSet, by_gurobi_ml, paper_set
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import SolverUnavailable
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.targets import FluidTargets
from worldplan.planners.base import bootstrap

SETS = ("budget", "interventions", "path", "schedule", "capacity")
BUDGETS = {20: 5, 40: 10, 100: 20}
STEPS = {"state": 500, "plain": 1000}  # of training
RESULTS = FilePath(__file__).with_name("results")


# ---- agreement with Gurobi: never a time


def by_gurobi(
    network: ReluNetwork, instance: BanditInstance, limit: float, gap: float
) -> Action | None:
    """Our decision with Gurobi; None if the licence is too small."""
    try:
        solver = SolverSettings("gurobi", gap=0.0, time_limit=limit)
        argmax = NetworkArgmax(network, instance.actions, solver)
        return argmax.maximise(absolute_gap=gap).action
    except SolverUnavailable:
        return None


def agreement_with_gurobi(
    instance: BanditInstance, rows: PaperSet, decided: list[Decided], limit: float
) -> str:
    """How many of the states that fit the licence agree."""
    parts = []
    for name in ("gurobi", "gurobi-machinelearning"):
        agreed, solved = 0, 0
        for decision in decided:
            action = (
                by_gurobi(decision.network, instance, limit, decision.gap)
                if name == "gurobi"
                else by_gurobi_ml(decision.network, rows, limit, decision.gap)
            )
            if action is not None:
                solved += 1
                agreed += agrees(instance.actions, decision, action)
        parts.append(
            f"{name} {agreed}/{solved} agree" if solved else f"{name} beyond licence or limit"
        )
    return ", ".join(parts)


# ---- the comparison


def agrees(actions: ActionSet, ours: Decided, action: Action) -> bool:
    """Whether a peer's action is feasible, within our bound, and as good as ours up to the gap.

    Values are those of the network itself.
    """
    other, mine = float(ours.network(action)), ours.result.value
    slack = ours.gap + 1e-6 * max(abs(other), abs(mine))
    return (
        actions.contains(action)
        and other <= ours.result.bound + 1e-6 * abs(other)
        and abs(other - mine) <= slack
    )


@dataclass
class Comparison:
    """One peer in one setting.

    Args:
        seconds: of each state solved.
        ratios: to our seconds.
        limited: states that hit the time limit.
        agreed: states, of the others, in which the decisions agree.
    """

    seconds: list[float]
    ratios: list[float]
    limited: int
    agreed: int

    def text(self) -> str:
        """Mean time; median ratio and quartiles; geometric mean and 95 % bootstrap interval."""
        low, middle, high = np.quantile(self.ratios, [0.25, 0.5, 0.75])
        logs = bootstrap(np.log(self.ratios))
        mean, left, right = (np.exp(logs[key]) for key in ("mean", "low", "high"))
        mark = ">=" if self.limited else ""
        finished = len(self.ratios) - self.limited
        return (
            f"{_ms(self.seconds)} | {mark}{middle:.3g} [{low:.3g}, {high:.3g}] | "
            f"{mark}{mean:.3g} [{left:.3g}, {right:.3g}] | "
            f"{self.limited}/{len(self.ratios)} | {self.agreed}/{finished}"
        )


def _ms(seconds: list[float]) -> str:
    return f"{1e3 * float(np.mean(seconds)):.3g}"


def compare(
    name: str,
    instance: BanditInstance,
    rows: PaperSet,
    decided: list[Decided],
    states: int,
    limit: float,
    write: Any,
) -> Comparison:
    """Solve `states` evenly spread states with a peer until it has spent the limit.

    `write` records each answer.
    """
    comparison = Comparison([], [], 0, 0)
    for index in np.linspace(0, len(decided) - 1, min(states, len(decided))).astype(int):
        decision = decided[index]
        answer = PEERS[name](decision.network, rows, limit, decision.gap)
        comparison.seconds.append(answer.seconds)
        comparison.ratios.append(answer.seconds / decision.seconds)
        comparison.limited += answer.limited
        if not answer.limited and answer.action is not None:
            comparison.agreed += agrees(instance.actions, decision, answer.action)
        true = float("nan") if answer.action is None else float(decision.network(answer.action))
        write(
            name,
            index,
            answer.seconds,
            "time_limit" if answer.limited else "within_gap",
            true,
            answer.claimed,
        )
        if sum(comparison.seconds) >= limit or answer.limited:
            break
    return comparison


HEADER = (
    "| set | J | network | ours ms (median) | certified | peer | peer ms "
    "| ratio, median [quartiles] | ratio, geometric mean [95 %] | at limit | agree |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def settings_of(
    options: argparse.Namespace,
) -> Iterator[tuple[str, int, BanditInstance, str, str, list[Decided], PaperSet]]:
    """Each setting with its trained network already played by ours."""
    for arms in options.arms:
        for domain in options.sets:
            instance = generate(
                domain, arms, BUDGETS.get(arms, max(arms // 5, 1)), seed=options.seed
            )
            generator = np.random.default_rng(0)
            targets = (
                FluidTargets(instance, options.fluid_solves, generator)
                if options.fluid_solves
                else DefaultTargets(instance)
            )
            pool = torch.as_tensor(
                np.unique([instance.actions.sample(generator) for _ in range(400)], axis=0),
                dtype=torch.float32,
            )
            rows = paper_set(instance)
            for kind in options.kinds:
                for shape in options.networks:
                    hidden = tuple(int(width) for width in shape.split("-"))
                    network = train(
                        instance, kind, hidden, targets, pool, options.steps or STEPS[kind]
                    )
                    yield (
                        domain,
                        arms,
                        instance,
                        kind,
                        shape,
                        play(instance, network, options.states, options.gap, options.limit),
                        rows,
                    )


def _record(
    table: Any,
    key: tuple[str, int, str],
    method: str,
    index: int,
    seconds: float,
    status: str,
    true: float,
    claimed: float,
) -> None:
    table.writerow([*key, index, method, f"{seconds:.6f}", status, f"{true:.6f}", f"{claimed:.6f}"])


def run(options: argparse.Namespace) -> None:
    """Measure every setting; print a line per setting and peer, and write both result files."""
    lines = [HEADER]
    print(HEADER, flush=True)
    worst: dict[tuple[str, int], list[tuple[float, bool]]] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{options.output}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "set",
                "arms",
                "network",
                "state",
                "method",
                "cpu_seconds",
                "status",
                "value",
                "claimed_or_bound",
            ]
        )
        for domain, arms, instance, kind, shape, decided, rows in settings_of(options):
            network = f"{kind} {shape}"
            write = partial(_record, table, (domain, arms, network))
            for index, decision in enumerate(decided):
                ours = decision.result
                write("ours", index, decision.seconds, ours.status, ours.value, ours.bound)
            seconds = [decision.seconds for decision in decided]
            certified = sum(
                each.result.bound - each.result.value <= each.gap + 1e-6 * abs(each.result.value)
                for each in decided
            )
            start = (
                f"| {domain} | {arms} | {network} "
                f"| {_ms(seconds)} ({1e3 * np.median(seconds):.3g}) "
                f"| {certified}/{len(decided)} "
            )
            if not options.peers:
                lines.append(f"{start}| | | | | | |")
                print(lines[-1], flush=True)
            for peer in options.peers:
                limit = options.peer_limit or options.limit
                comparison = compare(
                    peer, instance, rows, decided, options.peer_states, limit, write
                )
                worst.setdefault((peer, arms), []).append(
                    (float(np.median(comparison.ratios)), comparison.limited > 0)
                )
                lines.append(f"{start}| {peer} | {comparison.text()} |")
                print(lines[-1], flush=True)
            if options.gurobi:  # to the screen only
                agreement = agreement_with_gurobi(instance, rows, decided[:3], options.limit)
                print(f"  {agreement}", flush=True)
            file.flush()
    lines.append("")
    for (peer, arms), ratios in sorted(worst.items()):
        least, limited = min(ratios)
        lines.append(
            f"Least median ratio over {peer} at J={arms}: "
            f"{'>=' if limited else ''}{least:.3g} ({len(ratios)} settings)."
        )
        print(lines[-1])
    note = (
        f"CPU time per decision certified to {options.gap:g} of the spread of the values over "
        f"random feasible actions, HiGHS, one thread; ours stops at {options.limit:g} s (wall) a "
        f"solve, a peer at {options.peer_limit or options.limit:g} s.\n"
        "Times and ratios of a peer that was cut off are lower bounds (>=). "
        "Columns: see the head of benchmarks/bandits/milp_decisions.py.\n\n"
    )
    (options.out / f"{options.output}.md").write_text(note + "\n".join(lines) + "\n")


def warm_up() -> None:
    """Import and first use of every library, outside the measurements."""
    generator = np.random.default_rng(0)
    network = ReluNetwork(
        (generator.random((3, 4)), generator.random((1, 3))), (np.zeros(3), np.zeros(1))
    )
    for peer in PEERS.values():
        peer(network, PaperSet(0, [([(1.0, j) for j in range(4)], 0.0, 2.0)]), 10.0, 0.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="CPU time per certified decision against two peers on HiGHS"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--arms",
        nargs="+",
        type=int,
        default=[100, 40, 20],
        help="J; B is 5, 10, 20 as in the paper, J/5 for others",
    )
    parser.add_argument("--networks", nargs="+", default=["16-32", "64-64"], help="hidden widths")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=("state", "plain"),
        default=["state", "plain"],
        help="plain: the paper's architecture",
    )
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument(
        "--states",
        type=int,
        default=20,
        help="decisions of ours; a peer solves some of these states",
    )
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of wall time per solve")
    parser.add_argument("--peer_states", type=int, default=3, help="decisions of a peer")
    parser.add_argument(
        "--fluid_solves",
        type=int,
        default=4,
        help="linear programs for the training's values; 0: values of acting now and never again",
    )
    parser.add_argument(
        "--peer_limit", type=float, default=0.0, help="that of a peer's solve; 0: the same"
    )
    parser.add_argument(
        "--gap", type=float, default=0.01, help="share of the spread of the values; 0: exact"
    )
    parser.add_argument("--output", default="milp_decisions", help="name of the result files")
    parser.add_argument(
        "--steps", type=int, default=0, help="training steps (default: 500 state, 1000 plain)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the instance")
    parser.add_argument("--out", type=FilePath, default=RESULTS)
    parser.add_argument(
        "--gurobi",
        action="store_true",
        help="also say whether Gurobi and gurobi-machinelearning agree (no timing)",
    )
    torch.set_num_threads(1)
    warm_up()
    run(parser.parse_args())


if __name__ == "__main__":
    main()
