"""The two-dimensional illustration of the RAVL paper (Sims et al., 2024): a point in the plane.

Dynamics are s' = s + step * a with |a|_inf <= 1, and optimal values are known exactly. Data are
start states in [-start, start]^2. Rollouts of k steps from the data reach |s|_inf <= start +
k * step. A state beyond start + (k - 1) * step occurs only as the last next state of a rollout: it
is bootstrapped from but never trained on (the "edge of reach").

The reward is a bump around a goal. The paper shows its own in a figure only, so goal, width and
height are settings. Lengths are a tenth of the paper's (start 2, step 1), so that the inputs of
networks are of order 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from worldplan.envs.dynamics.model import Prediction
from worldplan.envs.episodes import reset_mask
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields


@dataclass(frozen=True)
class Plane:
    """The task: r(s') = height * exp(-|s' - goal|^2 / (2 width^2)).

    Args:
        goal: centre of the reward.
        width: standard deviation of the bump.
        height: reward at the goal.
        start: start states are uniform in [-start, start]^2.
        step: distance moved by an action of 1.
        episode: steps of an episode.

    Raises:
        ConfigError: a setting is out of range.
    """

    goal: tuple[float, float] = (0.9, 0.4)
    width: float = 0.4
    height: float = 1.0
    start: float = 0.2
    step: float = 0.1
    episode: int = 30

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.goal) != 2 or not all(math.isfinite(value) for value in self.goal):
            raise ConfigError(f"goal {self.goal}: must be two finite numbers")
        if min(self.width, self.start, self.step) <= 0 or self.episode < 1:
            raise ConfigError("width, start and step must be positive, episode at least 1")

    def reward(self, state: Tensor) -> Tensor:
        """Reward (...,) of a step to `state` (..., 2)."""
        goal = torch.as_tensor(self.goal, dtype=state.dtype, device=state.device)
        return self.height * torch.exp(-((state - goal) ** 2).sum(-1) / (2 * self.width**2))

    def starts(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Start states (count, 2)."""
        device = None if generator is None else generator.device
        return (torch.rand((count, 2), generator=generator, device=device) * 2 - 1) * self.start

    def is_edge(self, state: Tensor, horizon: int) -> Tensor:
        """Whether `state` (..., 2) is reachable in `horizon` steps and not in fewer, exactly."""
        far = state.abs().amax(-1)
        return (far > self.start + (horizon - 1) * self.step) & (
            far <= self.start + horizon * self.step
        )

    def move(self, state: Tensor, action: Tensor) -> Tensor:
        """The next state (..., 2), for `state` (..., 2) and `action` (..., 2)."""
        return state + self.step * action.clamp(-1, 1)

    def best_action(self, state: Tensor) -> Tensor:
        """The optimal action (..., 2) in `state` (..., 2): each coordinate towards the goal.

        It minimises the distance to the goal after every number of steps.
        """
        goal = torch.as_tensor(self.goal, dtype=state.dtype, device=state.device)
        return ((goal - state) / self.step).clamp(-1, 1)

    def oracle_value(self, state: Tensor, discount: float, steps: int | None = None) -> Tensor:
        """Value (...,) of the optimal policy, without an entropy term.

        Args:
            state: (..., 2).
            discount: per step.
            steps: of the horizon; None for an infinite one.
        """
        goal = torch.as_tensor(self.goal, dtype=state.dtype, device=state.device)
        offset = goal - state
        farthest = float(offset.abs().nan_to_num(posinf=0.0).max()) if offset.numel() else 0.0
        needed = math.ceil(farthest / self.step)
        count = needed if steps is None else steps
        moved = torch.arange(1, count + 1, dtype=state.dtype, device=state.device)
        # (..., count, 2): distance to the goal after each step
        distance = (offset.abs().unsqueeze(-2) - self.step * moved.unsqueeze(-1)).clamp_min(0)
        rewards = self.height * torch.exp(-(distance**2).sum(-1) / (2 * self.width**2))
        value = (rewards * discount ** (moved - 1)).sum(-1)
        if steps is not None:
            return value
        return value + self.height * discount**count / (1 - discount)  # at the goal from then on

    def oracle_q(self, state: Tensor, action: Tensor, discount: float) -> Tensor:
        """Value (...,) of an action with the optimal policy afterwards, over an infinite horizon.

        Args:
            state: (..., 2).
            action: (..., 2).
            discount: per step.
        """
        following = self.move(state, action)
        return self.reward(following) + discount * self.oracle_value(following, discount)


