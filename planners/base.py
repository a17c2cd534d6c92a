"""What every planner is, what a decision carries, and how any planner is evaluated in any
environment.

A planner derives from `Planner` and defines `plan`:

    class Greedy(Planner):
        def plan(self, observation):
            return Decision(action, value=None, bound=None, status="heuristic", seconds=0.0)

    evaluate(Greedy(), gym.make("Pendulum-v1"), episodes=10, seed=0).summary()
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from scipy import stats

from worldplan.milp.errors import ConfigError


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


class Planner(ABC):
    """Turns observations into decisions. A subclass must define `plan`, the rest has defaults.

    A planner whose decisions for several environments share work overrides `plan_batch`. A planner
    with state overrides `reset` and, if it keeps something per environment from step to step, such
    as a plan to start the next search from, `restart`.
    """

    def reset(self, *, seed: int | None = None) -> None:  # noqa: B027  # optional
        """Return to the state after construction.

        Args:
            seed: of the planner's own random numbers, if it draws any; None: its default seed.
        """

    @abstractmethod
    def plan(self, observation: Any) -> Decision:
        """Decide for one observation of one environment (no batch axis)."""

    def act(self, observation: Any) -> Any:
        """The action of `plan(observation)`."""
        return self.plan(observation).action

    def plan_batch(self, observations: Any) -> list[Decision]:
        """Decide for several environments; by default one after the other.

        Args:
            observations: (envs, ...) array, or a mapping from names to such arrays.

        Returns:
            One decision per environment, in order.
        """
        return [self.plan(observation) for observation in unbatch(observations)]

    def restart(self, begun: np.ndarray) -> None:  # noqa: B027  # optional
        """Forget what was kept for the environments in which an episode begins.

        Args:
            begun: (envs,) bool.
        """


class _Adapted(Planner):
    """A planner out of an object that has a planner's methods, but not its type."""

    def __init__(self, planner: Any) -> None:
        self._planner = planner

    def reset(self, *, seed: int | None = None) -> None:
        self._planner.reset(seed=seed)

    def plan(self, observation: Any) -> Decision:
        decision: Decision = self._planner.plan(observation)
        return decision

    def plan_batch(self, observations: Any) -> list[Decision]:
        if not hasattr(self._planner, "plan_batch"):
            return super().plan_batch(observations)
        decisions: list[Decision] = self._planner.plan_batch(observations)
        return decisions

    def restart(self, begun: np.ndarray) -> None:
        if hasattr(self._planner, "restart"):
            self._planner.restart(begun)


def as_planner(candidate: Any) -> Planner:
    """`candidate` itself if it is a `Planner`, else a planner that calls its methods.

    Args:
        candidate: a `Planner`, or an object with `reset(seed=...)` and `plan(observation)`;
            `plan_batch` and `restart` are used if it has them.

    Raises:
        ConfigError: if `candidate` has no `reset` or no `plan`.
    """
    if isinstance(candidate, Planner):
        return candidate
    missing = [name for name in ("reset", "plan") if not callable(getattr(candidate, name, None))]
    if missing:
        raise ConfigError(
            f"{type(candidate).__name__} is no planner, it has no {' and no '.join(missing)}: "
            "derive it from worldplan.planners.base.Planner"
        )
    return _Adapted(candidate)


def unbatch(observations: Any) -> list[Any]:
    """Split a batched observation (array or mapping of arrays) along its first axis."""
    if isinstance(observations, Mapping):
        count = len(next(iter(observations.values())))
        return [{key: value[i] for key, value in observations.items()} for i in range(count)]
    return list(observations)


def with_batch_axis(observation: Any) -> Any:
    """A batch of one observation (array or mapping of arrays): the inverse of `unbatch`."""
    if isinstance(observation, Mapping):
        return {key: np.asarray(value)[None] for key, value in observation.items()}
    return np.asarray(observation)[None]


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
    planner = as_planner(planner)
    planner.reset(seed=seed)
    for round_ in range(-(-episodes // vector.num_envs)):
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
        decisions = planner.plan_batch(observation)
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
