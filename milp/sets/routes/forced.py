"""Stations that are forced in, by a day or by rules, and too far apart for a route.

The least moves of a closed walk through them are known without a solver (`Path.least_moves`), while
a solver may search for a minute and prove nothing.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from worldplan.milp.program import Indices, Matrices, Program
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path


@singledispatch
def route_of(actions: ActionSet) -> Path | None:
    """The set of routes that a set is, or that it narrows by rules and fixed components; None if it
    has no routes.
    """
    return None


@route_of.register
def _path(actions: Path) -> Path:
    return actions


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


@singledispatch
def forced_in(actions: ActionSet) -> set[int]:
    """Components that the fixed ones, or single rules, of a set force in."""
    return set()


@forced_in.register
def _by_rules(actions: PyomoSet) -> set[int]:
    program = Program()
    action = program.add_columns(actions.size, 0.0, 1.0, integer=True)
    actions.add_constraints(program, action)
    return set(forced_by_rows(program.matrices(), action).values())


def no_route(actions: ActionSet) -> bool:
    """Whether it is proven that no route of a set passes all that is forced in; False where the set
    has no routes.
    """
    path = route_of(actions)
    return path is not None and path.least_moves(sorted(forced_in(actions))) > path.moves
