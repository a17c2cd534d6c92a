"""Episodes that a scripted demonstrator plays, with noise on its actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldplan.envs.episodes import EpisodeBatch
from worldplan.envs.manipulation.demonstrators.base import Demonstrator
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.milp.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DemonstratedEpisode:
    """One episode of T steps.

    Args:
        observation: (T + 1, ...), or one such array per key of a dictionary space.
        action: (T, A), the executed actions, with their noise.
        reward: (T,).
        success: whether the task was solved on at least 5 steps.
        contact_force: (T,) N, the largest on any geometry of the hand in each step.
        saturation: (T,) bool, whether a servo was at its force limit.
    """

    observation: NDArray[Any] | dict[str, NDArray[Any]]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    success: bool
    contact_force: NDArray[np.float32]
    saturation: NDArray[np.bool_]


def demonstrate(
    env: gym.Env[Any, Any], demonstrator: Demonstrator, noise: float, seed: int
) -> DemonstratedEpisode:
    """Play one episode with noisy actions and record it.

    The demonstrator reacts to the consequences of the noise, and the recorded action is the noisy
    one that was executed.

    Args:
        env: one manipulation environment, wrapped or not.
        demonstrator: of the same task.
        noise: standard deviation of the noise of every entry of the action, which is then clipped
            to [-1, 1].
        seed: of the start state and the noise.

    Raises:
        ConfigError: the noise is negative or not finite, or this is no manipulation environment.
    """
    inner = env.unwrapped
    if not isinstance(inner, ManipulationEnv):
        raise ConfigError(
            f"demonstrators play in manipulation environments, not in {type(inner).__name__}"
        )
    if not (np.isfinite(noise) and noise >= 0):
        raise ConfigError(f"noise is {noise}: must be finite and at least 0")
    generator = np.random.default_rng([seed, 1])
    batch = EpisodeBatch(env, seed=seed)
    demonstrator.reset()

    def decide(_: Any) -> NDArray[np.float32]:
        clean = demonstrator.act(inner)
        noisy = clean + noise * generator.standard_normal(clean.shape)
        return np.clip(noisy, -1.0, 1.0).astype(np.float32)[None]

    observations, steps = [batch.observation], []
    for step in batch.play(decide):
        observations.append(step.next_observation)
        steps.append(step)
    if isinstance(batch.observation, dict):
        stacked: NDArray[Any] | dict[str, NDArray[Any]] = {
            key: np.concatenate([row[key] for row in observations]) for key in batch.observation
        }
    else:
        stacked = np.concatenate(observations)
    return DemonstratedEpisode(
        observation=stacked,
        action=np.concatenate([step.action for step in steps]),
        reward=np.array([step.reward[0] for step in steps], np.float32),
        success=bool(steps[-1].info["is_success"][0]),
        contact_force=np.array([step.info["contact_force"][0] for step in steps], np.float32),
        saturation=np.array([step.info["saturation"][0] for step in steps], bool),
    )
