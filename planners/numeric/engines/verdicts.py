"""`FileVerdicts`: plans for PDDL files as they are, checked by unified-planning's validator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import Ground
from worldplan.world_models.pddl.plans import Validation, validate_with_unified_planning


class FileVerdicts:
    """The verdicts on plans for a domain and a problem file.

    Args:
        domain: domain file.
        problem: problem file.
    """

    def __init__(self, domain: str | Path, problem: str | Path) -> None:
        self.domain, self.problem = domain, problem
        self._verdicts: dict[tuple[Ground, ...], Validation] = {}

    def fault(self, plan: tuple[Ground, ...]) -> str:
        """What is wrong with a plan; "" if nothing.

        Raises:
            DatasetError: a file is missing or malformed, or the validator cannot handle it.
        """
        verdict = validate_with_unified_planning(self.domain, self.problem, plan)
        self._verdicts[plan] = verdict
        return "" if verdict.valid else verdict.reason or "not valid"

    def without_actions(self, planner: str) -> PlanResult | None:
        """The result of a planner if the empty plan is valid; None if it is not.

        Raises:
            DatasetError: as in `fault`.
        """
        if self.fault(()):
            return None
        status = "satisficing" if self._verdicts[()].sense else "optimal"
        return self.valued(PlanResult((), status, planner, 0.0))

    def valued(self, result: PlanResult) -> PlanResult:
        """The result with the exact metric of its plan, which is valid by `fault`."""
        if result.plan is None or not (verdict := self._verdicts[result.plan]).sense:
            return result
        detail = {**result.detail, "sense": verdict.sense}
        return replace(result, cost=verdict.cost, detail=detail)
