"""Settings of a collection, its environment, and the mean return of a policy in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldplan.envs.boxes import action_box, observation_box
from worldplan.envs.checked import CheckedEnvironment
from worldplan.envs.environments import make_environment, make_environments
from worldplan.envs.episodes import EpisodeBatch
from worldplan.envs.spec import EnvironmentSpec, parse_spec
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean

POLICIES = ("random", "medium", "medium-replay", "expert")
# MuJoCo tasks: about the strength of D4RL's medium agents (44, 42 and 62 points); the others:
# half-way up their learning curve
STOP_RETURNS = {
    "Hopper-v4": 1400.0,
    "Hopper-v5": 1400.0,
    "HalfCheetah-v4": 4800.0,
    "HalfCheetah-v5": 4800.0,
    "Walker2d-v4": 2900.0,
    "Walker2d-v5": 2900.0,
    "InvertedDoublePendulum-v4": 3000.0,
    "InvertedDoublePendulum-v5": 3000.0,
    "Pendulum-v1": -600.0,
}
"""By id, for environments with their registered arguments and no wrappers."""

LONGEST_EPISODE = 20_000  # steps of an episode that is measured

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in total)."""
Act = Callable[[Array], Array]
"""Observations (batch, observation) -> actions (batch, action)."""


@dataclass(frozen=True)
class CollectionSettings:
    """What to collect.

    Args:
        env_id: gymnasium id of an environment with flat observations and actions.
        policy: one of POLICIES.
        steps: transitions to collect; ignored by medium-replay, which gives all steps of training.
        seed: of the environment, the agent and the roll-outs.
        hidden: widths of the agent's networks.
        train_steps: environment steps of training: the exact number for expert, the largest for
            medium and medium-replay.
        stop_return: mean evaluation return that ends the training of medium and medium-replay;
            None: the value in STOP_RETURNS.
        reference: return that counts as 100 points; None: the D4RL constant or, where there is
            none, the best mean evaluation return.
        evaluate_every: environment steps between evaluations. A killed run resumes from the last
            evaluation. Learning begins after so many steps of uniform actions.
        evaluation_episodes: episodes of each evaluation; the uniform policy is measured over five
            times as many.
        env_kwargs: keyword arguments of the environment, JSON values.
        max_episode_steps: steps after which an episode is truncated; None: as registered; -1:
            never.
        wrappers: of the environment, the innermost first; each a name of
            `worldplan.envs.wrappers.WRAPPERS` or "module:Name", or a mapping with name and kwargs.

    Raises:
        ConfigError: an unknown policy, a number out of range, arguments or wrappers that are no
            JSON values, or no `stop_return` for an environment that is not in STOP_RETURNS.
    """

    env_id: str
    policy: str
    steps: int = 100_000
    seed: int = 0
    hidden: tuple[int, ...] = (256, 256)
    train_steps: int = 300_000
    stop_return: float | None = None
    reference: float | None = None
    evaluate_every: int = 5_000
    evaluation_episodes: int = 10
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    wrappers: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        spec = self.environment
        object.__setattr__(self, "max_episode_steps", spec.max_episode_steps)  # of a TimeLimit, too
        object.__setattr__(self, "env_kwargs", spec.kwargs)
        object.__setattr__(self, "wrappers", tuple(spec.to_json()["wrappers"]))
        if self.policy not in POLICIES:
            near = did_you_mean(str(self.policy), POLICIES)
            raise ConfigError(
                f"unknown policy '{self.policy}'{near}: choose from {', '.join(POLICIES)}"
            )
        for name in ("steps", "train_steps", "evaluate_every", "evaluation_episodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: give 0 or more")
        for name in ("stop_return", "reference"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{name} is {value}: give a finite number")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden needs positive layer widths, not {list(self.hidden)}")
        if self.policy.startswith("medium") and self.mark is None:
            raise ConfigError(
                f"no usual medium return is known for {self.environment}: give one with "
                "--stop-return"
            )

    @property
    def environment(self) -> EnvironmentSpec:
        """The environment that is collected in."""
        return parse_spec(
            {
                "id": self.env_id,
                "kwargs": self.env_kwargs,
                "max_episode_steps": self.max_episode_steps,
                "wrappers": self.wrappers,
            },
            "data collect",
        )

    @property
    def mark(self) -> float | None:
        """The mean evaluation return that ends training; None: training takes `train_steps`."""
        if not self.policy.startswith("medium"):
            return None
        if self.stop_return is not None:
            return self.stop_return
        return STOP_RETURNS.get(self.env_id) if self.environment.is_plain else None

    @property
    def training(self) -> dict[str, Any]:
        """The settings that a folder of a collection depends on, as JSON values. They are the same
        for medium and medium-replay, which share an agent.
        """
        spec = self.environment
        environment = {"env": spec.id, "environment": None if spec.is_plain else spec.to_json()}
        if self.policy == "random":
            return {**environment, "policy": self.policy, "seed": self.seed}
        return {
            **environment,
            "policy": self.policy.removesuffix("-replay"),
            "seed": self.seed,
            "hidden": list(self.hidden),
            "evaluate_every": self.evaluate_every,
            "evaluation_episodes": self.evaluation_episodes,
            "stop_return": self.mark,
            "train_steps": self.train_steps,
        }

    @property
    def dataset(self) -> dict[str, Any]:
        """The settings that the dataset depends on, as JSON values."""
        steps = {} if self.policy == "medium-replay" else {"steps": self.steps}
        scores = {"reference": self.reference, "evaluation_episodes": self.evaluation_episodes}
        return self.training | scores | {"policy": self.policy} | steps


