"""Checks of what a planner of one's own returns."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, Diverged


def check_type(decisions: Any, kind: type) -> list[Any]:
    """The decisions as a list.

    Args:
        decisions: what a planner returned.
        kind: the class `Decision`.

    Raises:
        ConfigError: they are no list or tuple, there is none, or an entry is of another type.
    """
    if not isinstance(decisions, list | tuple) or not decisions:
        raise ConfigError(
            f"plan_batch returned {checks.shown(decisions)}: return a list with one Decision for "
            "each environment"
        )
    for decision in decisions:
        if not isinstance(decision, kind):
            raise ConfigError(f"plan returned {checks.shown(decision)}: return a Decision")
    return list(decisions)


def check_action(action: Any, space: gym.Space[Any] | None) -> None:
    """Refuse an action that an environment would take for another one, or fail on.

    Bounds of a `Box` are not checked: many environments clip.

    Args:
        action: of one environment.
        space: its action space; None: the action is not checked.

    Raises:
        ConfigError: another shape or type, or a number that a `Discrete` space does not have.
        Diverged: a number is not finite.
    """
    if isinstance(space, spaces.Box):
        name = "the action of a Decision"
        numbers = checks.array(action, name, space.shape or (), finite=False, error=ConfigError)
        if not np.isfinite(numbers).all():
            raise Diverged(
                f"{name} is {numbers.ravel()[:4].tolist()}, not finite: the planner's training or "
                "its model has diverged"
            )
    elif isinstance(space, spaces.Discrete):
        first = int(space.start)
        last = first + int(space.n) - 1
        name = "the action of a Decision"
        flat = np.asarray(action)
        checks.whole_number(flat[()] if flat.ndim == 0 else action, name, least=first, most=last)
