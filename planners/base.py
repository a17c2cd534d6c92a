"""What every planner is, what a decision carries, and how any planner is evaluated in any
environment.

A planner derives from `Planner` and defines `plan`:

```python
import gymnasium as gym
import numpy as np
from worldplan.planners import Decision, Planner, evaluate

class Damping(Planner):
    def plan(self, observation):  # cosine, sine, angular speed
        action = -np.clip(observation[2:], -2, 2)
        return Decision(action, value=None, bound=None, status="heuristic", seconds=0.0)

evaluate(Damping(), gym.make("Pendulum-v1"), episodes=10, seed=0).summary()
```
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
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from scipy import stats

from worldplan.envs.episodes import EpisodeBatch, EpisodeStep, unbatch
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.decision_checks import check_action, check_type


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
        gap: proven share of what the decision can gain that it may miss, from 0 to 1: (bound -
            value) / (bound - value of an action that needs no decision); None where there is none.
    """

    action: Any
    value: float | None
    bound: float | None
    status: str
    seconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    gap: float | None = None


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

    def learn(self, observations: Any, step: EpisodeStep) -> None:  # noqa: B027  # optional
        """Learn from one step of every environment; `evaluate` calls it after each step.

        Args:
            observations: that were decided on, as in `plan_batch`.
            step: what followed; entries where `step.running` is False have no meaning.
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

    def learn(self, observations: Any, step: EpisodeStep) -> None:
        if hasattr(self._planner, "learn"):
            self._planner.learn(observations, step)


def as_planner(candidate: Any) -> Planner:
    """`candidate` itself if it is a `Planner`, else a planner that calls its methods.

    Args:
        candidate: a `Planner`, or an object with `reset(seed=...)` and `plan(observation)`;
            `plan_batch`, `restart` and `learn` are used if it has them.

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


def check_decisions(decisions: Any, batch: EpisodeBatch | None) -> None:
    """Refuse what is no list of decisions for the environments of a batch.

    Raises:
        ConfigError: there is not one `Decision` for each environment, or an action has another
            shape or type than the action space, or is not finite.
    """
    entries = check_type(decisions, Decision)
    if batch is None:
        return
    if len(entries) != len(batch.running):
        raise ConfigError(
            f"plan_batch returned {len(entries)} decisions for {len(batch.running)} environments: "
            "return one for each"
        )
    for decision in entries:
        check_action(decision.action, batch.action_space)


class Decider:
    """The `decide` function of an episode loop, out of a planner.

    Args:
        planner: decides for all environments of the batch.
        batch: the environments, whose number and action space the decisions are compared with;
            None: they are not checked.

    Attributes:
        observations: the last ones that were decided on.
        decisions: the last ones, one per environment.
        seconds: CPU time that the last ones took per environment.
    """

    def __init__(self, planner: Planner, batch: EpisodeBatch | None = None) -> None:
        self.planner, self.batch = planner, batch
        self.observations: Any = None
        self.decisions: list[Decision] = []
        self.seconds = 0.0

    def __call__(self, observations: Any) -> NDArray[Any]:
        """Observations of all environments -> their actions (envs, ...).

        Raises:
            ConfigError: the planner returned no decisions, or an action that the space does not
                have.
        """
        began = time.process_time()
        self.observations = observations
        self.decisions = self.planner.plan_batch(observations)
        check_decisions(self.decisions, self.batch)
        self.seconds = (time.process_time() - began) / len(self.decisions)
        return np.stack([decision.action for decision in self.decisions])


@dataclass(frozen=True)
class Evaluation:
    """Results of `evaluate`.

    Args:
        episodes: one row per episode; the columns are named at `evaluate`.
        step_reward: (episodes, steps), NaN past the end of an episode.
    """

    episodes: pd.DataFrame
    step_reward: NDArray[np.float64]

    def summary(self, column: str = "return") -> dict[str, float]:
        """Mean and 95 % bootstrap interval of a column over the episodes, see `bootstrap`.

        Raises:
            ConfigError: there is no such column.
        """
        if column not in self.episodes:
            raise ConfigError(
                f"column {checks.shown(column)}: choose {', '.join(map(str, self.episodes))}"
            )
        return bootstrap(self.episodes[column].to_numpy())


