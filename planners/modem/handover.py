"""The handover: how acting passes from the behaviour clone to the planner.

Training, planner and evaluation share this rule. The planner's share of the acting follows from the
environment steps or from the outcomes of checks; who acts in a segment is drawn with that share, or
depends on the disagreement of the critics.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldplan.milp import checks
from worldplan.planners.modem.settings import HandoverSettings, LinearSchedule


class Handover:
    """The rule by which acting passes from the clone to the planner.

    Args:
        settings: the kind of rule and its numbers.
        has_clone: false if there was no behaviour cloning; the planner always acts then.
    """

    def __init__(self, settings: HandoverSettings, *, has_clone: bool = True) -> None:
        checks.of_type(settings, "settings", HandoverSettings)
        self.settings, self.has_clone = settings, checks.truth(has_clone, "has_clone")
        self.schedule = LinearSchedule(0.0, 1.0, settings.begin, settings.end)
        self.share_by_success, self.clone_success = 0.0, 0.0

    # --- the planner's share, in training ---------------------------------------------------------

    def share(self, step: int) -> float | None:
        """The planner's share of the acting, 0 to 1, after `step` environment steps; None if the
        disagreement of the critics decides.
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
        """Whether a segment begins at this step of an episode, for which who acts is decided."""
        return step % self.settings.segment == 0

    def draw(self, share: float, count: int, generator: torch.Generator) -> Tensor:
        """Whether the planner acts in each of `count` environments, bool (count,), drawn with
        probability `share`.
        """
        return torch.rand(count, generator=generator, device=generator.device) < share

    def critics_agree(self, spread: Tensor, value_range: Tensor) -> Tensor:
        """Whether the critics agree about the plan of each environment, bool (envs,).

        Args:
            spread: std of the plan's return over the critics, (envs,).
            value_range: running range of values, a scalar. It starts at 0, so that untrained
                critics, which are equal, do not count as agreeing.
        """
        return spread < self.settings.limit * value_range
