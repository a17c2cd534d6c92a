"""Steps per second of true MuJoCo dynamics from arbitrary states: worldplan's batched rollouts
against loops over an environment.

    python -m benchmarks.offline.true_dynamics [--tasks Hopper-v5 Ant-v5] [--rows 1000]
        [--repeats 15] [--threads 1 2]

All methods step the same states with the same actions in one process, in turns. Peers:
  reset loop      env.reset(), set_state, env.step on the result of gymnasium.make, as model-based
                  libraries do
  set_state loop  set_state, env.step on the unwrapped environment

A ratio is the time of a peer over our time in the same turn; the table has the median [quartiles]
over the turns. Threads are meant to save wall time, but wall time depends on other processes of the
machine ("cores had": our CPU time over our wall time; where it is below the number of threads, the
gain of threads is underestimated). CPU time, of all threads, measures the work itself. Writes
benchmarks/offline/results/true_dynamics.csv (every turn) and .md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pandas as pd
import torch

from benchmarks.timing import spread
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.mujoco_rows import SimulatorStep
from worldplan.envs.episodes import successive_steps

RESULTS = Path(__file__).resolve().parent / "results"
TASKS = ("Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5")
PEERS = ("reset loop", "set_state loop")


@dataclass(frozen=True, slots=True)
class Loop:
    """Steps the states one after the other in an environment, with a reset before each or not."""

    env: Any
    reset: bool

    def __call__(self, states: np.ndarray, actions: np.ndarray) -> SimulatorStep:
        """A step of every row, for states (n, nq + nv) and actions (n, action)."""
        bare = self.env.unwrapped
        size = bare.model.nq
        rows = []
        for state, action in zip(states, actions, strict=True):
            if self.reset:
                self.env.reset()
            bare.set_state(state[:size], state[size:])
            bare.data.qacc_warmstart[:] = 0
            observation, reward, terminated, _, _ = self.env.step(action)
            rows.append(
                (observation, reward, terminated, np.concatenate((bare.data.qpos, bare.data.qvel)))
            )
        observations, rewards, ends, following = (
            np.array(part) for part in zip(*rows, strict=True)
        )
        return SimulatorStep(observations, rewards, ends, following)


def visited(task: str, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """States (rows, nq + nv) in episodes of a uniform random policy, and its actions (rows,
    action), float32.
    """
    env: Any = gym.make(task)
    bare: Any = env.unwrapped
    generator = np.random.default_rng(seed)
    states, actions = [], []

    def decide(_: np.ndarray) -> np.ndarray:
        states.append(np.concatenate((bare.data.qpos, bare.data.qvel)))
        action = generator.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        actions.append(action)
        return action[None]

    for _ in islice(successive_steps(env, decide, seed=seed), rows):
        pass
    return np.array(states), np.array(actions)


def difference(actual: SimulatorStep, expected: SimulatorStep) -> float:
    """Largest absolute difference in observation, reward, termination and state."""
    pairs = [
        (np.asarray(getattr(actual, name), float), np.asarray(getattr(expected, name), float))
        for name in SimulatorStep.__slots__
    ]
    return max(float(np.abs(left - right).max()) for left, right in pairs)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and CPU seconds (of all threads) of a call of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(task: str, options: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, float]]:
    """A table with a row per turn and method, and our differences from both peers by name."""
    states, actions = visited(task, options.rows, options.seed)
    loops = {PEERS[0]: Loop(gym.make(task), True), PEERS[1]: Loop(gym.make(task).unwrapped, False)}
    loops[PEERS[1]].env.reset(seed=0)
    ours = {
        f"ours, {count} threads": MujocoDynamics(task, threads=count) for count in options.threads
    }
    expected = {name: loop(states, actions) for name, loop in loops.items()}
    differences = {
        f"{name} - {peer}": difference(model.step_numpy(states, actions), expected[peer])
        for name, model in ours.items()
        for peer in PEERS
    }
    state, action = torch.from_numpy(states), torch.from_numpy(actions)
    observation = next(iter(ours.values())).observe(state)
    work: dict[str, Callable[[], object]] = {
        name: partial(loop, states, actions) for name, loop in loops.items()
    }
    work |= {
        name: partial(model.step, observation, action, state=state) for name, model in ours.items()
    }
    names, measurements = list(work), []
    for turn in range(options.repeats):
        first = turn % len(names)  # the order rotates: no method is always the first
        for name in names[first:] + names[:first]:
            wall, cpu = timed(work[name])
            measurements.append(
                {
                    "task": task,
                    "turn": turn,
                    "method": name,
                    "rows": options.rows,
                    "wall_seconds": wall,
                    "cpu_seconds": cpu,
                }
            )
    return pd.DataFrame(measurements), differences


def lines_of(
    task: str, table: pd.DataFrame, differences: dict[str, float], threads: list[int]
) -> list[str]:
    """A table row per peer and number of threads."""
    wall, cpu = (
        table.pivot_table(index="turn", columns="method", values=f"{kind}_seconds")
        for kind in ("wall", "cpu")
    )
    rate, cores = table["rows"].iloc[0] / wall.median(), (cpu / wall).median()
    lines = []
    for count in threads:
        name = f"ours, {count} threads"
        for peer in PEERS:
            ratios = f"{spread(wall[peer] / wall[name])} | {spread(cpu[peer] / cpu[name])}"
            ours = f"{task} | {count} | {cores[name]:.2f} | {rate[name]:.0f}"
            largest = differences[f"{name} - {peer}"]
            lines.append(f"| {ours} | {peer} | {rate[peer]:.0f} | {ratios} | {largest:.1g} |")
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Steps per second of true dynamics against loops over an environment"
    )
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--note", default="", help="goes into the Markdown file, e.g. what else was running"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    lines = [
        "| task | threads | cores had | ours, steps/s | peer | peer, steps/s | ratio of wall time "
        "| ratio of CPU time | max. difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    tables = []
    for task in options.tasks:
        table, differences = measure(task, options)
        tables.append(table)
        lines += lines_of(task, table, differences, options.threads)
        print("\n".join(lines[-2 * len(options.threads) :]), flush=True)
    RESULTS.mkdir(exist_ok=True)
    pd.concat(tables).to_csv(RESULTS / "true_dynamics.csv", index=False, float_format="%.6f")
    head = [
        f"{options.rows} states of a random policy, {options.repeats} turns, MuJoCo "
        f"{mujoco.__version__}, gymnasium {gym.__version__}, {os.cpu_count()} cores, load average "
        f"{before:.1f} before and {os.getloadavg()[0]:.1f} after. {options.note}".rstrip(),
        "Steps per second are medians of wall time. Ratios: peer over ours, median [quartiles]. "
        "See the head of benchmarks/offline/true_dynamics.py.",
        "",
    ]
    (RESULTS / "true_dynamics.md").write_text("\n".join(head + lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
