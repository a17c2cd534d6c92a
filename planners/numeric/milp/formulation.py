"""Plans of a fixed number of steps as a mixed-integer programme: in every step the union of what
the ground actions do, exactly.

A step is a disjunction: one ground action a is taken, for which the states before and after it lie
in a polyhedron P_a. The union of such sets has an exact linear description by one scaled copy of
the state for each action, y_a binary (Balas 1979; Jeroslow and Lowe 1984): y_a = 1 leaves exactly
P_a, y_a = 0 forces the copy to zero, the state is the sum of the copies, and the relaxation 0 <= y
<= 1 is the convex hull of the union. No row is switched off by a large constant.

* What no region bounds lies in the layer's box, l y_a <= copy <= u y_a. The box is no guess: it
  holds every state that so many
  steps can lead to (`numeric_layers`). P_a within the box is a polyhedron again, so this is still
      the hull of the union.
* Of a fluent that several actions of a step neither read nor change only the sum of those copies
  matters (they meet nothing else),
  so the sum is one variable; likewise where actions overwrite it unread.
* Atoms are fluents with values 0 and 1; where the y are whole, so are they.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worldplan.milp.program import Floats, Indices, Program
from worldplan.planners.numeric.milp.action_copies import (
    ColumnBounds,
    Copy,
    LinearRow,
    StateVariables,
)
from worldplan.planners.numeric.milp.layers import Layer


@dataclass(frozen=True)
class _Bounded:
    """least * (constant + scale) <= expression <= greatest * (constant + scale), with a variable's
    least and greatest in the box.
    """

    variable: int
    expression: LinearRow
    scale: LinearRow
    constant: float


class PlanStep:
    """One step: columns 0..A-1 choose one of the layer's A actions, the others are the copies' own.

    Attributes:
        actions: their numbers, in column order.
        before, after: the state as a linear map of the columns (variables, columns).
    """

    def __init__(self, variables: StateVariables, layer: Layer) -> None:
        self.actions = layer.actions
        self._low, self._high = variables.box(layer)
        self._columns: list[ColumnBounds] = [ColumnBounds(integer=True)] * len(self.actions)
        self._rows: list[tuple[LinearRow, float]] = []
        self._bounded: list[_Bounded] = []
        before: list[LinearRow] = [{} for _ in range(variables.count)]
        after: list[LinearRow] = [{} for _ in range(variables.count)]
        mentions: list[LinearRow] = [
            {} for _ in range(variables.count)
        ]  # the actions that read or change a variable
        unread: list[LinearRow] = [{} for _ in range(variables.count)]  # those that only change it
        for y, number in enumerate(self.actions):
            copy = variables.copy(number)
            moved = self._place(y, copy)
            for variable in copy.before.keys() | copy.after.keys():
                mentions[variable][y] = 1
                if variable not in copy.before:
                    unread[variable][y] = 1
                old = moved(copy.before.get(variable, {}))
                before[variable] |= old
                after[variable] |= moved(copy.after[variable]) if variable in copy.after else old
        for variable in range(variables.count):
            if unread[variable]:
                before[variable][self._together(variable, unread[variable], 0.0)] = 1
            if len(mentions[variable]) < len(self.actions):
                others = self._together(variable, dict.fromkeys(mentions[variable], -1), 1.0)
                before[variable][others] = after[variable][others] = 1
        self.before, self.after = self._matrix(before), self._matrix(after)

    def add_columns(self, program: Program) -> Indices:
        """Their numbers in the programme (columns,)."""
        index = np.empty(len(self._columns), dtype=np.int64)
        for integer in (True, False):
            chosen = [i for i, column in enumerate(self._columns) if column.integer == integer]
            least, most = (
                [getattr(self._columns[i], name) for i in chosen] for name in ("least", "most")
            )
            index[chosen] = program.add_columns(len(chosen), least, most, integer=integer)
        return index

    def add_rows(self, program: Program, index: Indices) -> None:
        """One action is taken, and every copy is in its action's set."""
        program.add_rows(
            (index[: len(self.actions)], np.ones((1, len(self.actions)))), lower=1.0, upper=1.0
        )
        if self._rows:
            program.add_rows(
                (index, self._matrix([row for row, _ in self._rows])),
                lower=0.0,
                upper=[most for _, most in self._rows],
            )
        if self._bounded:
            copies, scales = (
                self._matrix([one.expression for one in self._bounded]),
                self._matrix([one.scale for one in self._bounded]),
            )
            constant = np.array([one.constant for one in self._bounded])
            variable = [one.variable for one in self._bounded]
            low, high = self._low[variable], self._high[variable]
            program.add_rows(
                (index, copies - sparse.diags_array(low) @ scales), lower=low * constant
            )
            program.add_rows(
                (index, copies - sparse.diags_array(high) @ scales), upper=high * constant
            )

    def _place(self, y: int, copy: Copy) -> Callable[[LinearRow], LinearRow]:
        """Take in a copy's columns and rows; answers what moves its expressions here."""
        place = [y, *range(len(self._columns), len(self._columns) + len(copy.columns) - 1)]
        self._columns += copy.columns[1:]

        def moved(expression: LinearRow) -> LinearRow:
            return {place[column]: coefficient for column, coefficient in expression.items()}

        self._rows += [(moved(row), most) for row, most in copy.rows]
        self._bounded += [
            _Bounded(variable, moved(expression), {y: 1}, 0.0)
            for variable, expression in copy.boxed
        ]
        return moved

    def _together(self, variable: int, scale: LinearRow, constant: float) -> int:
        """A column for the sum of several actions' copies of a variable."""
        self._columns.append(ColumnBounds(least=-np.inf, most=np.inf))
        column = len(self._columns) - 1
        self._bounded.append(_Bounded(variable, {column: 1}, scale, constant))
        return column

    def _matrix(self, rows: Sequence[LinearRow]) -> sparse.csr_array:
        return matrix(rows, len(self._columns))


