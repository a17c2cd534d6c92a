"""Whole episodes of a planner, with everything that happened in them.

`play` keeps observations, actions, rewards and what the environment reported about safety;
`worldplan.planners.base.evaluate` keeps only a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from worldplan.envs.episodes import EpisodeBatch, EpisodeStep
from worldplan.milp import checks
from worldplan.planners.base import Decider, Decision, Planner, as_planner
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of


@dataclass(frozen=True)
class PlayedEpisode:
    """An episode, and what the environment reported about safety (NaN if it reports nothing).

    Args:
        episode: observations, actions, rewards, and how it ended.
        violations: steps with a contact force above 100 N on the hand.
        saturations: steps with an actuator at its limit.
        largest_force: newtons.
        planned: steps in which the planner acted, not the clone of the demonstrator.
    """

    episode: Episode
    violations: float
    saturations: float
    largest_force: float
    planned: int


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

    def add_observation(self, observations: Any, index: int) -> None:
        """Keep a copy of row `index` of batched observations."""
        columns = columns_of(observations)
        self.observations.append(
            {name: np.array(column[index]) for name, column in columns.items()}
        )

    def add_step(self, step: EpisodeStep, decision: Decision, index: int) -> None:
        """Keep row `index` of a step."""
        self.actions.append(step.action[index])
        self.rewards.append(float(step.reward[index]))
        self.planned += bool(decision.detail.get("planned", True))
        self.terminated = bool(step.terminated[index])
        if (success := step.success) is not None:
            self.success |= bool(success[index])
        if "contact_violation" in step.info:
            self.violations.append(bool(step.info["contact_violation"][index]))
            self.saturations.append(bool(step.info["saturation"][index]))
            self.forces.append(float(step.info["contact_force"][index]))
        self.add_observation(step.next_observation, index)

    def played(self) -> PlayedEpisode:
        """The whole episode."""
        names = self.observations[0]
        stacked = {name: np.stack([row[name] for row in self.observations]) for name in names}
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
    environments: gym.Env[Any, Any] | VectorEnv,
    seed: int,
    *,
    on_step: Callable[[], None] | None = None,
) -> list[PlayedEpisode]:
    """Play one whole episode in every environment.

    Args:
        planner: is reset with `seed`; decides for all environments by `plan_batch`.
        environments: which do not reset themselves (`AutoresetMode.DISABLED`).
        seed: of planner and environments.
        on_step: called after every step.

    Returns:
        The episodes, in the order of the environments.

    Raises:
        ConfigError: the planner lacks a method, or the environments reset themselves.
    """
    seed = checks.whole_number(seed, "seed", least=0)
    batch, planner = EpisodeBatch(environments, seed=seed), as_planner(planner)
    planner.reset(seed=seed)
    decide = Decider(planner, batch)
    recordings = [_Recording() for _ in batch.running]
    for index, recording in enumerate(recordings):
        recording.add_observation(batch.observation, index)
    for step in batch.play(decide):
        for index in np.flatnonzero(step.running).tolist():
            recordings[index].add_step(step, decide.decisions[index], index)
        if on_step is not None:
            on_step()
    return [recording.played() for recording in recordings]


def figures_of(played: list[PlayedEpisode]) -> dict[str, float]:
    """Figures over episodes: the largest force, and means of success, return, steps in violation,
    steps in saturation and the planner's share of the acting.

    Figures of safety are NaN if the environment does not measure it.
    """
    return {
        "success": float(np.mean([record.episode.success for record in played])),
        "return": float(np.mean([record.episode.reward.sum() for record in played])),
        "violations": float(np.mean([record.violations for record in played])),
        "saturations": float(np.mean([record.saturations for record in played])),
        "largest_force": float(np.max([record.largest_force for record in played])),
        "planned": float(np.mean([record.planned / len(record.episode) for record in played])),
    }
