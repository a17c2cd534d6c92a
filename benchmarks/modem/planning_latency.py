"""Decisions per second of MoDem's fused planning call against a loop over members, and against
torchrl's MPPI planner.

    OMP_NUM_THREADS=1 python -m benchmarks.modem.planning_latency [--device cuda]
        [--sizes small-3 small-5 published] [--peer PYTHON]

First table: exploration centring as published (all candidates are actors' roll-outs; 1 iteration).
  loop              the published code's structure (benchmarks/modem/reference.py), one environment
  fused, max_other  ours with the same scores: a critic's return is that of the best other actor
  fused, other      ours with the default scores: a critic's return is that of one other actor
  ..., of 16        the same for 16 environments in one call, time per decision
Second table: MPPI of 6 iterations around a Gaussian. Ours against torchrl's planner over the same
model, in a child process run by PYTHON (see benchmarks/modem/torchrl_peer.py for its packages):
once with torchrl's own estimator as documented, once with a cheaper advantage module.

All methods of a size take turns; a ratio is the time of one method over that of another in the same
turn, and the tables have its median [quartiles]. Time is CPU time of one thread (on a GPU: wall
time). The tables also have the difference of the scores of equal candidates. On Linux, returning
freed memory to the system takes a large part of a batched call; with MALLOC_TRIM_THRESHOLD_ and
MALLOC_MMAP_THRESHOLD_ at 2000000000 in the environment memory is kept, which the heading of the
results states. Writes benchmarks/modem/results/speed/NAME.csv (every turn) and NAME.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.modem.reference import LoopPlanner, PlanningNoise
from benchmarks.modem.timing import timing_parser, turns_at, write_results
from benchmarks.timing import Work, alternated, seconds, spread
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.planner import LatentRollout, ModemPlanner
from worldplan.planners.modem.settings import ModemSettings, PlanningSettings
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.world_models.latent.settings import LatentSettings

OBSERVATION, ACTION, MANY = 30, 6, 16
LOOP, TORCHRL = "loop", ("torchrl, documented", "torchrl, last")


@dataclass(frozen=True)
class Size:
    """Sizes of networks and search."""

    latent: int
    hidden: int
    members: int
    horizon: int
    samples: int
    elites: int
    calls: int  # per turn

    def agent(self, device: str, **planning: Any) -> Modem:
        """An agent whose reward and critics are random; those of a new agent are 0 everywhere."""
        search = ShootingSettings(
            samples=self.samples,
            elites=self.elites,
            iterations=1,
            horizon=self.horizon,
            temperature=0.5,
            min_std=0.1,
            proposals=1.0,
            pick="draw",
        )
        latent = LatentSettings(
            self.latent, self.hidden, encoder_hidden=min(self.hidden, 256), members=self.members
        )
        settings = ModemSettings(
            latent=latent, planning=replace(PlanningSettings(search), **planning)
        )
        generator = torch.Generator().manual_seed(0)
        agent = Modem(
            gym.spaces.Box(-np.inf, np.inf, (OBSERVATION,), np.float32),
            ACTION,
            settings,
            generator=generator,
        )
        last = agent.model.reward_network[-1]
        assert isinstance(last, nn.Linear)
        for weight in (last.weight, agent.model.critics.weights[-1]):
            nn.init.normal_(weight, std=0.1, generator=generator)
        return agent.to(device)


SIZES = {
    "small-3": Size(latent=64, hidden=128, members=3, horizon=3, samples=96, elites=16, calls=4),
    "small-5": Size(latent=64, hidden=128, members=5, horizon=3, samples=120, elites=16, calls=4),
    "published": Size(latent=50, hidden=512, members=5, horizon=5, samples=510, elites=64, calls=1),
}


# --- against the loop over members ----------------------------------------------------------------


def score_difference(agent: Modem) -> float:
    """Largest difference of the loop's scores from the fused ones, in units of their standard
    deviation, with equal noise.
    """
    device = next(agent.parameters()).device
    observation = torch.randn(1, OBSERVATION, generator=torch.Generator().manual_seed(3)).to(device)
    noise = PlanningNoise.draw(agent, torch.Generator(device=device).manual_seed(4))
    _, candidates, scores = LoopPlanner(agent).decide(observation, noise)
    settings, search = agent.settings, agent.settings.planning.search
    with torch.no_grad():
        latent = agent.model.encode(observation)
        again = torch.Generator(device=device).manual_seed(4)
        fused = LatentRollout(
            agent.model,
            latent,
            len(candidates),
            search.horizon,
            settings.discount,
            settings.planning,
            again,
        )
        _, expected = fused(candidates.new_zeros(1, 0, search.horizon, ACTION))
    return float((scores - expected[0]).abs().max() / expected.std())


def centred(size: Size, device: str, turns: int) -> tuple[pd.DataFrame, float]:
    """Seconds per decision (turns, methods), and the difference of the scores."""
    agents = {
        terminal: size.agent(device, terminal=terminal) for terminal in ("max_other", "other")
    }
    observations = np.random.default_rng(0).normal(size=(MANY, OBSERVATION)).astype(np.float32)
    single = torch.as_tensor(observations[:1]).to(device)
    loop = LoopPlanner(agents["max_other"])
    noise = PlanningNoise.draw(agents["max_other"], torch.Generator(device=device).manual_seed(0))
    work: dict[str, tuple[Work, int]] = {
        LOOP: (lambda: loop.decide(single, noise)[0].cpu().numpy(), 1)
    }
    for count in (1, MANY):
        for terminal, agent in agents.items():
            name = f"fused, {terminal}" + ("" if count == 1 else f", of {count}")
            work[name] = (
                partial(ModemPlanner(agent, explore=True).plan_batch, observations[:count]),
                count,
            )
    measured = {
        name: partial(_per_decision, call, count, size.calls if count == 1 else 1, device)
        for name, (call, count) in work.items()
    }
    return alternated(measured, turns), score_difference(agents["max_other"])


def _per_decision(call: Work, count: int, calls: int, device: str) -> float:
    return seconds(lambda: [call() for _ in range(calls)], device) / (calls * count)


def centred_lines(name: str, table: pd.DataFrame, difference: float) -> list[str]:
    """A row per method."""
    lines = []
    for method in table:
        alone = str(method).removesuffix(f", of {MANY}")
        batch = "" if alone == method else spread(table[alone] / table[method])
        equal = f"{difference:.0e}" if "max_other" in str(method) else ""
        lines.append(
            f"| {name} | {method} | {1 / table[method].median():.0f} "
            f"| {spread(table[LOOP] / table[method])} | {batch} | {equal} |"
        )
    return lines


# --- against torchrl ------------------------------------------------------------------------------


class Peer:
    """The child process that runs torchrl's planner on the same weights."""

    def __init__(
        self, python: str, agent: Modem, starts: Tensor, sequences: Tensor, file: Path
    ) -> None:
        settings, search = agent.settings, agent.settings.planning.search
        record = {
            "latent_settings": asdict(settings.latent),
            "observation_size": OBSERVATION,
            "action_size": ACTION,
            "weights": agent.model.state_dict(),
            "discount": settings.discount,
            "horizon": search.horizon,
            "iterations": search.iterations,
            "samples": search.samples,
            "elites": search.elites,
            "starts": starts,
            "sequences": sequences,
        }
        torch.save(record, file)
        command = [python, "-m", "benchmarks.modem.torchrl_peer", str(file)]
        root = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def request(self, command: str) -> Any:
        """Send one command line and return the child's answer.

        Raises:
            RuntimeError: the child has ended; its own message is on the terminal by then.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(
                f"the peer ended with code {self.process.wait()}: see "
                "benchmarks/modem/torchrl_peer.py for the packages of its Python"
            )
        return json.loads(answer)

    def close(self) -> None:
        """Close the child's input, at which it ends, and wait for it."""
        self.process.communicate()


