"""The Adroit hand tasks of gymnasium-robotics with a sparse 0/1 reward; needs the extra `adroit`.

Importing this module registers worldplan/AdroitDoor-v0, AdroitHammer-v0, AdroitPen-v0 and
AdroitRelocate-v0.

Demonstrations are the Minari datasets D4RL/{door,hammer,pen,relocate}/human-v2 (25 episodes each by
people; downloading needs the extra `hub`) and expert-v2. Observations and actions are those of
these tasks, and the infos hold the success, but the rewards are dense. Train with
`success_reward: true` (`worldplan.planners.modem.task`), which replaces the reward of each step by
its success.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.milp.errors import MissingExtra

TASKS = ("Door", "Hammer", "Pen", "Relocate")
STEPS = 200


class AdroitEnv(gym.Env[np.ndarray, np.ndarray]):
    """One Adroit task; an episode always has 200 steps.

    The reward is 1 in a step in which the task is solved, else 0. info: "solved" (in this step) and
    "is_success" (in this or an earlier step of the episode).

    Args:
        task: Door, Hammer, Pen or Relocate.
        render_mode: "rgb_array" or None.

    Raises:
        MissingExtra: gymnasium-robotics is not installed.
    """

    def __init__(self, task: str, render_mode: str | None = None) -> None:
        if importlib.util.find_spec("gymnasium_robotics") is None:
            raise MissingExtra(
                f"Adroit{task} needs gymnasium-robotics: pip install 'worldplan[adroit]'"
            )
        self.hand = gym.make(
            f"gymnasium_robotics:AdroitHand{task}Sparse-v1",
            max_episode_steps=STEPS,
            render_mode=render_mode,
        )
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": self.hand.metadata["render_fps"],
        }
        self.observation_space = gym.spaces.Box(
            -np.inf, np.inf, self.hand.observation_space.shape, np.float32
        )
        self.action_space = self.hand.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; the observation is (observation,).

        Args:
            seed: of the start state; None continues the environment's random numbers.
            options: those of gymnasium-robotics, such as initial_state_dict.
        """
        super().reset(seed=seed)
        observation, _ = self.hand.reset(seed=seed, options=options)
        self.success = False
        return observation.astype(np.float32), {"is_success": False, "solved": False}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action (action,) for 10 ms; the observation is (observation,)."""
        observation, _, _, truncated, info = self.hand.step(action)
        solved = bool(info["success"])
        self.success |= solved
        return (
            observation.astype(np.float32),
            float(solved),
            False,
            truncated,
            {"is_success": self.success, "solved": solved},
        )

    def render(self) -> Any:
        """The picture (height, width, 3) of gymnasium-robotics' camera."""
        return self.hand.render()

    def close(self) -> None:
        """Free the OpenGL context."""
        self.hand.close()


for _task in TASKS:
    gym.register(
        id=f"worldplan/Adroit{_task}-v0",
        entry_point="worldplan.envs.adroit:AdroitEnv",
        max_episode_steps=STEPS,
        kwargs={"task": _task},
    )
