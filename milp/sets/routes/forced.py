"""Stations that are forced in, by a day or by rules, and too far apart for a route.

The least moves of a closed walk through them are known without a solver (`Path.least_moves`), while
a solver may search for a minute and prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from worldplan.milp.program import Indices, Matrices, Program
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.path import Path


def path_within(actions: ActionSet) -> Path | None:
    """The set of routes that a set is, or holds below rules and fixed components; None if it has no
    routes.
    """
    inner: object = actions
    while not isinstance(inner, Path) and hasattr(inner, "inner"):
        inner = inner.inner
    return inner if isinstance(inner, Path) else None


def forced_by_rows(matrices: Matrices, action: Indices) -> dict[int, int]:
    """The rows that alone force one component in, such as a_3 >= 1: component by row.

    Args:
        matrices: of a program.
        action: (components,) columns of the action.
    """
    component = {int(column): place for place, column in enumerate(action)}
    forced = {}
    for row in np.flatnonzero(np.diff(matrices.starts) == 1).tolist():
        entry = int(matrices.starts[row])
        column, value = int(matrices.column[entry]), float(matrices.value[entry])
        side = matrices.row_lower[row] if value > 0 else matrices.row_upper[row]
        if column in component and value and np.isfinite(side) and side / value > 1e-6:
            forced[row] = component[column]
    return forced


def no_route(actions: ActionSet, forced: Iterable[int] = ()) -> bool:
    """Whether it is proven that no route of a set passes all that its rules force in.

    Args:
        actions: a set of any kind; False where it has no routes.
        forced: components that are forced in besides.
    """
    path, arms, inner = path_within(actions), set(forced), actions
    if path is None:
        return False
    while inner is not path:
        rules = getattr(inner, "rules", None)
        if isinstance(rules, ActionSet):
            program = Program()
            action = program.add_columns(rules.size, 0.0, 1.0, integer=True)
            rules.add_constraints(program, action)
            arms |= set(forced_by_rows(program.matrices(), action).values())
        inner = getattr(inner, "inner", path)
    return path.least_moves(sorted(arms)) > path.moves
