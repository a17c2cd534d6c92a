"""A planning problem out of a trajectory that has no problem file: from its first state to what its
last state changed.
"""

from __future__ import annotations

from worldplan.world_models.numeric.domain import Comparison, Goal, Linear, NumericProblem
from worldplan.world_models.numeric.trajectories import Trajectory


def observed_problem(trajectory: Trajectory) -> NumericProblem | None:
    """The problem that a trajectory solves: its objects, its first state, and what changed as goal.

    The goal has the atoms that differ between the first and the last state. Where no atom differs
    it has the numbers that do. A trajectory whose last state equals its first has no goal.

    Returns:
        The problem; None if nothing changed.
    """
    first, last = trajectory.states[0], trajectory.states[-1]
    goal = Goal(last.atoms - first.atoms, first.atoms - last.atoms)
    if first.atoms == last.atoms:
        numbers = tuple(
            Comparison(Linear(((fluent, 1),), -value), "=")
            for fluent, value in sorted(last.values.items())
            if first.values.get(fluent) != value
        )
        if not numbers:
            return None
        goal = Goal(comparisons=numbers)
    return NumericProblem("observed", trajectory.objects, first, goal)