class PlaneDynamics:
    """The exact dynamics of the plane as a `DynamicsModel`, without any model error.

    Args:
        plane: the task.
    """

    observation_size, action_size, state_size = 2, 2, 0

    def __init__(self, plane: Plane | None = None) -> None:
        self.plane = Plane() if plane is None else checks.of_type(plane, "plane", Plane)

    def to(self, device: torch.device | str) -> None:
        """Does nothing: there are no parameters."""

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """The next states (batch, 2) and rewards (batch,); no row terminates."""
        following = self.plane.move(observation, action)
        terminated = torch.zeros(
            observation.shape[:-1], dtype=torch.bool, device=observation.device
        )
        return Prediction(following, self.plane.reward(following), terminated)


class PlaneEnv(gym.Env[np.ndarray, np.ndarray]):
    """The plane as a gymnasium environment; observations and actions are (2,).

    Args:
        plane: the task.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, plane: Plane | None = None) -> None:
        self.plane = Plane() if plane is None else checks.of_type(plane, "plane", Plane)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = self.np_random.uniform(-self.plane.start, self.plane.start, 2).astype(
            np.float32
        )
        self._steps = 0
        return self._state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._state = self.plane.move(
            torch.from_numpy(self._state), torch.as_tensor(action, dtype=torch.float32)
        ).numpy()
        self._steps += 1
        reward = float(self.plane.reward(torch.from_numpy(self._state)))
        return self._state.copy(), reward, False, self._steps >= self.plane.episode, {}


class PlaneVectorEnv(VectorEnv):
    """Many episodes of the plane at once; observations and actions are (num_envs, 2).

    Args:
        num_envs: number of episodes.
        plane: the task.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED}

    def __init__(self, num_envs: int, plane: Plane | None = None) -> None:
        self.plane = Plane() if plane is None else checks.of_type(plane, "plane", Plane)
        self.num_envs = num_envs = checks.whole_number(num_envs, "num_envs", least=1)
        self._state: np.ndarray | None = None
        self._steps = np.zeros(num_envs, int)
        single = PlaneEnv(self.plane)
        self.single_observation_space, self.single_action_space = (
            single.observation_space,
            single.action_space,
        )
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes: all, or those that `options["reset_mask"]`, (num_envs,) bool, selects.

        Raises:
            ConfigError: the mask has another shape or type, or there was no reset of all before.
        """
        begun = reset_mask(options, self.num_envs)
        if self._state is None and not begun.all():
            raise ConfigError("reset: reset_mask before any episode: reset all of them first")
        if seed is not None:
            self._np_random, self._np_random_seed = gym.utils.seeding.np_random(seed)
        started = self.np_random.uniform(
            -self.plane.start, self.plane.start, (self.num_envs, 2)
        ).astype(np.float32)
        kept = started if self._state is None else self._state
        self._state = np.where(begun[:, None], started, kept)
        self._steps = np.where(begun, 0, self._steps)
        return self._state.copy(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self._state = self.plane.move(
            torch.from_numpy(self._state), torch.as_tensor(actions, dtype=torch.float32)
        ).numpy()
        self._steps = self._steps + 1
        reward = self.plane.reward(torch.from_numpy(self._state)).numpy().astype(float)
        terminated = np.zeros(self.num_envs, bool)
        truncated = self._steps >= self.plane.episode
        return self._state.copy(), reward, terminated, truncated, {}
