"""What to relax for one day whose rules cannot all be met, from the conflict that was found."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worldplan.milp.errors import InfeasibleActionSet
from worldplan.routine.request import Names

_RULE = re.compile(r"the rule '(.+)'")
_VISITS = re.compile(r"at most (\d+) visits a day")
_ALLOW = re.compile(r"allow (\d+) visits a day")


@dataclass(frozen=True)
class Relaxations:
    """Changes for one day, as fields of a `Request`.

    Args:
        waived: own rules of which leaving one out resolves the conflict.
        visits: the limit of visits that resolves it; None: it is not part of the conflict.
    """

    waived: Names = ()
    visits: int | None = None

    def __bool__(self) -> bool:
        return bool(self.waived) or self.visits is not None


def relaxations(error: InfeasibleActionSet) -> Relaxations:
    """What may be relaxed for the day of an error; nothing where its conflict is not known.

    There may be another conflict besides, which is found when this one is resolved.

    Args:
        error: of the decision.
    """
    rules = [match[1] for name in error.conflict if (match := _RULE.fullmatch(name))]
    limits = [int(match[1]) for name in error.conflict if (match := _VISITS.fullmatch(name))]
    if not limits:
        return Relaxations(tuple(rules))
    allowed = _ALLOW.search(str(error))  # as many as the conflict needs
    return Relaxations(tuple(rules), int(allowed[1]) if allowed else limits[0] + 1)
