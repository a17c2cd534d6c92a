"""The wrappers that a simulator can stand in without them: those that change the action alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import (
    ClipAction,
    OrderEnforcing,
    PassiveEnvChecker,
    RecordEpisodeStatistics,
    RescaleAction,
    TimeLimit,
)
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError

ACTION_WRAPPERS = ("ClipAction", "RescaleAction")
"""Names of the wrappers whose function of the action is applied to a batch."""
_ACTION = (ClipAction, RescaleAction)
_NO_CHANGE = (OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit)


def inner_action(env: gym.Env[Any, Any], name: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The function from actions (batch, action) of a wrapped environment to those of the
    environment without its wrappers: that of the wrappers themselves, so equal to the last bit.

    Args:
        env: the environment.
        name: of it, for messages.

    Raises:
        ConfigError: a wrapper changes more than the action.
    """
    functions: list[Callable[[NDArray[Any]], NDArray[Any]]] = []
    while isinstance(env, gym.Wrapper):
        if isinstance(env, ClipAction | RescaleAction) and type(env) in _ACTION:
            functions.append(env.func)
        elif type(env) not in _NO_CHANGE:
            raise ConfigError(
                f"{name}: its wrapper {type(env).__name__} cannot be stepped from a state: name "
                f"the environment without it; {' and '.join(ACTION_WRAPPERS)} may stay"
            )
        env = env.env

    def inner(action: NDArray[Any]) -> NDArray[Any]:
        for function in functions:  # the outermost wrapper first
            action = function(action)
        return action

    return inner
