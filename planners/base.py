"""What every planner is, what a decision carries, and how any planner is evaluated in any
environment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from scipy import stats

STATUSES = ("optimal", "within_gap", "time_limit", "heuristic")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision and what is known about it.

    Args:
        action: valid in the environment's action space.
        value: the planner's own estimate, or None.
        bound: proven upper bound on that estimate where a solver gives one.
        status: "optimal", "within_gap", "time_limit" or "heuristic".
        seconds: time the decision took.
        detail: assignment, route, elite trajectory, symbolic plan, ...
    """

    action: Any
    value: float | None
    bound: float | None
    status: str
    seconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Planner(Protocol):
    """Anything that decides. A planner that can decide for many observations at once also has
    `plan_batch`; one that keeps something from step to step, such as a plan to start from, has
    `restart(begun)`, which forgets it for the environments whose episode begins, (envs,) bool.
    """

    def reset(self, *, seed: int | None = None) -> None:
        """Start afresh; `seed` fixes the planner's own randomness."""
        ...

    def plan(self, observation: Any) -> Decision:
        """One decision, with what is known about it."""
        ...

    def act(self, observation: Any) -> Any:
        """`plan(observation).action`."""
        ...


class SingleDecisions:
    """Gives a class with `plan` the rest of the interface."""

    def reset(self, *, seed: int | None = None) -> None:
        """Nothing to forget by default."""

    def plan(self, observation: Any) -> Decision:
        raise TypeError(f"{type(self).__name__} must define plan()")

    def act(self, observation: Any) -> Any:
        """`plan(observation).action`."""
        return self.plan(observation).action

    def plan_batch(self, observations: Any) -> list[Decision]:
        """One decision for each entry of a batched observation."""
        return [self.plan(observation) for observation in unbatch(observations)]


def unbatch(observations: Any) -> list[Any]:
    """Split a batched observation (array or dict of arrays) along its first axis."""
    if isinstance(observations, Mapping):
        count = len(next(iter(observations.values())))
        return [{key: value[i] for key, value in observations.items()} for i in range(count)]
    return list(observations)


@dataclass(frozen=True)
class Evaluation:
    """Results of `evaluate`: one row per episode, and the reward of every step (episodes, steps;
    NaN past the end).
    """

    episodes: pd.DataFrame
    step_reward: np.ndarray

    def summary(self, column: str = "return") -> dict[str, float]:
        """Mean and 95 % bootstrap interval over episodes."""
        return bootstrap(self.episodes[column].to_numpy())


def bootstrap(values: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Mean of `values` with its 95 % percentile bootstrap interval (a point when there is a single
    value).
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return {"mean": mean, "low": mean, "high": mean}
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    )
    return {
        "mean": mean,
        "low": float(result.confidence_interval.low),
        "high": float(result.confidence_interval.high),
    }


def evaluate(planner: Planner, env: gym.Env | VectorEnv, episodes: int, seed: int) -> Evaluation:
    """Run `episodes` whole episodes and tabulate them.

    Works for every gymnasium environment, single or vectorised (a vectorised one must not reset
    itself: `AutoresetMode.DISABLED`). A planner with `plan_batch` decides for all running episodes
    at once.
    The table has: return, length, success (NaN unless the environment reports `is_success`),
    decision_seconds
    (CPU seconds per decision) and status counts as `time_limits`.
    """
    vector = (
        env
        if isinstance(env, VectorEnv)
        else SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.DISABLED)
    )
    rows: list[dict[str, Any]] = []
    rewards: list[np.ndarray] = []
    planner.reset(seed=seed)
    for round_ in range(-(-episodes // vector.num_envs)):
        if hasattr(planner, "restart"):
            planner.restart(np.ones(vector.num_envs, bool))
        table, steps = _episode_batch(planner, vector, seed + round_)
        rows += table
        rewards += steps
    longest = max(len(row) for row in rewards)
    padded = np.full((len(rewards), longest), np.nan)
    for index, row in enumerate(rewards):
        padded[index, : len(row)] = row
    return Evaluation(pd.DataFrame(rows[:episodes]), padded[:episodes])


def _episode_batch(
    planner: Planner, env: VectorEnv, seed: int
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    observation, _ = env.reset(seed=seed)
    running = np.ones(env.num_envs, bool)
    rewards, alive = [], []
    success = np.full(env.num_envs, np.nan)
    seconds, limits = np.zeros(env.num_envs), np.zeros(env.num_envs, int)
    while running.any():
        began = time.process_time()
        decisions = (
            planner.plan_batch(observation)
            if hasattr(planner, "plan_batch")
            else [planner.plan(o) for o in unbatch(observation)]
        )
        seconds[running] += (time.process_time() - began) / env.num_envs
        limits += np.array([decision.status == "time_limit" for decision in decisions]) & running
        observation, reward, terminated, truncated, info = env.step(
            np.stack([decision.action for decision in decisions])
        )
        rewards.append(np.asarray(reward, dtype=float))
        alive.append(running.copy())
        if "is_success" in info:
            success = np.where(running, np.asarray(info["is_success"], dtype=float), success)
        over = np.asarray(terminated) | np.asarray(truncated)
        running &= ~over
        if (
            running.any() and over.any()
        ):  # gymnasium does not step an environment that is over: begin it again, uncounted
            observation, _ = env.reset(options={"reset_mask": over})
    reward_table, alive_table = np.stack(rewards, 1), np.stack(alive, 1)
    length = alive_table.sum(1)
    table = [
        {
            "return": float(reward_table[i, : length[i]].sum()),
            "length": int(length[i]),
            "success": float(success[i]),
            "decision_seconds": float(seconds[i] / length[i]),
            "time_limits": int(limits[i]),
        }
        for i in range(env.num_envs)
    ]
    return table, [reward_table[i, : length[i]] for i in range(env.num_envs)]