def flat_environment(environment: str | EnvironmentSpec) -> gym.Env[Any, Any]:
    """The environment, if its observations and actions are vectors.

    Args:
        environment: see `worldplan.envs.environments.make_environment`.

    Raises:
        ConfigError: there is no such environment, its observations or actions are not flat boxes,
            its actions are not bounded or cannot change, or, later, it returns what it must not
            (`worldplan.envs.checked`).
    """
    env_id = environment if isinstance(environment, str) else environment.id
    env = make_environment(environment)
    for name, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
            remedy = "choose another task"
            if name == "observations" and not isinstance(space, gym.spaces.Discrete):
                remedy = "flatten them with --wrappers '[FlattenObservation]', or " + remedy
            raise ConfigError(
                f"{env_id}: {name} are {space}, but only flat boxes (continuous control) can be "
                f"collected: {remedy}"
            )
    observation_box(env.observation_space, f"{env_id}: observations")
    action_box(env.action_space, env_id)
    return CheckedEnvironment(env, env_id)


def action_limits(env: gym.Env[Any, Any]) -> tuple[Array, Array]:
    """Lowest and highest actions, (action,) each."""
    space = env.action_space
    assert isinstance(space, gym.spaces.Box)
    return space.low, space.high


def mean_return(environment: str | EnvironmentSpec, act: Act, episodes: int, seed: int) -> float:
    """Mean undiscounted return of a policy over whole episodes.

    Args:
        environment: see `worldplan.envs.environments.make_environment`.
        act: the policy; it is given the observations of the running episodes only.
        episodes: how many, side by side.
        seed: episode i starts with seed + i.

    Raises:
        ConfigError: an episode does not end within `LONGEST_EPISODE` steps.
    """
    returns = np.zeros(episodes)

    def decide(observations: Array) -> Array:
        running_actions = act(observations[batch.running])
        actions = np.repeat(running_actions[:1], episodes, 0)  # any valid action where it is over
        actions[batch.running] = running_actions
        return actions

    with closing(make_environments(environment, episodes)) as environments:
        batch = EpisodeBatch(environments, seed=seed)
        for number, step in enumerate(batch.play(decide)):
            returns[step.running] += step.reward[step.running]
            if number >= LONGEST_EPISODE:
                raise ConfigError(
                    f"{environment}: an episode does not end within {LONGEST_EPISODE} steps, so no "
                    "return can be measured: give --max-episode-steps"
                )
    return float(returns.mean())
