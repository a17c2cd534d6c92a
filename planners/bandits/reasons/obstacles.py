"""Why the opposite of a choice is not possible: the rules that conflict, within a time limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.conflicts import TIME_LIMIT, conflict_of
from worldplan.planners.bandits.reasons.clock import Clock
from worldplan.planners.bandits.reasons.results import ClientReason

NOT_FOUND = (
    "no list does all of this, and which rules conflict was not computed within the time limit: "
    "relax a rule, or force fewer arms"
)


def conflict_words(
    actions: ActionSet, lower: Action, upper: Action, names: Sequence[str], seconds: float
) -> str:
    """The rules that conflict where no action is between `lower` and `upper`, in words.

    Args:
        actions: the feasible set.
        lower: (components,) 1 where a component is forced in.
        upper: (components,) 0 where it is left out.
        names: of the components.
        seconds: of the search.
    """
    limit = min(max(seconds, 0.0), TIME_LIMIT)
    conflict = conflict_of(actions, lower, upper, names, time_limit=limit)
    return NOT_FOUND if conflict is None else conflict.sentence()


def with_obstacles(
    reasons: Sequence[ClientReason],
    actions: ActionSet,
    lower: Action,
    upper: Action,
    names: Sequence[str],
    clock: Clock,
) -> tuple[list[ClientReason], list[str]]:
    """The reasons with `why_not`, and the names of those for which no time was left.

    Args:
        reasons: of single arms.
        actions: the feasible set.
        lower: (components,) 1 where a component is forced in.
        upper: (components,) 0 where it is left out.
        names: of the components.
        clock: of all searches.
    """
    number = {name: component for component, name in enumerate(names)}
    explained, late = [], []
    for reason in reasons:
        if reason.possible is False and clock.over():
            late.append(reason.name)
        elif reason.possible is False:
            low, high = lower.copy(), upper.copy()
            component = number[reason.name]
            (high if reason.chosen else low)[component] = 0 if reason.chosen else 1
            words = conflict_words(actions, low, high, names, clock.left())
            reason = dataclasses.replace(reason, why_not=words)
        explained.append(reason)
    return explained, late
