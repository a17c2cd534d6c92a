"""What RAMP needs of an environment: gym actions that stand for symbolic ones, and a state that can
be read as atoms and fluents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.pddl import partial_domain_pddl
from worldplan.envs.crafting.rules import GOAL
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Goal, Ground, NumericProblem, State, Vocabulary
from worldplan.world_models.pddl.parsing import parse
from worldplan.world_models.pddl.reading import vocabulary_of


@runtime_checkable
class SymbolicEnv(Protocol):
    """A deterministic gymnasium environment with numbered actions and a symbolic view.

    An action that is not applicable changes nothing, and every applicable action changes something:
    so "it failed" is seen by the state alone. What an action does depends only on the atoms and
    fluents over its own objects (and constants).
    """

    action_space: spaces.Discrete
    observation_space: spaces.Box

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        ...

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One action."""
        ...

    @property
    def objects(self) -> Mapping[str, str]:
        """Name and type of every object, constants included."""
        ...

    def symbolic_state(self) -> tuple[frozenset[Ground], Mapping[Ground, Rational]]:
        """The true ground atoms, and the value of every ground fluent."""
        ...

    def call(self, action: Any) -> Ground:
        """The symbolic action that a number stands for in the current state, applicable or not."""
        ...

    def action_of(self, call: Ground) -> int:
        """The number of a symbolic action in the current state. Raises InfeasibleAction: it has
        none here.
        """
        ...


def state_of(env: SymbolicEnv) -> State:
    """The current state."""
    return State(*env.symbolic_state())


def problem_of(env: SymbolicEnv, goal: Goal) -> NumericProblem:
    """How to reach the goal from the current state."""
    return NumericProblem("current", dict(env.objects), state_of(env), goal)


def crafting_task(env: CraftingEnv) -> tuple[Vocabulary, Goal]:
    """The language of a crafting environment, without preconditions and effects, and its goal."""
    where = f"{env.task}, {env.variant}"
    vocabulary = vocabulary_of(
        parse(partial_domain_pddl(env.task, env.variant), None, where), where
    )
    return vocabulary, Goal(frozenset({(GOAL[env.task],)}))