def gaussian(
    size: Size, python: str, turns: int, environments: int, folder: Path
) -> tuple[pd.DataFrame, float]:
    """Seconds per decision (turns, methods), and the largest difference of the peer's scores from
    ours, in standard deviations.
    """
    agent = size.agent("cpu", terminal="own", pessimism=0.0, noise=0.0)
    planning = agent.settings.planning
    search = replace(planning.search, iterations=6, proposals=0.0, pick="mean", min_std=0.05)
    agent.settings = replace(agent.settings, planning=replace(planning, search=search))
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(environments, OBSERVATION, generator=generator)
    sequences = torch.rand(64, size.horizon, ACTION, generator=generator) * 2 - 1
    with torch.no_grad():
        starts = agent.model.encode(observations)
        rollout = LatentRollout(
            agent.model,
            starts[:1],
            0,
            size.horizon,
            agent.settings.discount,
            agent.settings.planning,
            generator,
        )
        _, scores = rollout(sequences.unsqueeze(0))
    peer = Peer(python, agent, starts, sequences, folder / "peer.pt")
    try:
        expected, theirs = scores[0], peer.request("score")
        difference = max(
            float((torch.tensor(theirs[kind]) - expected).abs().max() / expected.std())
            for kind in ("documented", "last")
        )
        ours = partial(ModemPlanner(agent).plan_batch, observations.numpy())
        measured: dict[str, Callable[[], float]] = {
            "ours": partial(_per_decision, ours, environments, size.calls, "cpu")
        }
        for kind, name in zip(("documented", "last"), TORCHRL, strict=True):
            command = f"plan {kind} {environments} {size.calls}"
            measured[name] = lambda command=command: (
                peer.request(command) / (size.calls * environments)
            )  # type: ignore[misc]
        return alternated(measured, turns), difference
    finally:
        peer.close()