@dataclass(frozen=True)
class Formulation:
    """A programme for plans of len(steps) steps, and where its columns stand."""

    program: Program
    steps: Sequence[PlanStep]
    index: Sequence[Indices]

    def plan(self, point: Floats) -> list[int]:
        """The numbers of the actions that a solution takes."""
        return [
            step.actions[int(np.argmax(point[index[: len(step.actions)]]))]
            for step, index in zip(self.steps, self.index, strict=True)
        ]


def formulate(
    variables: StateVariables, steps: Sequence[PlanStep], forbidden: Sequence[Sequence[int]] = ()
) -> Formulation:
    """The programme whose solutions are the plans with one action of each step in turn, but for the
    forbidden ones.
    """
    program = Program()
    index = [step.add_columns(program) for step in steps]
    for step, columns in zip(steps, index, strict=True):
        step.add_rows(program, columns)
    initial = variables.initial()
    program.add_rows((index[0], steps[0].before), lower=initial, upper=initial)
    for t in range(1, len(steps)):
        program.add_rows(
            (index[t - 1], steps[t - 1].after), (index[t], -steps[t].before), lower=0.0, upper=0.0
        )
    goal = variables.goal()
    wanted = matrix([expression for expression, _, _ in goal], variables.count)
    program.add_rows(
        (index[-1], wanted @ steps[-1].after),
        lower=[least for _, least, _ in goal],
        upper=[most for _, _, most in goal],
    )
    for plan in forbidden:
        chosen = np.array(
            [
                columns[step.actions.index(number)]
                for step, columns, number in zip(steps, index, plan, strict=True)
            ]
        )
        program.add_rows((chosen, np.ones((1, len(plan)))), upper=len(plan) - 1.0)
    return Formulation(program, steps, index)


def matrix(rows: Sequence[LinearRow], columns: int) -> sparse.csr_array:
    """Expressions as a sparse matrix (rows, columns)."""
    entries = [
        (i, column, float(coefficient))
        for i, row in enumerate(rows)
        for column, coefficient in row.items()
    ]
    i, j, value = zip(*entries, strict=True) if entries else ((), (), ())
    return sparse.csr_array(
        (np.array(value, dtype=float), (np.array(i, dtype=int), np.array(j, dtype=int))),
        shape=(len(rows), columns),
    )
