"""Coupled restless bandits (coRMAB) as vectorised gymnasium environments: every episode and every
arm steps at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


def draw(law: Floats, uniform: Floats) -> Ints:
    """States (...,) with the laws (..., states), by inversion of one uniform number (...,) each."""
    return (uniform[..., None] >= np.cumsum(law, axis=-1)[..., :-1]).sum(-1)


@dataclass(frozen=True)
class ArmDynamics:
    """How each arm moves and what its states earn.

    Args:
        transition: (arms, levels, states, states); `transition[j, k, s]` is the law of the next
            state of arm `j` in state `s` under intervention level `k`. Level 0 is "left alone", and
            without `effect` level 1 is "pulled".
        reward: (arms, states), earned per step in the state moved to.
        effect: (arms, components) or None. With several interventions per arm the level of arm `j`
            is the place of `effect[j] @ action` among `strengths[j]`; without, component `j` of the
            action is the level of arm `j`.
        strengths: (arms, levels), ascending, the strengths that can occur (unused levels repeat the
            last one).

    Raises DatasetError when shapes disagree, numbers are not finite, or a law does not sum to 1.
    """

    transition: Floats
    reward: Floats
    effect: Floats | None = None
    strengths: Floats | None = None

    def __post_init__(self) -> None:
        p, r = self.transition, self.reward
        if p.ndim != 4 or p.shape[2] != p.shape[3] or r.shape != (p.shape[0], p.shape[2]):
            raise DatasetError(
                f"transition {p.shape} and reward {r.shape} do not fit: expected (arms, levels, states, states) and (arms, states)"
            )
        if not (np.isfinite(p).all() and np.isfinite(r).all()):
            raise DatasetError(
                "transition probabilities or rewards hold NaN or infinite values: clean the input first"
            )
        bad = np.argwhere((p.min(-1) < 0) | (np.abs(p.sum(-1) - 1) > 1e-6))
        if len(bad):
            arm, level, state = (int(x) for x in bad[0])
            raise DatasetError(
                f"arm {arm}, state {state}, action {level}: probabilities must be >= 0 and sum to 1, got {p[arm, level, state].sum():.6g}"
            )

    @property
    def arms(self) -> int:
        return self.transition.shape[0]

    @property
    def levels(self) -> int:
        return self.transition.shape[1]

    @property
    def states(self) -> int:
        return self.transition.shape[2]

    @property
    def components(self) -> int:
        """Length of an action vector."""
        return self.arms if self.effect is None else self.effect.shape[1]

    def level(self, action: NDArray) -> Ints:
        """Intervention level of every arm, (..., arms), for actions (..., components)."""
        if self.effect is None or self.strengths is None:
            return np.asarray(action, dtype=np.int64)
        strength = action @ self.effect.T
        return np.abs(strength[..., None] - self.strengths).argmin(-1)

    def one_step(self) -> Floats:
        """Expected reward of the next state, (arms, levels, states)."""
        return np.einsum("jkst,jt->jks", self.transition, self.reward)

    def expected_reward(self, state: Ints, action: NDArray) -> Floats:
        """Expected reward of one joint step, (...,), for states (..., arms) and actions (...,
        components).
        """
        arms = np.arange(self.arms)
        return self.one_step()[arms, self.level(action), state].sum(-1)

    def sample_next(self, state: Ints, action: NDArray, rng: np.random.Generator) -> Ints:
        """Draw the next joint state, (..., arms)."""
        law = self.transition[np.arange(self.arms), self.level(action), state]
        return draw(law, rng.random(state.shape))


@dataclass(frozen=True)
class BanditInstance:
    """A restless-bandit programme: dynamics, feasible actions, horizon and start law.

    Args:
        initial: (arms, states) law of each arm's first state, independent over arms.
        arm_names: labels for tables and reports.
        domain: a name for reports.
    """

    dynamics: ArmDynamics
    actions: ActionSet
    horizon: int
    initial: Floats
    arm_names: tuple[str, ...] = ()
    domain: str = "custom"
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.actions.size != self.dynamics.components:
            raise DatasetError(
                f"the action set has {self.actions.size} components but the dynamics need {self.dynamics.components}"
            )
        if self.horizon < 1:
            raise DatasetError(f"horizon is {self.horizon}: give at least 1 step")

    def draw_start(self, rng: np.random.Generator, count: int) -> Ints:
        """Draw `count` joint start states, (count, arms)."""
        return draw(self.initial, rng.random((count, self.dynamics.arms)))

    def label(self, arm: int) -> str:
        """Name of an arm for people."""
        return self.arm_names[arm] if self.arm_names else str(arm)


class BanditVectorEnv(VectorEnv):
    """`num_envs` independent episodes of one instance, stepped together.

    Observations: {"state": (num_envs, arms) int64, "steps_left": (num_envs,) int64}. Actions:
    (num_envs, components) of 0/1. The reward is the expected reward of the next state (the paper's
    figure, lower variance) or, with `reward="sampled"`, that of the state moved to. Episodes are
    truncated after `horizon` steps. Episode `i` of `reset(seed=s)` has its own random stream (s,
    i): the same start and the same luck under every policy. An action outside the feasible set
    raises InfeasibleAction.
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
    ) -> tuple[dict[str, Ints], dict]:
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

    def step(self, actions: NDArray) -> tuple[dict[str, Ints], Floats, NDArray, NDArray, dict]:
        actions = np.asarray(actions)
        wrong = np.flatnonzero(~self.instance.actions.contains_batch(actions))
        if len(wrong):
            episode, chosen = int(wrong[0]), np.flatnonzero(actions[wrong[0]])
            shown = f"{chosen[:20].tolist()}" + (
                f" and {len(chosen) - 20} more" if len(chosen) > 20 else ""
            )
            raise InfeasibleAction(
                f"episode {episode}: the action selects {shown}, which the action set does not allow"
            )
        level = self.instance.dynamics.level(actions)
        expected = self._one_step[self._arms, level, self._state].sum(-1)
        self._state = draw(
            self.instance.dynamics.transition[self._arms, level, self._state], self._uniform()
        )
        sampled = self.instance.dynamics.reward[self._arms, self._state].sum(-1)
        self._left = self._left - 1
        done = self._left <= 0
        info = {"expected_reward": expected, "sampled_reward": sampled}
        return (
            self._observe(),
            sampled if self._sampled else expected,
            np.zeros(self.num_envs, bool),
            done,
            info,
        )


class BanditEnv(gym.Env):
    """One episode at a time, for agents that expect a plain gymnasium environment."""

    def __init__(self, instance: BanditInstance, *, reward: str = "expected") -> None:
        self._vector = BanditVectorEnv(instance, 1, reward=reward)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict]:
        super().reset(seed=seed)
        observation, _ = self._vector.reset(
            seed=int(self.np_random.integers(2**31)) if seed is None else seed
        )
        return {key: value[0] for key, value in observation.items()}, {}

    def step(self, action: NDArray) -> tuple[dict[str, Any], float, bool, bool, dict]:
        observation, reward, terminated, truncated, info = self._vector.step(
            np.asarray(action)[None]
        )
        single = {key: value[0] for key, value in observation.items()}
        return (
            single,
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {k: float(v[0]) for k, v in info.items()},
        )