def gaussian_lines(
    name: str, environments: int, table: pd.DataFrame, difference: float
) -> list[str]:
    """A row per advantage module of the peer."""
    ours = f"| {name} | {environments} | {1 / table['ours'].median():.0f}"
    rates = {
        peer: f"{1 / table[peer].median():.0f} | {spread(table[peer] / table['ours'])}"
        for peer in TORCHRL
    }
    return [f"{ours} | {peer} | {rate} | {difference:.0e} |" for peer, rate in rates.items()]


def against_loop(options: argparse.Namespace) -> tuple[list[str], list[pd.DataFrame]]:
    """Lines of the first table, and all its times."""
    tables = []
    lines = [
        "| size | method | decisions/s | loop's time / its time | alone / per decision of a batch "
        "| loop's scores differ by (std) |",
        "|---|---|---|---|---|---|",
    ]
    for name in options.sizes:
        table, difference = centred(SIZES[name], options.device, turns_at(name, options.turns))
        tables.append(table.assign(size=name, part="centred"))
        lines += centred_lines(name, table, difference)
        print("\n".join(lines[-table.shape[1] :]), flush=True)
    return lines, tables


def against_peer(options: argparse.Namespace) -> tuple[list[str], list[pd.DataFrame]]:
    """Lines of the second table, and all its times."""
    tables = []
    lines = [
        "",
        "| size | environments | ours, decisions/s | peer | decisions/s | peer's time / ours "
        "| scores differ by (std) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in options.sizes:
        for environments in (1,) if name == "published" else (1, MANY):
            with tempfile.TemporaryDirectory() as folder:
                table, difference = gaussian(
                    SIZES[name],
                    options.peer,
                    turns_at(name, options.turns),
                    environments,
                    Path(folder),
                )
            tables.append(table.assign(size=name, part=f"gaussian, {environments}"))
            lines += gaussian_lines(name, environments, table, difference)
            print("\n".join(lines[-len(TORCHRL) :]), flush=True)
    return lines, tables


def main() -> None:
    """Command line."""
    parser = timing_parser("Decisions per second of the fused planner", SIZES, "planning_latency")
    parser.add_argument("--peer", help="a Python with torchrl")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    lines, tables = against_loop(options)
    if options.peer:
        peer_lines, peer_tables = against_peer(options)
        lines, tables = lines + peer_lines, tables + peer_tables
    write_results(options, "planning_latency.py", load, lines, tables, dict(SIZES))


if __name__ == "__main__":
    main()
