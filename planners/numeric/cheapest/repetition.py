"""Whether what leads from one state to a later one can be repeated without end.

From the same atoms and with other numbers, the same actions lead on to a state that differs by the
same amounts again, if no effect and no cost depends on the numbers that differ, and every condition
of an action or the goal is met at least as well by the later state. Plans from the earlier state
then work from all of these states, too.
"""

from __future__ import annotations

from worldplan.planners.numeric.cheapest.lower_bounds import LowerBounds
from worldplan.planners.numeric.task.task import Condition, GroundTask, Node
from worldplan.world_models.exact.numbers import Rational

Difference = tuple[tuple[int, Rational], ...]  # (place, later value minus earlier value)


class Repetition:
    """Decides it for the states of one task.

    Args:
        task: the task, made with costs.
        bounds: its lower bounds.
    """

    def __init__(self, task: GroundTask, bounds: LowerBounds) -> None:
        self.task, self.bounds = task, bounds
        self._known: dict[Difference, bool] = {(): True}

    def possible(self, earlier: Node, later: Node) -> bool:
        """Whether the way from the earlier to the later state can be repeated without end."""
        if earlier[0] != later[0]:
            return False
        difference = []
        for place, (before, after) in enumerate(zip(earlier[1], later[1], strict=True)):
            if before != after:
                if before is None or after is None:
                    return False
                difference.append((place, after - before))
        key = tuple(difference)
        if key not in self._known:
            self._known[key] = self._repeats(dict(key))
        return self._known[key]

    def _repeats(self, difference: dict[int, Rational]) -> bool:
        """Whether a difference can be added without end."""
        if not all(_no_worse(condition, difference) for condition in self.task.goal_conditions):
            return False
        for action, (cost, _) in zip(self.task.actions, self.bounds.costs, strict=True):
            if self.task.numerics[action.name[0]].regions:
                return False
            if any(place in difference for place, _ in cost):
                return False
            for target, (terms, _) in action.effects:
                change = dict(terms)
                change[target] = change.get(target, 0) - 1
                if any(change.get(place) for place in difference):
                    return False
            if not all(_no_worse(condition, difference) for condition in action.conditions):
                return False
        return True


def _no_worse(condition: Condition, difference: dict[int, Rational]) -> bool:
    """Whether a condition that holds still holds after the difference is added."""
    (terms, _), relation = condition
    rise = sum(coefficient * difference.get(place, 0) for place, coefficient in terms)
    return rise == 0 if relation == "=" else rise >= 0
