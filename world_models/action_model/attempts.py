"""The declared class of an action's numbers, then weaker classes, until nothing refutes what is
learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from worldplan.world_models.action_model.hypothesis_classes import Declaration

if TYPE_CHECKING:
    from worldplan.world_models.action_model.numeric_effects import LearnedNumerics

Learned = TypeVar("Learned", bound="LearnedNumerics")  # the numeric part of an action


def weaker_classes(declaration: Declaration, reason: str) -> list[Declaration]:
    """The declared class, and the one with convex preconditions.

    Args:
        declaration: the declared class.
        reason: why the effects are not as declared, so that they are affine; "" if they are.
    """
    if reason:
        declaration = replace(declaration, effects="affine", effect_fluents=None)
    convex = replace(declaration, preconditions="convex", precondition_fluents=None, directions={})
    return [declaration, convex]


def first_candidate(
    attempts: Sequence[Declaration],
    learned: Callable[[Declaration], Learned],
    refuting: Callable[[Learned], str],
    reason: str,
) -> tuple[Learned | None, list[str]]:
    """The numeric part in the first class that nothing refutes.

    Args:
        attempts: the classes in order; a class is tried once.
        learned: the numeric part in a class.
        refuting: maps a numeric part to evidence against it, or to "".
        reason: why the effects are not as declared, or "".

    Returns:
        The numeric part, or None; and every reason why the classes before it were given up.
    """
    reasons = [reason] if reason else []
    for i, attempt in enumerate(attempts):
        if attempt in attempts[:i]:
            continue
        candidate = learned(attempt)
        evidence = refuting(candidate)
        if not evidence:
            return candidate, reasons
        reasons.append(f"the precondition is not as declared ({attempt.preconditions}): {evidence}")
    return None, reasons
