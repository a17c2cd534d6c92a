"""What to collect, from which environment, and how a policy is measured: what every part of a
collection needs to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.milp.errors import ConfigError

POLICIES = ("random", "medium", "medium-replay", "expert")
# MuJoCo tasks: about the strength of D4RL's medium agents (44, 42 and 62 points); the others:
# half-way up their learning curve
STOP_RETURNS = {
    "Hopper": 1400.0,
    "HalfCheetah": 4800.0,
    "Walker2d": 2900.0,
    "InvertedDoublePendulum": 3000.0,
    "Pendulum": -600.0,
}

Progress = Callable[[str, int, int], None]  # stage, steps done, steps in all
Act = Callable[[np.ndarray], np.ndarray]  # observations (batch, o) -> actions (batch, a)


@dataclass(frozen=True)
class CollectionSettings:
    """What to collect.

    Args:
        env_id: gymnasium id of an environment with flat observations and actions.
        policy: one of POLICIES.
        steps: transitions to collect; medium-replay gives what training took instead.
        seed: of the environment, the agent and the roll-outs.
        hidden: widths of the agent's networks.
        train_steps: environment steps of training: exactly so many for expert, at most so many for
            the others.
        stop_return: mean evaluation return that ends the training of medium and medium-replay; None
            for STOP_RETURNS.
        reference: return that counts as 100 points; None for the D4RL constant, else the best mean
            evaluation return.
        evaluate_every: steps between evaluations, which are also the points a killed run continues
            from, and steps of uniform actions before learning begins.
        evaluation_episodes: episodes of each evaluation, and of the measurement of the uniform
            policy.
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

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"unknown policy '{self.policy}': choose from {', '.join(POLICIES)}")
        for name in ("steps", "train_steps", "evaluate_every", "evaluation_episodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden needs positive layer widths, not {list(self.hidden)}")
        if self.policy.startswith("medium") and self.mark is None:
            raise ConfigError(
                f"no usual medium return is known for {self.env_id}: give one with --stop-return"
            )

    @property
    def mark(self) -> float | None:
        """The mean evaluation return that ends training; None: train to the end."""
        if not self.policy.startswith("medium"):
            return None
        return (
            STOP_RETURNS.get(self.env_id.partition("-")[0])
            if self.stop_return is None
            else self.stop_return
        )

    @property
    def training(self) -> dict[str, Any]:
        """What must not change between a killed training and its continuation. medium and
        medium-replay share theirs.
        """
        kept = ("env_id", "seed", "hidden", "evaluate_every", "evaluation_episodes")
        return {name: value for name, value in asdict(self).items() if name in kept} | {
            "mark": self.mark,
            "hidden": list(self.hidden),
        }


def make_environment(env_id: str) -> gym.Env:
    """The environment. Raises ConfigError unless it exists and its observations and actions are
    flat boxes with finite actions.
    """
    try:
        env = gym.make(env_id)
    except (gym.error.Error, ImportError) as error:
        raise ConfigError(
            f"environment '{env_id}' cannot be made ({error}): give a gymnasium id such as Hopper-v5"
        ) from error
    for name, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
            raise ConfigError(
                f"{env_id}: {name} are {space}, but only flat boxes (continuous control) can be collected: choose another task"
            )
    if not np.isfinite(action_limits(env)).all():
        raise ConfigError(
            f"{env_id}: actions have no finite limits, so there is no uniform policy: wrap the environment"
        )
    return env


def action_limits(env: gym.Env) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest actions, (a,) each."""
    space = env.action_space
    assert isinstance(space, gym.spaces.Box)
    return space.low, space.high


def mean_return(env_id: str, act: Act, episodes: int, seed: int) -> float:
    """Mean undiscounted return of a policy over whole episodes, played side by side; episode i
    starts with seed + i.
    """
    envs = [gym.make(env_id) for _ in range(episodes)]
    observations = np.stack([env.reset(seed=seed + number)[0] for number, env in enumerate(envs)])
    returns, running = np.zeros(episodes), np.arange(episodes)
    while len(running):
        goes_on = np.ones(len(running), dtype=bool)
        for place, (number, action) in enumerate(
            zip(running, act(observations[running]), strict=True)
        ):
            observations[number], reward, terminated, truncated, _ = envs[number].step(action)
            returns[number] += float(reward)
            goes_on[place] = not (terminated or truncated)
        running = running[goes_on]
    for env in envs:
        env.close()
    return float(returns.mean())


def seed_of(seed: int, done: int) -> int:
    """A seed for going on after `done` steps, so that a continued run does not repeat its luck."""
    return int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
