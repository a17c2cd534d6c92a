"""A little data of Pendulum-v1, an ensemble, and studies on them, for tests of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from worldplan.world_models.data.files import save_npz
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble import GaussianEnsemble

SETTINGS: dict[str, Any] = {
    "critics": 2,
    "diversity": 0.0,
    "hidden": [8],
    "batch": 20,
    "horizon": 2,
    "starts": 10,
    "updates": 2,
    "discount": 0.9,
}


def pendulum_data(path: Path, episodes: int = 4, seed: int = 0) -> Path:
    """Random actions over whole episodes of 200 steps."""
    env, rows = gym.make("Pendulum-v1"), []
    env.action_space.seed(seed)
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        truncated = False
        while not truncated:
            action = env.action_space.sample()
            following, reward, _, truncated, _ = env.step(action)
            rows.append((observation, action, reward, following, truncated, episode))
            observation = following
    observation, action, reward, following, truncated, episode = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    done = np.zeros(len(rows), bool)
    metadata = {"env_id": "Pendulum-v1"}
    data = Transitions(
        observation, action, reward, following, done, truncated, episode, metadata=metadata
    )
    return save_npz(data, path)


def ensemble_for(data: Transitions, path: Path, seed: int = 0) -> Path:
    """An ensemble with the data's statistics and random weights."""
    ensemble = GaussianEnsemble(
        3, 1, members=3, elites=2, hidden=(8,), generator=torch.Generator().manual_seed(seed)
    )
    change = data.next_observation - data.observation
    ensemble.set_statistics(
        torch.from_numpy(np.concatenate([data.observation, data.action], 1)),
        torch.from_numpy(np.concatenate([change, data.reward[:, None]], 1)),
    )
    ensemble.save(path)
    return path


def pendulum_study(folder: Path) -> dict[str, Any]:
    """A study of one method, with its data and ensemble in `folder`."""
    from worldplan.world_models.data.files import load_transitions

    data = pendulum_data(folder / "pendulum.npz")
    ensemble_for(load_transitions(data), folder / "ensemble.ckpt")
    ensemble_for(load_transitions(data), folder / "held_out.ckpt", seed=1)
    return {
        "name": "pendulum",
        "data": {
            "dataset": str(data),
            "ensemble": str(folder / "ensemble.ckpt"),
            "termination": "never",
        },
        "settings": SETTINGS,
        "seeds": 2,
        "epochs": 2,
        "check_every": 1,
        "save_every": 1,
        "check_episodes": 1,
        "episodes": 2,
        "methods": {"base": {}},
    }
