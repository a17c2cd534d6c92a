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

from worldplan.envs.bandits.arms import ArmDynamics as ArmDynamics
from worldplan.envs.bandits.arms import Floats as Floats
from worldplan.envs.bandits.arms import Ints as Ints
from worldplan.envs.bandits.arms import draw as draw
from worldplan.envs.bandits.ends import counting
from worldplan.envs.episodes import reset_mask
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleAction
from worldplan.milp.sets.base import ActionSet

REWARDS = ("expected", "sampled")


@dataclass(frozen=True)
class BanditInstance:
    """A restless-bandit problem: dynamics, feasible actions, horizon and start distribution.

    Args:
        dynamics: of the arms.
        actions: the feasible joint actions.
        horizon: steps of an episode; of an endless programme, those of it that are played.
        initial: (arms, states) distribution of each arm's first state, independent over arms; kept
            as a copy that cannot be written to.
        arm_names: labels for tables and reports, one for each arm, or none.
        domain: a name for reports.
        discount: of the reward of each further step, above 0 and at most 1.
        ends: (arms,) steps from the start of an episode that each arm counts; in the steps after
            them it earns and costs nothing. None: all arms count to the horizon.
        endless: the programme goes on after the horizon, for ever. What counts is then the
            discounted reward of all steps or, with the discount 1, the long-run average per step.

    Raises:
        ConfigError: `dynamics` or `actions` is of another type.
        DatasetError: the action set and the dynamics have different numbers of components, the
            horizon is no whole number of at least 1, `initial` is no distribution for each arm,
            the names are not one for each arm, or `ends` are no whole numbers of at least 0.
    """

    dynamics: ArmDynamics
    actions: ActionSet
    horizon: int
    initial: Floats
    arm_names: tuple[str, ...] = ()
    domain: str = "custom"
    discount: float = 1.0
    ends: Ints | None = None
    endless: bool = False

    def __post_init__(self) -> None:
        checks.of_type(self.dynamics, "dynamics", ArmDynamics, remedy="an ArmDynamics")
        checks.of_type(
            self.actions, "actions", ActionSet, remedy="an ActionSet, such as Budget(arms, 3)"
        )
        if self.actions.size != self.dynamics.components:
            raise DatasetError(
                f"the action set has {self.actions.size} components but the dynamics need "
                f"{self.dynamics.components}"
            )
        horizon = checks.whole_number(self.horizon, "horizon", least=1, error=DatasetError)
        shape = (self.dynamics.arms, self.dynamics.states)
        names = checks.texts(self.arm_names, "arm_names", error=DatasetError)
        if names and len(names) != self.dynamics.arms:
            raise DatasetError(
                f"arm_names holds {len(names)} names for {self.dynamics.arms} arms: give one for "
                "each arm, or none"
            )
        checks.of_type(self.domain, "domain", str, remedy="a text", error=DatasetError)
        discount = checks.number(self.discount, "discount", above=0.0, most=1.0, error=DatasetError)
        object.__setattr__(self, "discount", discount)
        object.__setattr__(self, "horizon", horizon)
        object.__setattr__(self, "arm_names", names)
        initial = checks.distributions(self.initial, "initial", shape)
        object.__setattr__(self, "initial", initial)
        refuse_missing_states(self, initial > 0, "initial")
        if self.ends is not None:
            ends = checks.whole_numbers(self.ends, "ends", shape[:1], least=0)
            ends = np.minimum(ends, horizon)
            ends.setflags(write=False)
            object.__setattr__(self, "ends", None if (ends == horizon).all() else ends)
        object.__setattr__(self, "endless", checks.truth(self.endless, "endless"))
        if self.endless and self.ends is not None:
            raise DatasetError(
                "endless: a programme without an end has no arms that end with it: leave ends or "
                "endless out"
            )

    @property
    def averaged(self) -> bool:
        """Whether the long-run average reward per step counts."""
        return self.endless and self.discount == 1

    @property
    def late(self) -> Ints | None:
        """(arms,) steps to the end of the episode when each arm has ended; None: all are zero."""
        return None if self.ends is None else self.horizon - self.ends

    def draw_start(self, rng: np.random.Generator, count: int) -> Ints:
        """Joint start states, (count, arms)."""
        return draw(self.initial, rng.random((count, self.dynamics.arms)))

    def label(self, arm: int) -> str:
        """Name of an arm, or its number if the instance has no names."""
        return self.arm_names[arm] if self.arm_names else str(arm)


def refuse_missing_states(instance: BanditInstance, used: NDArray[np.bool_], name: str) -> None:
    """Refuse states that an arm does not have.

    Args:
        instance: the programme.
        used: (arms, states) the states that `name` gives to the arms.
        name: of the argument.

    Raises:
        DatasetError: names the arm and the state.
    """
    bad = np.argwhere(used & ~instance.dynamics.exists)
    if len(bad):
        arm, state = (int(index) for index in bad[0])
        raise DatasetError(
            f"{name}: arm '{instance.label(arm)}' in state {state}: it has states 0 to "
            f"{instance.dynamics.state_counts[arm] - 1}: give one of them"
        )