def bootstrap(values: NDArray[Any], *, seed: int = 0) -> dict[str, float]:
    """Mean with its 95 % percentile bootstrap interval.

    Args:
        values: (n,); if they are all equal, the interval is a point.
        seed: of the 2000 resamples.

    Returns:
        "mean", and the ends "low" and "high" of the interval.

    Raises:
        ConfigError: there are no values, or they are no numbers.
    """
    checks.whole_number(seed, "seed", least=0)
    values = checks.array(values, "values", ("n",), finite=False, error=ConfigError)
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


def evaluate(
    planner: Planner, env: gym.Env[Any, Any] | VectorEnv, episodes: int, seed: int
) -> Evaluation:
    """Play whole episodes and tabulate them.

    Args:
        planner: is reset once, with `seed`; decides for all environments by `plan_batch`.
        env: one gymnasium environment, or a vector of environments that do not reset themselves
            (`AutoresetMode.DISABLED`).
        episodes: how many; environments side by side play them in rounds.
        seed: round r is reset with seed + r.

    Returns:
        A table with a row per episode: return (undiscounted), length (steps), success (of the last
        step; NaN unless the environment reports it), decision_seconds (CPU time per decision) and
        time_limits (decisions of that status).

    Raises:
        ConfigError: the planner lacks a method or decides for something that is no action, the
            environments reset themselves, or an argument is out of range.
    """
    episodes = checks.whole_number(episodes, "episodes", least=1)
    seed = checks.whole_number(seed, "seed", least=0)
    checks.of_type(env, "env", gym.Env | VectorEnv, remedy="a gymnasium environment")  # type: ignore[arg-type]
    planner = as_planner(planner)
    planner.reset(seed=seed)
    count = env.num_envs if isinstance(env, VectorEnv) else 1
    rows: list[dict[str, Any]] = []
    rewards: list[NDArray[np.float64]] = []
    for number in range(-(-episodes // count)):
        planner.restart(np.ones(count, bool))
        table, round_rewards = play_round(planner, EpisodeBatch(env, seed=seed + number))
        rows += table
        rewards += round_rewards
    padded = np.full((len(rewards), max(map(len, rewards))), np.nan)
    for index, row in enumerate(rewards):
        padded[index, : len(row)] = row
    return Evaluation(pd.DataFrame(rows[:episodes]), padded[:episodes])


def play_round(
    planner: Planner, batch: EpisodeBatch
) -> tuple[list[dict[str, Any]], list[NDArray[np.float64]]]:
    """For one episode of each environment: its row of the table, and its rewards (length,).

    The planner learns from each step, if it does so.
    """
    count, decide = len(batch.running), Decider(planner, batch)
    success = np.full(count, np.nan)
    seconds, limits = np.zeros(count), np.zeros(count, int)
    rewards, running = [], []
    for step in batch.play(decide):
        planner.learn(decide.observations, step)
        seconds[step.running] += decide.seconds
        limited = np.array([decision.status == "time_limit" for decision in decide.decisions])
        limits += limited & step.running
        rewards.append(step.reward)
        running.append(step.running)
        if (reported := step.success) is not None:
            success = np.where(step.running, reported, success)
    reward_table, length = np.stack(rewards, 1), np.stack(running, 1).sum(1)
    table = [
        {
            "return": float(reward_table[i, : length[i]].sum()),
            "length": int(length[i]),
            "success": float(success[i]),
            "decision_seconds": float(seconds[i] / length[i]),
            "time_limits": int(limits[i]),
        }
        for i in range(count)
    ]
    return table, [reward_table[i, : length[i]] for i in range(count)]
