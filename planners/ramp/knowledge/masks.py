"""Which actions the policy may draw: all but those known to fail, never none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.views import View
from worldplan.world_models.numeric.domain import State


class Masks:
    """Masks learned from failures; what the model says is applicable is never among them, as it
    never failed.

    Args:
        rule: "none", "failed" or "model", as in `RampSettings.masks`.
        experience: where the failures of "model" are kept, across maps.
    """

    def __init__(self, rule: Literal["none", "failed", "model"], experience: Experience) -> None:
        self.rule, self.experience = rule, experience
        self._failed: dict[State, set[int]] = {}

    def mask(self, state: State, views: Sequence[View], actions: int) -> np.ndarray:
        """(actions,) bool; `views` are those of every action in this state, looked at by the rule
        "model" only.
        """
        mask = np.ones(actions, bool)
        if self.rule == "failed":
            mask[list(self._failed.get(state, ()))] = False
        elif self.rule == "model":
            mask[
                [number for number, view in enumerate(views) if self.experience.known_to_fail(view)]
            ] = False
        return mask if mask.any() else np.ones(actions, bool)

    def failed(self, state: State, action: int) -> None:
        """An action changed nothing in this state."""
        self._failed.setdefault(state, set()).add(action)

    def forget(self) -> None:
        """Let go of the states of a map that is over: they do not come back."""
        self._failed.clear()
