"""A small dataset of Pendulum-v1, and trainings on it."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

from worldplan.envs.dynamics.model import Prediction
from worldplan.planners.offline.model_free.behaviour_cloning import BehaviourCloningSettings
from worldplan.planners.offline.model_free.iql import IQLSettings
from worldplan.planners.offline.model_free.td3_bc import TD3BCSettings
from worldplan.planners.offline.model_free.training import ModelFreeModule
from worldplan.planners.offline.task import model_free_task
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import GaussianEnsemble

COMMON = {"hidden": (8, 8), "batch": 16, "updates": 7}
METHODS = [
    BehaviourCloningSettings(**COMMON),
    TD3BCSettings(**COMMON, layer_norm=True, critic_penalty=0.1),
    IQLSettings(**COMMON, critics=3, quantile=0.25, actor_decay=20),
]


def pendulum_data(episodes=4, steps=12, seed=0, **metadata) -> Transitions:
    """Episodes of random torques, truncated after `steps`."""
    env = gym.make("Pendulum-v1", max_episode_steps=steps)
    random = np.random.default_rng(seed)
    rows: dict[str, list] = {
        "observation": [],
        "action": [],
        "reward": [],
        "next_observation": [],
        "terminated": [],
        "truncated": [],
        "episode": [],
    }
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        ended = False
        while not ended:
            action = random.uniform(-2, 2, 1).astype(np.float32)
            following, reward, terminated, truncated, _ = env.step(action)
            row = (observation, action, reward, following, terminated, truncated, episode)
            for name, value in zip(rows, row, strict=True):
                rows[name].append(value)
            observation, ended = following, terminated or truncated
    arrays = {name: np.asarray(values) for name, values in rows.items()}
    return Transitions(**arrays, metadata={"env_id": "Pendulum-v1", **metadata})


def module_of(settings, epochs=3, data=None, **arguments) -> ModelFreeModule:
    task = model_free_task(pendulum_data() if data is None else data)
    chosen = {"seeds": 2, "check_every": 2, "check_episodes": 1} | arguments
    return ModelFreeModule(task, settings, epochs=epochs, **chosen)


class Standing:
    """A dynamics model in which nothing moves."""

    observation_size, action_size, state_size = 3, 1, 0

    def __init__(self, *, environment, observation_size, action_size):
        pass

    def step(self, observation, action, *, state=None, generator=None, members=False):
        ended = torch.zeros(len(action), dtype=torch.bool)
        return Prediction(observation.clone(), -action[:, 0].square(), ended)

    def to(self, device): ...


def save_ensemble(data: Transitions, path: Path) -> None:
    """Write a small untrained ensemble for a dataset of Pendulum-v1."""
    generator = torch.Generator().manual_seed(0)
    ensemble = GaussianEnsemble(3, 1, members=3, elites=2, hidden=(8,), generator=generator)
    observation, action, following, reward = (
        torch.from_numpy(part)
        for part in (data.observation, data.action, data.next_observation, data.reward)
    )
    ensemble.set_statistics(
        torch.cat([observation, action], 1), ensemble.targets(observation, following, reward)
    )
    ensemble.save(path)
