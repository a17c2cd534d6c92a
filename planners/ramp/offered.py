"""The actions that an environment offers in its current state, as split actions and views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.checked_symbolic import CheckedSymbolicEnv
from worldplan.planners.ramp.knowledge.views import LiftedViews, View
from worldplan.world_models.numeric.domain import Ground, State

ABSENT: Ground = ("",)  # stands for an action number without a ground action in a state
_ABSENT_VIEW = View(ABSENT, frozenset(), ())


class Offered(NamedTuple):
    """The actions of a state, by action number.

    Args:
        calls: split actions; `ABSENT` where a number stands for nothing.
        views: of these; empty if they were not asked for.
        present: which numbers stand for an action, bool (actions,).
    """

    calls: Sequence[Ground]
    views: Sequence[View]
    present: NDArray[np.bool_]

    @property
    def present_views(self) -> list[View]:
        """The views of the actions that are there."""
        return [view for view, there in zip(self.views, self.present, strict=False) if there]

    def allowed(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask without the numbers that stand for nothing; all that are there if it is empty."""
        allowed = mask & self.present
        return allowed if allowed.any() else self.present.copy()


def split_calls(env: CheckedSymbolicEnv, views: LiftedViews) -> list[Ground]:
    """The split action of every number in the current state; `ABSENT` where there is none.

    Raises:
        ConfigError: the environment returns something else, or no number stands for an action.
    """
    calls = [ABSENT if call is None else views.splitter.split(call) for call in env.calls()]
    if all(call is ABSENT for call in calls):
        raise ConfigError(
            f"{env.name}: no number stands for an action in this state: end the episode instead"
        )
    return calls


def offered(
    calls: Sequence[Ground], views: LiftedViews, state: State, with_views: bool = True
) -> Offered:
    """The offered actions of a state.

    Args:
        calls: from `split_calls`.
        views: makes the views.
        state: the current state.
        with_views: whether views are needed.
    """
    present = np.array([call != ABSENT for call in calls])
    made = [
        views.view(call, state) if there else _ABSENT_VIEW
        for call, there in zip(calls, present, strict=True)
        if with_views
    ]
    return Offered(calls, made, present)
