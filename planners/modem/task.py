"""What a MoDem training is about: an environment and its demonstrations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from worldplan.planners.episodes import make_environment, make_environments
from worldplan.world_models.data.demonstrations import load_demonstrations
from worldplan.world_models.data.episodes import Episode


@dataclass(frozen=True)
class ModemTask:
    """An environment by name, and demonstrations that fit it.

    Args:
        environment: gymnasium id, "module:Id-v0" to import the module first.
        options: keyword arguments of the environment.
        demonstrations: successful episodes, or none.
        about: what they are, for the record.
    """

    environment: str
    options: dict[str, Any]
    demonstrations: list[Episode]
    about: dict[str, Any] = field(default_factory=dict)

    def make(self, count: int) -> VectorEnv:
        """Copies of the environment side by side."""
        return make_environments(self.environment, count, **self.options)


def modem_task(
    environment: str,
    options: dict[str, Any] | None = None,
    dataset: str | None = None,
    episodes: int | None = None,
    success_reward: bool = False,
) -> ModemTask:
    """A task out of names.

    Args:
        environment, options: see `ModemTask`.
        dataset: Minari id of the demonstrations; none without.
        episodes: how many of them to use, from the first; all when None.
        success_reward: see `load_demonstrations`; where the environment pays for success alone, but
            the dataset's rewards are others.
    Raises ConfigError and DatasetError where they do not fit together.
    """
    options = options or {}
    found: list[Episode] = []
    if dataset is not None:
        one = make_environment(environment, **options)
        found = load_demonstrations(
            dataset,
            one.observation_space,
            one.action_space,
            episodes=episodes,
            environment=environment,
            options=one.spec.kwargs if one.spec is not None else options,
            success_reward=success_reward,
        )
        one.close()
    about = {
        "environment": environment,
        "options": options,
        "dataset": dataset,
        "episodes": len(found),
        "success_reward": success_reward,
    }
    return ModemTask(environment, options, found, about)


def spaces_of(task: ModemTask) -> tuple[gym.Space, int]:
    """Observation space and length of an action."""
    one = task.make(1)
    space, size = one.single_observation_space, int(one.single_action_space.shape[0])  # type: ignore[index]
    one.close()
    return space, size
