"""Plays whole episodes in environments side by side and keeps everything: observations, rewards,
safety, who acted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Planner, as_planner
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of


@dataclass(frozen=True)
class PlayedEpisode:
    """An episode with what the environment reported about safety; all counts are steps, NaN where
    it reports nothing.

    Args:
        episode: what happened.
        violations: a contact above 100 N on the hand.
        saturations: an actuator at its limit.
        largest_force: newtons; NaN too.
        planned: the planner acted, not the clone.
    """

    episode: Episode
    violations: float
    saturations: float
    largest_force: float
    planned: int


def make_environment(name: str, **options: Any) -> gym.Env:
    """One registered environment, its actions scaled to [-1, 1]. Raises ConfigError."""
    try:
        env = gym.make(name, **options)
    except (gym.error.Error, ModuleNotFoundError, TypeError) as error:
        raise ConfigError(
            f"environment '{name}' with {options}: {error}: give a registered gymnasium id, or module:Id-v0, and its own options"
        ) from error
    box = env.action_space
    if not isinstance(box, gym.spaces.Box) or len(box.shape) != 1 or not box.is_bounded():
        raise ConfigError(
            f"environment '{name}' has actions {box}: a bounded Box of one axis is needed"
        )
    if not (np.all(box.low == -1) and np.all(box.high == 1)):
        return gym.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    return env


def make_environments(name: str, count: int, **options: Any) -> VectorEnv:
    """`count` copies of `make_environment` side by side; they do not reset themselves. Raises
    ConfigError.
    """
    return SyncVectorEnv(
        [lambda: make_environment(name, **options)] * count, autoreset_mode=AutoresetMode.DISABLED
    )


class _Recording:
    """The steps of one environment so far."""

    def __init__(self) -> None:
        self.observations: list[dict[str, np.ndarray]] = []
        self.actions: list[np.ndarray] = []
        self.rewards: list[float] = []
        self.forces: list[float] = []
        self.violations: list[bool] = []
        self.saturations: list[bool] = []
        self.planned = 0
        self.success = self.terminated = False

    def played(self) -> PlayedEpisode:
        stacked = {
            name: np.stack([row[name] for row in self.observations])
            for name in self.observations[0]
        }
        episode = Episode(
            observation_of(stacked),
            np.stack(self.actions),
            np.array(self.rewards),
            self.terminated,
            self.success,
        )
        if not self.forces:
            return PlayedEpisode(episode, math.nan, math.nan, math.nan, self.planned)
        return PlayedEpisode(
            episode, sum(self.violations), sum(self.saturations), max(self.forces), self.planned
        )


def play(
    planner: Planner,
    environments: VectorEnv,
    seed: int,
    *,
    on_step: Callable[[], None] | None = None,
) -> list[PlayedEpisode]:
    """One whole episode in every environment; the planner decides for all of them at once where it
    has `plan_batch`.
    """
    count = environments.num_envs
    observation, _ = environments.reset(seed=seed)
    planner = as_planner(planner)
    planner.reset(seed=seed)
    records, running = [_Recording() for _ in range(count)], np.ones(count, bool)
    _keep(records, running, observation)
    while running.any():
        decisions = planner.plan_batch(observation)
        actions = np.stack([decision.action for decision in decisions])
        observation, reward, terminated, truncated, info = environments.step(actions)
        for index in np.flatnonzero(running):
            record = records[index]
            record.actions.append(actions[index])
            record.rewards.append(float(reward[index]))
            record.planned += bool(decisions[index].detail.get("planned", True))
            record.terminated = bool(terminated[index])
            _note(record, info, int(index))
        _keep(records, running, observation)
        running &= ~(terminated | truncated)
        over = terminated | truncated
        if (
            running.any() and over.any()
        ):  # gymnasium does not step an environment that is over: begin it again, unrecorded
            observation, _ = environments.reset(options={"reset_mask": over})
        if on_step is not None:
            on_step()
    return [record.played() for record in records]


def _keep(records: list[_Recording], running: np.ndarray, observation: Any) -> None:
    columns = columns_of(observation)
    for index in np.flatnonzero(running):
        records[index].observations.append(
            {name: np.array(column[index]) for name, column in columns.items()}
        )


def _note(record: _Recording, info: dict[str, Any], index: int) -> None:
    """Success and safety, by the names that environments use."""
    for name in ("is_success", "success"):
        if name in info:
            record.success |= bool(info[name][index])
    if "contact_violation" in info:
        record.violations.append(bool(info["contact_violation"][index]))
        record.saturations.append(bool(info["saturation"][index]))
        record.forces.append(float(info["contact_force"][index]))
