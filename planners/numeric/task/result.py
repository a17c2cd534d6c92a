"""The result of every numeric planner: a plan, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground

STATUSES = ("optimal", "satisficing", "unsolvable", "no_plan_found", "time_limit", "memory_limit")


@dataclass(frozen=True)
class PlanResult:
    """The result of a planner.

    Args:
        plan: the ground actions in order; None without a plan.
        status: "optimal" (no plan has fewer actions or, in a problem with a metric, a better value
            of it), "satisficing", "unsolvable" (proven: the model has no plan), "no_plan_found"
            (nothing is proven), "time_limit" or "memory_limit".
        planner: name of the method.
        seconds: wall-clock time.
        expanded: states expanded; 0 for planners that expand none.
        detail: further information of the planner (evaluated states, grounding seconds, ...).
        cost: the metric's value after the plan; None where the problem has no metric, or the
            planner does not use it.
        bound: a value of the metric that is proven: no plan has a smaller one or, where the metric
            is maximised, a larger one. None where nothing is proven.

    Raises:
        ValueError: an unknown status, or one that does not fit the plan.
    """

    plan: tuple[Ground, ...] | None
    status: str
    planner: str
    seconds: float
    expanded: int = 0
    detail: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    cost: Rational | None = None
    bound: Rational | None = None

    def __post_init__(self) -> None:
        """Check the status.

        Raises:
            ValueError: an unknown status, or one that does not fit the plan.
        """
        if self.status not in STATUSES or (self.plan is not None) != (self.status in STATUSES[:2]):
            raise ValueError(
                f"PlanResult: status '{self.status}' does not go with "
                f"{'a' if self.plan is not None else 'no'} plan"
            )
