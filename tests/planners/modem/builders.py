"""Agents, episodes, and a small sparse task with trainings on it, that the tests of MoDem use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    ModemSettings,
    PlanningSettings,
)
from worldplan.planners.modem.task import ModemTask
from worldplan.planners.modem.training import ModemModule
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of
from worldplan.world_models.latent.settings import LatentSettings

SPACE = gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
PIXELS = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (2, 3, 64, 64), np.uint8),
        "proprioception": gym.spaces.Box(-np.inf, np.inf, (3,), np.float32),
    }
)
LATENT = LatentSettings(latent=8, hidden=16, encoder_hidden=16, channels=4, members=3)
SEARCH = ShootingSettings(
    samples=12,
    elites=4,
    iterations=1,
    horizon=3,
    temperature=0.5,
    min_std=0.1,
    proposals=1.0,
    pick="draw",
)
SETTINGS = ModemSettings(
    latent=LATENT,
    planning=PlanningSettings(search=SEARCH),
    segment=3,
    batch=16,
    encoder_rate=1.0,
    target_every=2,
)


def agent_of(
    settings: ModemSettings = SETTINGS, space: gym.Space = SPACE, *, random_heads: bool = True
) -> Modem:
    """An agent whose reward and critics are random, not 0 as in a new agent."""
    agent = Modem(space, 2, settings, generator=torch.Generator().manual_seed(0))
    if random_heads:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in [*agent.model.parameters(), *agent.clone.parameters()]:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        agent.target.load_state_dict(agent.model.state_dict())
    return agent


GOAL = np.array([0.6, -0.4], np.float32)
STEPS = 12


class Reach(gym.Env):
    """A point moves by at most 0.2 a step; the reward is 1 near the goal. Outside the unit square
    contacts are violations.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(-2, 2, (4,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.8, 0, 2).astype(np.float32)
        self.elapsed = self.solved = 0
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place = np.clip(self.place + 0.2 * np.clip(action, -1, 1), -2, 2).astype(np.float32)
        near = float(np.abs(self.place - GOAL).max()) < 0.15
        self.elapsed += 1
        self.solved += near
        return self._observe(), float(near), False, self.elapsed == STEPS, self._info()

    def render(self) -> np.ndarray:
        picture = np.zeros((32, 32, 3), np.uint8)
        row, column = ((self.place + 2) * 7.9).astype(int)
        picture[row, column] = 255
        return picture

    def _observe(self) -> np.ndarray:
        return np.concatenate([self.place, GOAL - self.place]).astype(np.float32)

    def _info(self) -> dict[str, Any]:
        outside = float(np.abs(self.place).max())
        return {
            "is_success": self.solved >= 2,
            "contact_force": 100 * outside,
            "contact_violation": outside > 1,
            "saturation": False,
        }


class ReachInPictures(gym.ObservationWrapper):
    """`Reach` with an image beside the state vector."""

    def __init__(self) -> None:
        super().__init__(Reach(render_mode="rgb_array"))
        picture = gym.spaces.Box(0, 255, (1, 3, 32, 32), np.uint8)
        self.observation_space = gym.spaces.Dict(
            {"image": picture, "proprioception": self.env.observation_space}
        )

    def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": self.env.render().transpose(2, 0, 1)[None], "proprioception": observation}


class Unmeasured(Reach):
    """`Reach` without measured forces."""

    def _info(self) -> dict[str, Any]:
        return {"is_success": self.solved >= 2}


gym.register("worldplan_tests/Reach-v0", entry_point=Reach)
gym.register("worldplan_tests/Unmeasured-v0", entry_point=Unmeasured)
gym.register("worldplan_tests/ReachInPictures-v0", entry_point=ReachInPictures)
ID, PICTURES = "worldplan_tests/Reach-v0", "worldplan_tests/ReachInPictures-v0"


def demonstrations(count: int = 3, environment: str = ID) -> list[Episode]:
    env, episodes = gym.make(environment), []
    for seed in range(count):
        observation, _ = env.reset(seed=seed)
        observations, actions, rewards = [observation], [], []
        for _ in range(STEPS):
            action = np.clip(
                5 * columns_of(observation).get("proprioception", observation)[2:], -1, 1
            ).astype(np.float32)
            observation, reward, *_ = env.step(action)
            observations.append(observation)
            actions.append(action)
            rewards.append(reward)
        rows = [columns_of(observation) for observation in observations]
        stacked = observation_of({name: np.array([row[name] for row in rows]) for name in rows[0]})
        episodes.append(Episode(stacked, np.array(actions), np.array(rewards), success=True))
    return episodes


TRAINING = ModemSettings(
    latent=LatentSettings(latent=8, hidden=32, encoder_hidden=32, members=2),
    planning=PlanningSettings(
        search=ShootingSettings(
            samples=16, elites=4, iterations=1, horizon=2, min_std=0.1, proposals=1.0, pick="draw"
        )
    ),
    handover=HandoverSettings(end=192, segment=3),
    demonstration_share=LinearSchedule(0.75, 0.25, 0, 200),
    segment=2,
    batch=16,
    clone_updates=150,
    clone_batch=32,
    clone_rate=2e-3,
    learning_rate=2e-3,
    seed_steps=48,
    seed_updates=20,
    updates_per_step=0.5,
    steps=240,
    environments=4,
    capacity=400,
)


def task_of(count: int = 3, environment: str = ID) -> ModemTask:
    episodes = demonstrations(count, environment) if count else []
    return ModemTask(
        environment, {}, episodes, {"environment": environment, "options": {}, "episodes": count}
    )


def module_of(
    settings: ModemSettings = TRAINING, seed: int = 0, count: int = 3, check_every: int = 2
) -> ModemModule:
    return ModemModule(
        task_of(count), settings, seed=seed, check_every=check_every, check_episodes=4
    )


def same_weights(first: Path, second: Path) -> bool:
    left, right = (
        torch.load(file, weights_only=True)["modem"]["weights"] for file in (first, second)
    )
    return set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in left)
