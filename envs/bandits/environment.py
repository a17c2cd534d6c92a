"""Coupled restless bandits (coRMAB) as gymnasium environments.

The arms are coupled by the feasible set of joint actions; given an action, they move independently.
All arms of all episodes step at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from worldplan.milp.errors import DatasetError, InfeasibleAction
from worldplan.milp.sets.base import ActionSet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def draw(probabilities: Floats, uniform: Floats) -> Ints:
    """States (...,) of distributions (..., states), by inversion of uniform numbers (...,)."""
    states: Ints = (uniform[..., None] >= np.cumsum(probabilities, axis=-1)[..., :-1]).sum(-1)
    return states


@dataclass(frozen=True)
class ArmDynamics:
    """Transition probabilities and rewards of every arm.

    Args:
        transition: (arms, levels, states, states); `transition[j, k, s]` is the distribution of the
            next state of arm `j` in state `s` under intervention level `k`. Level 0 is passive, and
            without `effect` level 1 is a pull.
        reward: (arms, states), received for the next state.
        effect: (arms, components) or None. With it, the level of arm `j` is the index of
            `effect[j] @ action` in `strengths[j]`; without it, the level of arm `j` is component
            `j` of the action.
        strengths: (arms, levels), ascending, the possible values of `effect[j] @ action`; unused
            levels repeat the last one.

    Raises:
        DatasetError: shapes disagree, numbers are not finite, or a distribution does not sum to 1.
    """

    transition: Floats
    reward: Floats
    effect: Floats | None = None
    strengths: Floats | None = None

    def __post_init__(self) -> None:
        p, r = self.transition, self.reward
        if p.ndim != 4 or p.shape[2] != p.shape[3] or r.shape != (p.shape[0], p.shape[2]):
            raise DatasetError(
                f"transition {p.shape} and reward {r.shape} do not fit: expected (arms, levels, "
                "states, states) and (arms, states)"
            )
        if not (np.isfinite(p).all() and np.isfinite(r).all()):
            raise DatasetError(
                "transition probabilities or rewards hold NaN or infinite values: clean the input "
                "first"
            )
        bad = np.argwhere((p.min(-1) < 0) | (np.abs(p.sum(-1) - 1) > 1e-6))
        if len(bad):
            arm, level, state = (int(index) for index in bad[0])
            raise DatasetError(
                f"arm {arm}, state {state}, action {level}: probabilities must be >= 0 and sum to "
                f"1, got {p[arm, level, state].sum():.6g}"
            )

    @property
    def arms(self) -> int:
        """Number of arms."""
        return int(self.transition.shape[0])

    @property
    def levels(self) -> int:
        """Number of intervention levels."""
        return int(self.transition.shape[1])

    @property
    def states(self) -> int:
        """Number of states of an arm."""
        return int(self.transition.shape[2])

    @property
    def components(self) -> int:
        """Length of an action vector."""
        return self.arms if self.effect is None else int(self.effect.shape[1])

    def level(self, action: NDArray[Any]) -> Ints:
        """Intervention level of every arm, (..., arms), for actions (..., components)."""
        if self.effect is None or self.strengths is None:
            return np.asarray(action, dtype=np.int64)
        strength = action @ self.effect.T
        level: Ints = np.abs(strength[..., None] - self.strengths).argmin(-1)
        return level

    def one_step(self) -> Floats:
        """Expected reward of the next state, (arms, levels, states)."""
        reward: Floats = np.einsum("jkst,jt->jks", self.transition, self.reward)
        return reward

    def expected_reward(self, state: Ints, action: NDArray[Any]) -> Floats:
        """Expected reward of a joint step, (...,).

        Args:
            state: (..., arms).
            action: (..., components).
        """
        arms = np.arange(self.arms)
        reward: Floats = self.one_step()[arms, self.level(action), state].sum(-1)
        return reward

    def sample_next(self, state: Ints, action: NDArray[Any], rng: np.random.Generator) -> Ints:
        """A draw of the next joint state, (..., arms).

        Args:
            state: (..., arms).
            action: (..., components).
            rng: of all random numbers.
        """
        probabilities = self.transition[np.arange(self.arms), self.level(action), state]
        return draw(probabilities, rng.random(state.shape))


@dataclass(frozen=True)
class BanditInstance:
    """A restless-bandit problem: dynamics, feasible actions, horizon and start distribution.

    Args:
        dynamics: of the arms.
        actions: the feasible joint actions.
        horizon: steps of an episode.
        initial: (arms, states) distribution of each arm's first state, independent over arms.
        arm_names: labels for tables and reports.
        domain: a name for reports.

    Raises:
        DatasetError: the action set and the dynamics have different numbers of components, or the
            horizon is below 1.
    """

    dynamics: ArmDynamics
    actions: ActionSet
    horizon: int
    initial: Floats
    arm_names: tuple[str, ...] = ()
    domain: str = "custom"

    def __post_init__(self) -> None:
        if self.actions.size != self.dynamics.components:
            raise DatasetError(
                f"the action set has {self.actions.size} components but the dynamics need "
                f"{self.dynamics.components}"
            )
        if self.horizon < 1:
            raise DatasetError(f"horizon is {self.horizon}: give at least 1 step")

    def draw_start(self, rng: np.random.Generator, count: int) -> Ints:
        """Joint start states, (count, arms)."""
        return draw(self.initial, rng.random((count, self.dynamics.arms)))

    def label(self, arm: int) -> str:
        """Name of an arm, or its number if the instance has no names."""
        return self.arm_names[arm] if self.arm_names else str(arm)


class BanditVectorEnv(VectorEnv):
    """Independent episodes of one instance, stepped together.

    Observations: {"state": (num_envs, arms) int64, "steps_left": (num_envs,) int64}. Actions:
    (num_envs, components) of 0/1. Episodes are truncated after `horizon` steps. Episode `i` of
    `reset(seed=s)` has its own random generator (s, i), so that every policy gets the same start
    states and random numbers.

    Args:
        instance: the problem.
        num_envs: number of episodes.
        reward: "expected" for the expected reward of the next state (as reported in the SEQUOIA
            paper; lower variance), "sampled" for the reward of the state drawn.
        first_episode: added to the episodes' numbers, for runs that are split.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}

    def __init__(
        self,
        instance: BanditInstance,
        num_envs: int = 1,
        *,
        reward: str = "expected",
        first_episode: int = 0,
    ) -> None:
        self.instance, self.num_envs, self.first_episode = instance, num_envs, first_episode
        self._sampled = reward == "sampled"
        dynamics = instance.dynamics
        self.single_observation_space = gym.spaces.Dict(
            {
                "state": gym.spaces.MultiDiscrete(np.full(dynamics.arms, dynamics.states)),
                "steps_left": gym.spaces.Discrete(instance.horizon + 1),
            }
        )
        self.single_action_space = gym.spaces.MultiBinary(dynamics.components)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._one_step = dynamics.one_step()
        self._arms = np.arange(dynamics.arms)
        self._seed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Ints], dict[str, Any]]:
        """Start all episodes.

        Args:
            seed: of the episodes; None takes the last seed + 1.
            options: not used.

        Returns:
            The observation, see the class for shapes: "state" (num_envs, arms), and an empty info.
        """
        self._seed = self._seed + 1 if seed is None else seed
        self._streams = [
            np.random.default_rng([self._seed, self.first_episode + i])
            for i in range(self.num_envs)
        ]
        self._state = draw(self.instance.initial, self._uniform())
        self._left = np.full(self.num_envs, self.instance.horizon)
        return self._observe(), {}

    def _uniform(self) -> Floats:
        return np.stack([stream.random(len(self._arms)) for stream in self._streams])

    def _observe(self) -> dict[str, Ints]:
        return {"state": self._state.copy(), "steps_left": self._left.copy()}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[dict[str, Ints], Floats, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all episodes by `actions` (num_envs, components).

        info: "expected_reward" and "sampled_reward", (num_envs,) each.

        Raises:
            InfeasibleAction: an action is not in the feasible set.
        """
        actions = np.asarray(actions)
        infeasible = np.flatnonzero(~self.instance.actions.contains_batch(actions))
        if len(infeasible):
            episode, selected = int(infeasible[0]), np.flatnonzero(actions[infeasible[0]])
            more = f" and {len(selected) - 20} more" if len(selected) > 20 else ""
            raise InfeasibleAction(
                f"episode {episode}: the action selects {selected[:20].tolist()}{more}, which the "
                "action set does not allow"
            )
        level = self.instance.dynamics.level(actions)
        expected = self._one_step[self._arms, level, self._state].sum(-1)
        self._state = draw(
            self.instance.dynamics.transition[self._arms, level, self._state], self._uniform()
        )
        sampled = self.instance.dynamics.reward[self._arms, self._state].sum(-1)
        self._left = self._left - 1
        terminated, truncated = np.zeros(self.num_envs, bool), self._left <= 0
        info = {"expected_reward": expected, "sampled_reward": sampled}
        reward = sampled if self._sampled else expected
        return self._observe(), reward, terminated, truncated, info


class BanditEnv(gym.Env[dict[str, Any], NDArray[Any]]):
    """One episode at a time, for agents that expect a plain gymnasium environment.

    Observations: {"state": (arms,), "steps_left": scalar}. Actions: (components,) of 0/1.

    Args:
        instance: the problem.
        reward: "expected" or "sampled", see `BanditVectorEnv`.
    """

    def __init__(self, instance: BanditInstance, *, reward: str = "expected") -> None:
        self._vector = BanditVectorEnv(instance, 1, reward=reward)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; `seed` decides its start state and random numbers."""
        super().reset(seed=seed)
        observation, _ = self._vector.reset(
            seed=int(self.np_random.integers(2**31)) if seed is None else seed
        )
        return {key: value[0] for key, value in observation.items()}, {}

    def step(
        self, action: NDArray[Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step by `action` (components,).

        Raises:
            InfeasibleAction: the action is not in the feasible set.
        """
        observation, reward, terminated, truncated, info = self._vector.step(
            np.asarray(action)[None]
        )
        single = {key: value[0] for key, value in observation.items()}
        return (
            single,
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {key: float(value[0]) for key, value in info.items()},
        )
