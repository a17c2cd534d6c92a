"""A Meta-World task with a sparse reward, and its scripted policy as a demonstrator.

`worldplan.envs.isolated.metaworld` runs this file in an interpreter that has Meta-World 3.1 and not
worldplan, so nothing of worldplan is imported here.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

REPEAT = 2  # simulator steps of one decision, as in TD-MPC and MoDem
DECISIONS = 100  # of an episode: 200 simulator steps
OBJECT = [10.0] * 3 + [1.0] * 4  # position and quaternion
FRAME = [10.0] * 3 + [1.0] + 2 * OBJECT  # hand, opening of the gripper, two objects
# an observation holds the present frame, that of one simulator step ago, and the goal; lengths are
# in decimetres, as in worldplan's own tasks, so that all entries are of order 1
UNITS = np.array(2 * FRAME + [10.0] * 3)


class MetaWorldTask(gym.Env[np.ndarray, np.ndarray]):
    """One Meta-World task; positions of object and goal are drawn for every episode.

    Args:
        task: name in Meta-World, such as push-v3.
        render_mode: "rgb_array" or None.

    The reward is 1 in a decision in which Meta-World reports success, else 0. "is_success" is
    whether it has reported success in this episode, as Meta-World counts it. Observations (39,) are
    Meta-World's own with the goal visible, lengths in decimetres instead of metres. An episode
    always has 100 decisions.

    Raises:
        ValueError: Meta-World has no such task.
    """

    def __init__(self, task: str = "push-v3", render_mode: str | None = None) -> None:
        if task not in ALL_V3_ENVIRONMENTS:
            raise ValueError(
                f"task {task!r} is not in Meta-World; choose one of "
                f"{', '.join(sorted(ALL_V3_ENVIRONMENTS))}"
            )
        self.task = task
        self.env = ALL_V3_ENVIRONMENTS[task](render_mode=render_mode, camera_name="corner2")
        del self.env.sawyer_observation_space  # cached with the goal hidden
        # the next three lines are those of Meta-World's own variants with a visible goal
        self.env._partially_observable = False
        self.env._set_task_called = True
        self.env._freeze_rand_vec = False
        # draw positions from the generator that `seed` sets, not from NumPy's global one
        self.env.seeded_rand_vec = True
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1 / (self.env.dt * REPEAT)}
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, UNITS.shape, np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, self.env.action_space.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; the observation is (39,).

        Args:
            seed: decides the start of this episode and of those after it; None continues.
            options: not used.
        """
        super().reset(seed=seed)
        if seed is not None:
            self.env.seed(seed)
        self.raw, _ = self.env.reset()
        self.decisions, self.success = 0, False
        return self._observation(), {"is_success": False, "solved": False}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action (4,) for two simulator steps."""
        solved = False
        for _ in range(REPEAT):
            self.raw, _, _, _, info = self.env.step(np.clip(action, -1.0, 1.0))
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
        observation: np.ndarray = (self.raw * UNITS).astype(np.float32)
        return observation

    def render(self) -> np.ndarray:
        """The picture (height, width, 3) of the camera corner2, which is mounted upside down."""
        return np.ascontiguousarray(self.env.render()[::-1, ::-1])

    def close(self) -> None:
        """Free the OpenGL context."""
        self.env.close()

    def demonstrate(self, seed: int, noise: float) -> dict[str, Any]:
        """Play one episode with the scripted policy and noise, and record it.

        Args:
            seed: of the start state and the noise.
            noise: standard deviation of the noise of every action.

        Returns:
            observation (T + 1, 39), action (T, 4) as executed, reward (T,) and success.
        """
        policy, generator = ENV_POLICY_MAP[self.task](), np.random.default_rng([seed, 1])
        observation, info = self.reset(seed=seed)
        observations, actions, rewards, truncated = [observation], [], [], False
        while not truncated:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the policy warns that its actions will be clipped
                clean = np.clip(policy.get_action(self.raw), -1.0, 1.0)
            action = np.clip(
                clean + noise * generator.standard_normal(len(clean)), -1.0, 1.0
            ).astype(np.float32)
            observation, reward, _, truncated, info = self.step(action)
            observations.append(observation)
            actions.append(action)
            rewards.append(reward)
        return {
            "observation": np.stack(observations),
            "action": np.stack(actions),
            "reward": np.array(rewards),
            "success": info["is_success"],
        }
