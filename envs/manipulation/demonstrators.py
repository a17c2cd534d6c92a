"""The scripted demonstrators by task, and the episodes they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.demonstrator import Demonstrator
from worldplan.envs.manipulation.demonstrators_grasp import (
    BinPickDemonstrator,
    UprightPivotDemonstrator,
)
from worldplan.envs.manipulation.demonstrators_push import (
    InclinePushDemonstrator,
    PlanarPushDemonstrator,
)
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.milp.errors import ConfigError

DEMONSTRATORS: dict[str, type[Demonstrator]] = {
    "PlanarPush": PlanarPushDemonstrator,
    "InclinePush": InclinePushDemonstrator,
    "BinPick": BinPickDemonstrator,
    "UprightPivot": UprightPivotDemonstrator,
}


@dataclass(frozen=True, slots=True)
class DemonstratedEpisode:
    """One episode of T steps.

    Args:
        observation: (T + 1, ...) or one such array per key of a dictionary space.
        action: (T, A), what was executed, noise included.
        reward: (T,).
        success: solved on at least 5 steps.
        contact_force: (T,) N, largest on any geometry of the hand in each step.
        saturation: (T,) bool, some servo was at its force limit.
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
    """Play one episode. The demonstrator sees the consequences of the noise, and the label is the
    noisy action that was executed.

    Args:
        env: a manipulation environment, wrapped or not, single.
        demonstrator: for the same task.
        noise: standard deviation added to every entry of the action, which is then cut to [-1, 1].
        seed: decides start and noise.

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
    observation, _ = env.reset(seed=seed)
    demonstrator.reset()
    observations, actions, rewards, forces, saturations = [observation], [], [], [], []
    done, info = False, {"is_success": False}
    while not done:
        clean = demonstrator.act(inner)
        action = np.clip(clean + noise * generator.standard_normal(clean.shape), -1.0, 1.0).astype(
            np.float32
        )
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
        forces.append(info["contact_force"])
        saturations.append(info["saturation"])
        done = terminated or truncated
    if isinstance(observation, dict):
        stacked: NDArray[Any] | dict[str, NDArray[Any]] = {
            key: np.stack([row[key] for row in observations]) for key in observation
        }
    else:
        stacked = np.stack(observations)
    return DemonstratedEpisode(
        observation=stacked,
        action=np.stack(actions),
        reward=np.array(rewards, np.float32),
        success=bool(info["is_success"]),
        contact_force=np.array(forces, np.float32),
        saturation=np.array(saturations, bool),
    )


def demonstrator_of(task_id: str) -> Demonstrator:
    """A new demonstrator for a task, by its gymnasium id ("worldplan/PlanarPush-v0", a module
    before it may stay) or its name ("PlanarPush").

    Raises:
        ConfigError: there is none for this task.
    """
    name = task_id.rsplit("/", 1)[-1].removesuffix("-v0")
    if name not in DEMONSTRATORS:
        raise ConfigError(
            f"no demonstrator for task {task_id!r}; there are some for {', '.join(DEMONSTRATORS)}"
        )
    return DEMONSTRATORS[name]()
