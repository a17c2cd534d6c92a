"""The far side of `worldplan.envs.isolated.metaworld`: a Meta-World task with a sparse reward, and
its scripted policy as a demonstrator.

Runs in an interpreter that has Meta-World 3.1 and nothing of ours, so nothing of ours is imported
here.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

REPEAT = 2  # simulator steps of one decision, as TD-MPC and MoDem take them
DECISIONS = 100  # of an episode: 200 simulator steps
OBJECT = [10.0] * 3 + [1.0] * 4  # position and quaternion
NOW = [10.0] * 3 + [1.0] + 2 * OBJECT  # hand, opening of the gripper, two objects
# lengths in decimetres, as in our own tasks, so that all entries are near 1: now, one simulator
# step ago, and the goal
UNITS = np.array(2 * NOW + [10.0] * 3)


class MetaWorldTask(gym.Env):
    """One task. Object and goal are placed anew in every episode.

    Args:
        task: name in Meta-World, such as push-v3.
        render_mode: "rgb_array" or None.

    The reward is 1 in a decision in which the simulator calls the task a success, else 0;
    "is_success" is whether it ever did so in this episode, which is what Meta-World counts.
    Observations are Meta-World's own 39 numbers with the goal visible, lengths in decimetres
    instead of metres. An episode is never cut short.
    """

    def __init__(self, task: str = "push-v3", render_mode: str | None = None) -> None:
        if task not in ALL_V3_ENVIRONMENTS:
            raise ValueError(
                f"task {task!r} is not in Meta-World; choose one of {', '.join(sorted(ALL_V3_ENVIRONMENTS))}"
            )
        self.task = task
        self.env = ALL_V3_ENVIRONMENTS[task](render_mode=render_mode, camera_name="corner2")
        del self.env.sawyer_observation_space  # cached with the goal hidden
        # this and the next lines are what Meta-World's own variants with a visible goal do
        self.env._partially_observable = False
        self.env._set_task_called = True
        self.env._freeze_rand_vec = False
        self.env.seeded_rand_vec = (
            True  # draw places from the generator that `seed` sets, not from NumPy's global one
        )
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1 / (self.env.dt * REPEAT)}
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, UNITS.shape, np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, self.env.action_space.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; `seed` alone decides how it and those after it start."""
        super().reset(seed=seed)
        if seed is not None:
            self.env.seed(seed)
        self.seen, _ = self.env.reset()
        self.decisions, self.success = 0, False
        return self._observation(), {"is_success": False, "solved": False}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold the action for two simulator steps."""
        solved = False
        for _ in range(REPEAT):
            self.seen, _, _, _, info = self.env.step(np.clip(action, -1.0, 1.0))
            solved |= bool(info["success"])
        self.success |= solved
        self.decisions += 1
        return (
            self._observation(),
            float(solved),
            False,
            self.decisions >= DECISIONS,
            {"is_success": self.success, "solved": solved},
        )

    def _observation(self) -> np.ndarray:
        return (self.seen * UNITS).astype(np.float32)

    def render(self) -> np.ndarray:
        """A picture (height, width, 3)."""
        return np.ascontiguousarray(
            self.env.render()[::-1, ::-1]
        )  # the camera corner2 hangs upside down

    def close(self) -> None:
        """Free what OpenGL holds."""
        self.env.close()

    def demonstrate(self, seed: int, noise: float) -> dict[str, Any]:
        """Play one episode with the scripted policy; what is recorded is the noisy action that was
        executed.

        Args:
            seed: decides the start and the noise.
            noise: standard deviation added to every action.
        Returns observation (T + 1, 39), action (T, 4), reward (T,) and success.
        """
        policy, generator = ENV_POLICY_MAP[self.task](), np.random.default_rng([seed, 1])
        observation, info = self.reset(seed=seed)
        observations, actions, rewards, over = [observation], [], [], False
        while not over:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # it says that its actions will be cut to their limits
                clean = np.clip(policy.get_action(self.seen), -1.0, 1.0)
            action = np.clip(
                clean + noise * generator.standard_normal(len(clean)), -1.0, 1.0
            ).astype(np.float32)
            observation, reward, _, over, info = self.step(action)
            observations.append(observation)
            actions.append(action)
            rewards.append(reward)
        return {
            "observation": np.stack(observations),
            "action": np.stack(actions),
            "reward": np.array(rewards),
            "success": info["is_success"],
        }
