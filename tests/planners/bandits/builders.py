"""Small random instances, and their feasible actions."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import HealthCheck, settings

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.sets.base import Budget


def examples(count: int) -> settings:
    """For tests of programs that may be slow: so many examples, the same in every run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class OwnBudget(Budget):
    """The same set, but not recognised as a plain Budget: takes the solver's path."""


def random_dynamics(
    generator: np.random.Generator, arms: int, states: int, effects: int = 0
) -> ArmDynamics:
    """Random arms; with `effects` interventions, each arm's strength is a small integer sum and the
    table is padded.
    """
    reward = generator.normal(size=(arms, states))
    if not effects:
        return ArmDynamics(generator.dirichlet(np.ones(states), size=(arms, 2, states)), reward)
    effect = generator.integers(0, 3, size=(arms, effects)).astype(float)
    everything = np.array(list(itertools.product((0, 1), repeat=effects)))
    reachable = [np.unique(row) for row in effect @ everything.T]
    levels = max(map(len, reachable))
    strengths = np.stack([np.pad(row, (0, levels - len(row)), mode="edge") for row in reachable])
    return ArmDynamics(
        generator.dirichlet(np.ones(states), size=(arms, levels, states)), reward, effect, strengths
    )


def instance_of(dynamics: ArmDynamics, budget: Budget, horizon: int = 20) -> BanditInstance:
    return BanditInstance(
        dynamics, budget, horizon, np.full((dynamics.arms, dynamics.states), 1 / dynamics.states)
    )


def feasible(instance: BanditInstance) -> np.ndarray:
    everything = np.array(
        list(itertools.product((0, 1), repeat=instance.actions.size)), dtype=np.int8
    )
    return everything[[instance.actions.contains(action) for action in everything]]
