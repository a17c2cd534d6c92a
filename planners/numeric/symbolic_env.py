"""Environments with a symbolic view: their actions stand for ground actions, and their state can be
read as atoms and fluents.

RAMP and `NumericPlanner.for_environment` work in any such environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.pddl import partial_domain_pddl
from worldplan.envs.crafting.rules import GOAL
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Goal, Ground, NumericProblem, State, Vocabulary
from worldplan.world_models.numeric.goals import read_goal
from worldplan.world_models.pddl.parsing import parse
from worldplan.world_models.pddl.reading import vocabulary_of


@runtime_checkable
class SymbolicEnv(Protocol):
    """A deterministic gymnasium environment with numbered actions and a symbolic view.

    An inapplicable action changes nothing. Whether an action was applicable stands as "applied" in
    the details of its step; without that, an action that changes nothing counts as failed. The
    effect of an action depends only on the
    atoms and fluents over its own objects and over constants.

    It may have a property `goal` (a `Goal`, of the current episode), which RAMP takes where it is
    given none.
    """

    action_space: spaces.Discrete
    observation_space: spaces.Box

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; returns the observation (observation size,) and details."""
        ...

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action; returns the observation (observation size,), reward, terminated,
        truncated and details.
        """
        ...

    @property
    def objects(self) -> Mapping[str, str]:
        """Type of each object, constants included."""
        ...

    def symbolic_state(self) -> tuple[frozenset[Ground], Mapping[Ground, Rational]]:
        """The true ground atoms, and the value of every ground fluent."""
        ...

    def call(self, action: Any) -> Ground:
        """The ground action that an action number stands for in the current state, applicable or
        not.

        Raises:
            InfeasibleAction: it stands for nothing in this state.
        """
        ...

    def action_of(self, call: Ground) -> int:
        """The number of a ground action in the current state.

        Raises:
            InfeasibleAction: it has no number in this state.
        """
        ...


def state_of(env: SymbolicEnv) -> State:
    """The current state of an environment."""
    return State(*env.symbolic_state())


def goal_of(goal: Goal | str, vocabulary: Vocabulary, env: SymbolicEnv) -> Goal:
    """The goal itself, or the goal that a text describes; objects in it are not checked.

    Args:
        goal: the goal or its text.
        vocabulary: the declarations.
        env: has a symbolic view, unwrapped.

    Raises:
        ConfigError: the environment has no symbolic view.
        DatasetError: the text is no goal, or uses a name that is not declared.
    """
    if not callable(getattr(env, "symbolic_state", None)):
        raise ConfigError(
            f"{type(env).__name__} has no symbolic view: "
            "give a SymbolicEnv (of a wrapped environment, its .unwrapped)"
        )
    if not isinstance(goal, str):
        remedy = "a Goal, or a text such as 'water c2 >= 3'"
        return checks.of_type(goal, "goal", Goal, remedy=remedy)
    return read_goal(goal, vocabulary)


def problem_of(env: SymbolicEnv, goal: Goal) -> NumericProblem:
    """The problem of reaching a goal from the current state of an environment."""
    return NumericProblem("current", dict(env.objects), state_of(env), goal)


def crafting_task(env: CraftingEnv) -> tuple[Vocabulary, Goal]:
    """The declarations of a crafting environment, without preconditions and effects,
    and its goal.
    """
    where = f"{env.task}, {env.variant}"
    vocabulary = vocabulary_of(
        parse(partial_domain_pddl(env.task, env.variant), None, where), where
    )
    return vocabulary, Goal(frozenset({(GOAL[env.task],)}))
