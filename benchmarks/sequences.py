"""Problems in sequence, each with a budget of steps, for learners of stable-baselines3."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import gymnasium as gym
import numpy as np

Row = dict[str, Any]


class ProblemSequence(gym.Wrapper):
    """Plays problems in order, each for a budget of steps, and records when the goal was reached.
    Masks actions that changed nothing in the same state.

    Args:
        env: the environment.
        options: of `reset`, one per problem.
        budget: steps on each problem.
        state: the state of the unwrapped environment.
        true_masks: whether the masks are the environment's own, instead of those from failures.

    Attributes:
        rows: results, one row per problem.
    """

    def __init__(
        self,
        env: Any,
        options: list[dict[str, Any]],
        budget: int,
        state: Callable[[Any], Hashable],
        true_masks: bool = False,
    ) -> None:
        super().__init__(env)
        self.options, self.budget, self.true_masks = options, budget, true_masks
        self.rows: list[Row] = [
            {"first_goal": None, "best": None, "steps": 0, "episodes": 0} for _ in options
        ]
        self._state_of = state
        self._starts: list[float] = []  # CPU seconds at the first step on each problem
        self._number = self._length = 0
        self._failed: dict[Hashable, set[int]] = {}

    def reset(self, **arguments: Any) -> Any:
        """Start the next episode, on the next problem if the budget is used up."""
        if self.rows[self._number]["steps"] >= self.budget and self._number + 1 < len(self.rows):
            self._number += 1
            self._failed.clear()
        self._length = 0
        result = self.env.reset(seed=arguments.get("seed"), options=self.options[self._number])
        self._state = self._state_of(self.unwrapped)
        return result

    def step(self, action: Any) -> Any:
        """Take one step and record its results."""
        row, before = self.rows[self._number], self._state
        if row["steps"] == 0:
            self._starts.append(time.process_time())
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._state = self._state_of(self.unwrapped)
        if self._state == before:
            self._failed.setdefault(before, set()).add(int(action))
        self._length += 1
        row["steps"] += 1
        if terminated:
            row["first_goal"] = row["first_goal"] or row["steps"]
            row["best"] = min(self._length, row["best"] or self._length)
        truncated = not terminated and (truncated or row["steps"] >= self.budget)
        row["episodes"] += terminated or truncated
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Which actions may be drawn: bool (actions,); all where the rule would mask all."""
        if self.true_masks:
            mask = self.unwrapped.action_masks()  # type: ignore[attr-defined]
        else:
            mask = np.ones(int(self.action_space.n), bool)  # type: ignore[attr-defined]
            mask[list(self._failed.get(self._state, ()))] = False
        return mask if mask.any() else ~mask

    def timed_rows(self, **common: Any) -> list[Row]:
        """The rows of problems that are all played, with `common` and the CPU seconds of each."""
        ends = [*self._starts[1:], time.process_time()]
        return [
            {**row, **common, "cpu_seconds": end - start}
            for row, start, end in zip(self.rows, self._starts, ends, strict=True)
        ]
