"""Arms by name: names of components, and the bounds of those that are forced in or out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Action
from worldplan.nearest import closest

Names = Iterable[str | int]


def component_names(instance: BanditInstance) -> list[str]:
    """The names of the components of an action: arms, or numbers of interventions."""
    if instance.dynamics.effect is not None:
        given: Sequence[Any] = instance.actions.arm_names or range(instance.actions.size)
        return [str(name) for name in given]
    return [instance.label(arm) for arm in range(instance.dynamics.arms)]


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a message on an unknown name: the names that are most like it."""
    close = closest(name, names)
    return f": did you mean {', '.join(close)}?" if close else ": there are no names"


def bounds_of(names: Sequence[str], force: Names, forbid: Names) -> tuple[Action, Action]:
    """The smallest and largest value of each component, two arrays (components,).

    Args:
        names: of the components.
        force: names (or numbers) of those that are 1.
        forbid: names (or numbers) of those that are 0.

    Raises:
        ConfigError: a name is unknown, or both forced and forbidden.
    """
    lower, upper = np.zeros(len(names), np.int8), np.ones(len(names), np.int8)
    forced, forbidden = places(names, force, "force"), places(names, forbid, "forbid")
    both = sorted(set(forced) & set(forbidden))
    if both:
        raise ConfigError(f"'{names[both[0]]}' is both forced and forbidden: choose one of them")
    lower[forced], upper[forbidden] = 1, 0
    return lower, upper


def places(names: Sequence[str], wanted: Names, what: str) -> list[int]:
    """Numbers of the components with the `wanted` names.

    Raises:
        ConfigError: a name is unknown; shows the nearest names.
    """
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise ConfigError(f"{what} is {checks.shown(wanted)}: give a list of names")
    found = []
    for name in wanted:
        if str(name) in names:
            found.append(names.index(str(name)))
        elif isinstance(name, int | np.integer) and 0 <= name < len(names):
            found.append(int(name))
        else:
            raise ConfigError(f"{what}: '{name}' is unknown{nearest(str(name), names)}")
    return found
