"""Planning alone: the shooting planner swings up two pendulums in their true dynamics, without any
learning.

    OMP_NUM_THREADS=1 python -m benchmarks.shooting.swing_up [--tasks cart_pole acrobot] [--seeds 5]
        [--methods mppi cem icem]

Plays whole episodes of the tasks of envs/swing_up.py; the planner steps copies of the simulator in
one thread. All methods use the same samples, elites, iterations and noise. A decision's time is CPU
time, simulation included. Writes benchmarks/shooting/results/swing_up.csv (a row per episode) and
swing_up.md after every episode.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pandas as pd
import torch

from worldplan.envs.episodes import EpisodeBatch
from worldplan.envs.swing_up import FRAME_SKIP, HELD  # importing it registers the tasks
from worldplan.planners.base import Decider
from worldplan.planners.shooting.planner import ShootingPlanner
from worldplan.planners.shooting.settings import METHODS, ShootingSettings

RESULTS = Path(__file__).resolve().parent / "results"
# noise that is correlated in time pumps a pendulum; the acrobot's small torques for balancing are
# found by finer samples beside the coarse ones
CART_POLE = ShootingSettings(
    horizon=30,
    samples=64,
    elites=8,
    iterations=2,
    max_std=1.0,
    min_std=0.05,
    noise_exponent=1.0,
    keep=0.3,
    temperature=0.1,
    shrink=1.0,
)
ACROBOT = replace(CART_POLE, samples=160, elites=16, iterations=3, finest=0.05)


@dataclass(frozen=True)
class Setup:
    """A task, the settings of the search in it, and the discount per step."""

    env_id: str
    search: ShootingSettings
    discount: float = 1.0


SETUPS = {
    "cart_pole": Setup("worldplan/CartPoleSwingUp-v0", CART_POLE),
    "acrobot": Setup("worldplan/AcrobotSwingUp-v0", ACROBOT),
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of an episode: `first` is the first step in which the pendulum stood (None:
    never), `balanced` the number of such steps, `milliseconds` the CPU time of a decision.
    """

    success: bool
    first: int | None
    balanced: int
    steps: int
    episode_return: float
    milliseconds: float


def play(setup: Setup, seed: int, method: str = "mppi", steps: int | None = None) -> Outcome:
    """Play one episode to its end, or its first `steps` steps."""
    env = gym.make(setup.env_id)
    planner = ShootingPlanner.for_env(
        env, replace(setup.search, method=method), threads=1, discount=setup.discount, seed=seed
    )
    decide = Decider(planner)
    stood, rewards, seconds, success = [], [], 0.0, False
    for step in islice(EpisodeBatch(env, seed=seed).play(decide), steps):
        seconds += decide.seconds
        stood.append(step.info["balanced"][0])
        rewards.append(float(step.reward[0]))
        success = bool(step.info["is_success"][0])
    env.close()
    first = int(np.argmax(stood)) if any(stood) else None
    milliseconds = 1000 * seconds / len(stood)
    return Outcome(success, first, sum(stood), len(stood), sum(rewards), milliseconds)


def row(task: str, method: str, episodes: pd.DataFrame) -> str:
    """A row of the Markdown table: counts and medians [smallest, largest] over the seeds."""

    def spread(column: str) -> str:
        values = episodes[column].dropna()
        return (
            f"{values.median():.0f} [{values.min():.0f}, {values.max():.0f}]"
            if len(values)
            else "never"
        )

    counts = f"{int(episodes['success'].sum())} of {len(episodes)}"
    balanced = f"{spread('balanced')} of {episodes['steps'].iloc[0]}"
    cells = (task, method, counts, spread("first"), balanced, spread("milliseconds"))
    return f"| {' | '.join(cells)} |"


def write(rows: list[dict[str, object]], before: float) -> list[str]:
    """Write both files, of all episodes so far; returns the rows of the Markdown table."""
    table = pd.DataFrame(rows).astype({"first": "Int64"})
    lines = [
        row(task, method, episodes)
        for (task, method), episodes in table.groupby(["task", "method"], sort=False)
    ]
    settings = [
        f"* {task}: discount {SETUPS[task].discount}, {SETUPS[task].search}"
        for task in table["task"].unique()
    ]
    text = [
        *heading(before),
        *lines,
        "",
        *settings,
        "",
        "See the head of benchmarks/shooting/swing_up.py.",
    ]
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / "swing_up.csv", index=False, float_format="%.3f")
    (RESULTS / "swing_up.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return lines


def heading(before: float) -> list[str]:
    """The first lines of the Markdown file: machine, versions, meaning of the columns."""
    load = f"load average {before:.1f} before and {os.getloadavg()[0]:.1f} after"
    return [
        f"MuJoCo {mujoco.__version__}, torch {torch.__version__}, one thread, "
        f"{os.cpu_count()} cores, {load}.",
        f"A step is {FRAME_SKIP * 10} ms. Success: the pendulum stood in each of the last {HELD} "
        "steps. Medians [least, most] over the seeds.",
        "",
        "| task | method | success | first step standing | steps standing | CPU ms per decision |",
        "|---|---|---|---|---|---|",
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Swing-up by planning in the true dynamics")
    parser.add_argument("--tasks", nargs="+", choices=list(SETUPS), default=list(SETUPS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=["mppi"])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    for task in options.tasks:
        for method in options.methods:
            for seed in range(options.seeds):
                episode = play(SETUPS[task], seed, method)
                rows.append({"task": task, "method": method, "seed": seed, **asdict(episode)})
                print(task, method, seed, episode, flush=True)
                lines = write(rows, before)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
