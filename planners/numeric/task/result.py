"""What every numeric planner answers: a plan or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from worldplan.world_models.numeric.domain import Ground

STATUSES = ("optimal", "satisficing", "unsolvable", "no_plan_found", "time_limit", "memory_limit")


@dataclass(frozen=True)
class PlanResult:
    """One answer of a planner.

    Args:
        plan: the actions in order, already checked exactly in the model; None without a plan.
        status: "optimal" (no plan has fewer actions), "satisficing", "unsolvable" (proven: this
            model has no plan), "no_plan_found" (gave up, nothing proven), "time_limit" or
            "memory_limit".
        planner: which method answered.
        seconds: wall-clock time it took.
        expanded: states expanded (0 where a planner does not expand states).
        detail: whatever else is known (evaluated states, grounding seconds, ...).
    """

    plan: tuple[Ground, ...] | None
    status: str
    planner: str
    seconds: float
    expanded: int = 0
    detail: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.status not in STATUSES or (self.plan is not None) != (self.status in STATUSES[:2]):
            raise ValueError(
                f"PlanResult: status '{self.status}' does not go with {'a' if self.plan is not None else 'no'} plan"
            )
