"""Success rates and contact forces of the scripted demonstrators of the manipulation tasks, and how
often uniform actions reach a reward.

    python -m benchmarks.modem.demonstrators [--tasks BinPick] [--episodes 100] [--random 200]

The noise is that of the demonstrations of benchmarks.modem.study. Writes
benchmarks/modem/results/demonstrators.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium as gym
import numpy as np
from scipy.stats import binomtest

from benchmarks.modem.study import MODULE, TASKS
from worldplan.envs.manipulation.demonstrators.base import Demonstrator
from worldplan.envs.manipulation.demonstrators.episode import DemonstratedEpisode, demonstrate
from worldplan.envs.manipulation.demonstrators.tasks import demonstrator_of
from worldplan.envs.manipulation.environment import FORCE_LIMIT, ManipulationEnv
from worldplan.envs.manipulation.task import Array
from worldplan.world_models.storage import replace_file

HEAD = """\
Share of episodes with its 95 % Wilson interval. Forces: largest contact on the hand in an \
episode, N, median and largest over the episodes.
Touched: the reward was 1 in some step; solved: in 5 or more. Violations: steps above 100 N; \
saturations: servos at their limit; per episode.

| task | who | noise | episodes | touched the reward | solved | force | violations | saturations |
|---|---|---|---|---|---|---|---|---|"""


class Uniform(Demonstrator):
    """Draws actions uniformly."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng([seed, 2])  # independent of the start's numbers

    def act(self, env: ManipulationEnv) -> Array:
        return self.generator.uniform(-1.0, 1.0, env.action_space.shape)


def share(hits: list[bool]) -> str:
    """Share of hits in per cent, with its interval, as text."""
    test = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return f"{100 * np.mean(hits):.1f} % ({100 * test.low:.1f}..{100 * test.high:.1f})"


def row(task: str, who: str, noise: float, played: list[DemonstratedEpisode]) -> str:
    """A row of the Markdown table."""
    force = [float(episode.contact_force.max()) for episode in played]
    violations = np.mean([(episode.contact_force > FORCE_LIMIT).sum() for episode in played])
    saturations = np.mean([episode.saturation.sum() for episode in played])
    touched = share([bool(episode.reward.any()) for episode in played])
    solved = share([episode.success for episode in played])
    return (
        f"| {task} | {who} | {noise} | {len(played)} | {touched} | {solved} "
        f"| {np.median(force):.0f}, {max(force):.0f} | {violations:.2f} | {saturations:.2f} |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--random", type=int, default=200)
    options = parser.parse_args()
    lines = [HEAD]
    print(HEAD)
    for task in options.tasks:
        env = gym.make(f"{MODULE}{task}-v0")
        noise = TASKS[task].noise
        scripted = [
            demonstrate(env, demonstrator_of(task), noise, seed) for seed in range(options.episodes)
        ]
        uniform = [demonstrate(env, Uniform(seed), 0.0, seed) for seed in range(options.random)]
        env.close()
        lines += [row(task, "script", noise, scripted), row(task, "uniform", 0.0, uniform)]
        print(*lines[-2:], sep="\n", flush=True)
    file = Path(__file__).resolve().parent / "results" / "demonstrators.md"
    replace_file(file, lambda draft: draft.write_text("\n".join([*lines, ""]), encoding="utf-8"))


if __name__ == "__main__":
    main()
