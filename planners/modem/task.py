"""The task of a MoDem training: an environment and demonstrations of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from worldplan.envs.environments import make_environment, make_environments
from worldplan.world_models.data.demonstrations import load_demonstrations
from worldplan.world_models.data.episodes import Episode


@dataclass(frozen=True)
class ModemTask:
    """An environment by name, and demonstrations with its observations and actions.

    Args:
        environment: gymnasium id, "module:Id-v0" to import the module first.
        options: keyword arguments of the environment.
        demonstrations: successful episodes; may be empty.
        about: description of environment and demonstrations, plain values; stored in checkpoints,
            and compared when a training resumes.
    """

    environment: str
    options: dict[str, Any]
    demonstrations: list[Episode]
    about: dict[str, Any] = field(default_factory=dict)

    def make(self, count: int) -> VectorEnv:
        """`count` copies of the environment as one vector environment.

        Raises:
            ConfigError: no such environment, wrong options, or actions that are not a bounded Box
                of one axis.
        """
        return make_environments(self.environment, count, scale_actions=True, **self.options)


def modem_task(
    environment: str,
    options: dict[str, Any] | None = None,
    dataset: str | None = None,
    episodes: int | None = None,
    success_reward: bool = False,
) -> ModemTask:
    """A task from the names of an environment and a dataset.

    Args:
        environment: gymnasium id, "module:Id-v0" to import the module first.
        options: keyword arguments of the environment.
        dataset: Minari id of the demonstrations; None: no demonstrations.
        episodes: number of demonstrations, from the first on; None: all.
        success_reward: use the success of each step as its reward, for an environment that rewards
            success alone while the dataset has other rewards; see `load_demonstrations`.
    Raises:
        ConfigError: no such environment, wrong options, or actions that are not a bounded Box of
            one axis.
        DatasetError: no such dataset, or one that does not fit the environment.
    """
    options = options or {}
    demonstrations: list[Episode] = []
    if dataset is not None:
        env = make_environment(environment, scale_actions=True, **options)
        demonstrations = load_demonstrations(
            dataset,
            env.observation_space,
            env.action_space,
            episodes=episodes,
            environment=environment,
            options=env.spec.kwargs if env.spec is not None else options,
            success_reward=success_reward,
        )
        env.close()
    about = {
        "environment": environment,
        "options": options,
        "dataset": dataset,
        "episodes": len(demonstrations),
        "success_reward": success_reward,
    }
    return ModemTask(environment, options, demonstrations, about)


def spaces_of(task: ModemTask) -> tuple[gym.Space[Any], int]:
    """Observation space of one environment of a task, and length of an action."""
    environments = task.make(1)
    space = environments.single_observation_space
    action_space = environments.single_action_space
    assert isinstance(action_space, gym.spaces.Box)  # checked by `make`
    environments.close()
    return space, action_space.shape[0]
