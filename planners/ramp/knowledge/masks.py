"""Action masks from failures: an action is masked where it is certain to fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.views import View
from worldplan.world_models.numeric.domain import State


class Masks:
    """Masks learned from failures. An action that the safe model allows is never masked, because it
    has never failed there.

    Args:
        rule: "none", "failed" or "model", see `RampSettings.masks`.
        experience: holds the failures on all maps, which rule "model" uses.
    """

    def __init__(self, rule: Literal["none", "failed", "model"], experience: Experience) -> None:
        self.rule, self.experience = rule, experience
        self._failed: dict[State, set[int]] = {}

    def mask(self, state: State, views: Sequence[View], actions: int) -> NDArray[np.bool_]:
        """Which actions may be drawn: bool (actions,). All are True if the rule would mask all.

        Args:
            state: the current state, which rule "failed" uses.
            views: of every action in this state, which rule "model" uses.
            actions: number of gym actions.
        """
        mask = np.ones(actions, np.bool_)
        if self.rule == "failed":
            mask[list(self._failed.get(state, ()))] = False
        elif self.rule == "model":
            failing = [i for i, view in enumerate(views) if self.experience.known_to_fail(view)]
            mask[failing] = False
        return mask if mask.any() else np.ones(actions, np.bool_)

    def record_failure(self, state: State, action: int) -> None:
        """Record that a gym action changed nothing in this state, for rule "failed"."""
        self._failed.setdefault(state, set()).add(action)

    def clear(self) -> None:
        """Drop the failures by state, when a map is finished: its states do not recur."""
        self._failed.clear()
