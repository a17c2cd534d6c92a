"""When the planner takes over from the behaviour clone: its share of the acting, and who acts.

A training and a planner use the same object. The training computes the planner's share from the
number of environment steps and the outcomes of its checks; the planner draws who acts in the next
segment with that share, or decides by the disagreement of its critics.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldplan.planners.modem.settings import HandoverSettings, LinearSchedule


class Handover:
    """The rule by which acting passes from the clone to the planner.

    Args:
        settings: the kind of rule and its numbers.
        has_clone: whether there is a clone at all; without one the planner always acts.
    """

    def __init__(self, settings: HandoverSettings, *, has_clone: bool = True) -> None:
        self.settings, self.has_clone = settings, has_clone
        self.schedule = LinearSchedule(0.0, 1.0, settings.begin, settings.end)
        self.share_by_success, self.clone_success = 0.0, 0.0

    # --- the planner's share, in training ---------------------------------------------------------

    def share(self, step: int) -> float | None:
        """The planner's share of the acting, 0 to 1, after `step` environment steps; None where the
        disagreement of the critics decides instead.
        """
        if not self.has_clone:
            return 1.0
        if self.settings.kind == "success":
            return self.share_by_success
        if self.settings.kind == "uncertainty":
            return None
        return self.schedule(step)

    def record_clone(self, success: float) -> None:
        """Keep the clone's success rate, 0 to 1, with which the planner's is compared."""
        self.clone_success = success

    def record_planner(self, success: float) -> None:
        """Change the share of kind "success" by one stride after a check of the planner alone, up
        if its success rate is above 0 and at least the clone's, else down.
        """
        as_good = success > 0 and success >= self.clone_success
        stride = self.settings.stride if as_good else -self.settings.stride
        self.share_by_success = min(max(self.share_by_success + stride, 0.0), 1.0)

    def state_dict(self) -> dict[str, float]:
        """The outcomes of the checks so far, as plain numbers for a checkpoint."""
        return {"share_by_success": self.share_by_success, "clone_success": self.clone_success}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`; other entries of `state` are ignored."""
        self.share_by_success = state["share_by_success"]
        self.clone_success = state["clone_success"]

    # --- who acts, in every environment -----------------------------------------------------------

    def begins_segment(self, step: int) -> bool:
        """Whether who acts is decided anew in this step of an episode."""
        return step % self.settings.segment == 0

    def draw(self, share: float, count: int, generator: torch.Generator) -> Tensor:
        """Bool (count,): whether the planner acts, with probability `share`, per environment."""
        return torch.rand(count, generator=generator, device=generator.device) < share

    def critics_agree(self, spread: Tensor, value_range: Tensor) -> Tensor:
        """Bool (envs,): whether the critics agree about the plan.

        Args:
            spread: std over the critics' returns of the plan, (envs,).
            value_range: of the values seen so far, a scalar; it begins at 0, so that critics which
                have learned nothing, and hence agree, do not count as agreeing.
        """
        return spread < self.settings.limit * value_range