def binary_actions(actions: Any, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Actions of `shape`, (..., components), as zeros and ones.

    Raises:
        InfeasibleAction: another shape or type, or other numbers.
    """
    return checks.truths(actions, "action", shape, error=InfeasibleAction).astype(np.int8)


class BanditVectorEnv(VectorEnv):
    """Independent episodes of one instance, stepped together.

    Observations: {"state": (num_envs, arms) int64, "steps_left": (num_envs,) int64}. Actions:
    (num_envs, components) of 0/1. Episodes are truncated after `horizon` steps. Episode `i` of
    `reset(seed=s)` has its own random generator (s, i), so that every policy gets the same start
    states and random numbers.

    Args:
        instance: the problem.
        num_envs: number of episodes.
        reward: "expected" for the expected reward of the step (as reported in the SEQUOIA paper;
            lower variance), "sampled" for the reward of the move drawn.
        first_episode: added to the episodes' numbers, for runs that are split.

    Raises:
        ConfigError: an argument of another type or out of range.
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
        self.instance = checks.of_type(
            instance, "instance", BanditInstance, remedy="a BanditInstance"
        )
        self.num_envs = num_envs = checks.whole_number(num_envs, "num_envs", least=1)
        self.first_episode = checks.whole_number(first_episode, "first_episode", least=0)
        self._sampled = checks.choice(reward, "reward", REWARDS) == "sampled"
        dynamics = instance.dynamics
        self.single_observation_space = gym.spaces.Dict(
            {
                "state": gym.spaces.MultiDiscrete(dynamics.state_counts),
                "steps_left": gym.spaces.Discrete(instance.horizon + 1),
            }
        )
        self.single_action_space = gym.spaces.MultiBinary(dynamics.components)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._one_step = dynamics.one_step()
        self._arms = np.arange(dynamics.arms)
        self._seed = 0
        self._left = np.zeros(num_envs, np.int64)
        self._state = np.zeros((num_envs, dynamics.arms), np.int64)
        self._streams: list[np.random.Generator] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Ints], dict[str, Any]]:
        """Start episodes: all of them, or those that a mask selects.

        Args:
            seed: of the episodes; None takes the last seed + 1.
            options: "reset_mask", (num_envs,) bool, selects the episodes that begin; the others go
                on. All else is not used.

        Returns:
            The observation, see the class for shapes: "state" (num_envs, arms), and an empty info.

        Raises:
            ConfigError: the seed is no whole number of at least 0, or the mask does not fit, or
                comes before a reset of all episodes.
        """
        begun = reset_mask(options, self.num_envs)
        if not (begun.all() or self._streams):
            raise ConfigError("reset: reset_mask before any episode: reset all of them first")
        self._seed = self._seed + 1 if seed is None else checks.whole_number(seed, "seed", least=0)
        new = [
            np.random.default_rng([self._seed, self.first_episode + i])
            for i in range(self.num_envs)
        ]
        uniform = np.stack([stream.random(len(self._arms)) for stream in new])
        old = self._streams or new
        self._streams = [new[i] if begun[i] else old[i] for i in range(self.num_envs)]
        started = draw(self.instance.initial, uniform)
        self._state = np.where(begun[:, None], started, self._state)
        self._left = np.where(begun, self.instance.horizon, self._left)
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
            ConfigError: the episodes are over, or have not been started by `reset`.
            InfeasibleAction: an action is not in the feasible set, or the array has another shape
                or type.
            DatasetError: an action has a strength that the dynamics do not list.
        """
        if not self._left.all():
            raise ConfigError("the episodes are over or not started: call reset before step")
        actions = binary_actions(actions, (self.num_envs, self.instance.dynamics.components))
        infeasible = np.flatnonzero(~self.instance.actions.contains_batch(actions))
        if len(infeasible):
            episode, selected = int(infeasible[0]), np.flatnonzero(actions[infeasible[0]])
            more = f" and {len(selected) - 20} more" if len(selected) > 20 else ""
            raise InfeasibleAction(
                f"episode {episode}: the action selects {selected[:20].tolist()}{more}, which the "
                "action set does not allow"
            )
        self.instance.dynamics.check_strengths(actions)
        level = self.instance.dynamics.level(actions)
        expected = self._one_step[self._arms, level, self._state]
        dynamics, before = self.instance.dynamics, self._state
        self._state = draw(dynamics.transition[self._arms, level, before], self._uniform())
        sampled = dynamics.earned(before, level, self._state)
        counted = counting(self.instance.late, self._left)
        if counted is not None:
            expected, sampled = expected * counted, sampled * counted
        expected, sampled = expected.sum(-1), sampled.sum(-1)
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

    Raises:
        ConfigError: an argument of another type, or another kind of reward.
    """

    def __init__(self, instance: BanditInstance, *, reward: str = "expected") -> None:
        self._vector = BanditVectorEnv(instance, 1, reward=reward)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; `seed` decides its start state and random numbers.

        Raises:
            ConfigError: the seed is no whole number of at least 0.
        """
        super().reset(seed=None if seed is None else checks.whole_number(seed, "seed", least=0))
        observation, _ = self._vector.reset(
            seed=int(self.np_random.integers(2**31)) if seed is None else seed
        )
        return {key: value[0] for key, value in observation.items()}, {}

    def step(
        self, action: NDArray[Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step by `action` (components,).

        Raises:
            ConfigError: the episode is over, or has not been started by `reset`.
            InfeasibleAction: the action is not in the feasible set, or has another shape or type.
        """
        components = (self._vector.instance.dynamics.components,)
        observation, reward, terminated, truncated, info = self._vector.step(
            binary_actions(action, components)[None]
        )
        single = {key: value[0] for key, value in observation.items()}
        return (
            single,
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {key: float(value[0]) for key, value in info.items()},
        )
