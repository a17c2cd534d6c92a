"""Plans with a fixed number of steps as a mixed-integer program: one union of polyhedra per step,
formulated exactly.

A step is a disjunction: one ground action a is taken, and the states before and after it lie in a
polyhedron P_a. A union of such sets has an exact linear formulation with one scaled copy of the
state per action and a binary variable y_a (Balas 1979; Jeroslow and Lowe 1984):

    sum_a y_a = 1,  state = sum_a copy_a,  copy_a in y_a P_a

y_a = 1 leaves exactly P_a, y_a = 0 forces the copy to zero, and the relaxation 0 <= y <= 1 is the
convex hull of the union. No constraint is switched off by a large constant.

* A variable that no region bounds lies in the layer's box: l y_a <= copy_a <= u y_a. The box holds
  every state that so many steps can reach (`layers`). P_a within the box is a polyhedron, so this
  is still the hull of the union.
* Where several actions of a step neither read nor change a fluent, only the sum of their copies
  matters, because no other row contains these copies. The sum is then a single variable. The same
  holds where actions overwrite the fluent without reading it.
* Atoms are fluents with values 0 and 1; they are integers where the y are.
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
    """The row pair least * (constant + scale) <= expression <= greatest * (constant + scale).

    Args:
        variable: the state variable whose least and greatest value in the box are used.
        expression: over the columns of the step.
        scale: over the columns of the step.
        constant: added to the scale.
    """

    variable: int
    expression: LinearRow
    scale: LinearRow
    constant: float


class PlanStep:
    """One step of a plan. Columns 0..A-1 select one of the layer's A actions, the others belong to
    the copies.

    Args:
        variables: the state variables of the task.
        layer: bounds and possible actions of the step.

    Attributes:
        actions: numbers of the actions, in column order.
        before: the state before the step as a linear map of the columns (variables, columns).
        after: the state after the step as a linear map of the columns (variables, columns).
        cost: what the step adds to the metric, over the columns.
    """

    def __init__(self, variables: StateVariables, layer: Layer) -> None:
        self.actions = layer.actions
        self._low, self._high = variables.box(layer)
        self._columns: list[ColumnBounds] = [ColumnBounds(integer=True)] * len(self.actions)
        self._rows: list[tuple[LinearRow, float]] = []
        self._bounded: list[_Bounded] = []
        self.cost: LinearRow = {}
        before: list[LinearRow] = [{} for _ in range(variables.count)]
        after: list[LinearRow] = [{} for _ in range(variables.count)]
        # the actions that read or change each variable, and those that change it without reading
        mentions: list[LinearRow] = [{} for _ in range(variables.count)]
        unread: list[LinearRow] = [{} for _ in range(variables.count)]
        for y, number in enumerate(self.actions):
            copy = variables.copy(number)
            renumbered = self._place(y, copy)
            self.cost |= renumbered(copy.cost)
            for variable in copy.before.keys() | copy.after.keys():
                mentions[variable][y] = 1
                if variable not in copy.before:
                    unread[variable][y] = 1
                value_before = renumbered(copy.before.get(variable, {}))
                before[variable] |= value_before
                after[variable] |= (
                    renumbered(copy.after[variable]) if variable in copy.after else value_before
                )
        for variable in range(variables.count):
            if unread[variable]:
                before[variable][self._sum_of_copies(variable, unread[variable], 0.0)] = 1
            if len(mentions[variable]) < len(self.actions):
                rest = self._sum_of_copies(variable, dict.fromkeys(mentions[variable], -1), 1.0)
                before[variable][rest] = after[variable][rest] = 1
        self.before, self.after = self._matrix(before), self._matrix(after)

    def add_columns(self, program: Program) -> Indices:
        """Add the columns to a program; returns their numbers in it (columns,)."""
        index = np.empty(len(self._columns), dtype=np.int64)
        for integer in (True, False):
            chosen = [i for i, column in enumerate(self._columns) if column.integer == integer]
            least, most = (
                [getattr(self._columns[i], name) for i in chosen] for name in ("least", "most")
            )
            cost = [-float(self.cost.get(i, 0)) for i in chosen]  # programs are maximised
            index[chosen] = program.add_columns(
                len(chosen), least, most, integer=integer, cost=cost
            )
        return index

    def add_rows(self, program: Program, index: Indices) -> None:
        """Add the rows: one action is taken, and every copy lies in the set of its action.

        Args:
            program: the program.
            index: the numbers of the columns in it (columns,).
        """
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
                self._matrix([bounded.expression for bounded in self._bounded]),
                self._matrix([bounded.scale for bounded in self._bounded]),
            )
            constant = np.array([bounded.constant for bounded in self._bounded])
            variable = [bounded.variable for bounded in self._bounded]
            low, high = self._low[variable], self._high[variable]
            program.add_rows(
                (index, copies - sparse.diags_array(low) @ scales), lower=low * constant
            )
            program.add_rows(
                (index, copies - sparse.diags_array(high) @ scales), upper=high * constant
            )

    def _place(self, y: int, copy: Copy) -> Callable[[LinearRow], LinearRow]:
        """Add the columns and rows of a copy; returns a function that renumbers its expressions."""
        numbers = [y, *range(len(self._columns), len(self._columns) + len(copy.columns) - 1)]
        self._columns += copy.columns[1:]

        def renumbered(expression: LinearRow) -> LinearRow:
            return {numbers[column]: coefficient for column, coefficient in expression.items()}

        self._rows += [(renumbered(row), most) for row, most in copy.rows]
        self._bounded += [
            _Bounded(variable, renumbered(expression), {y: 1}, 0.0)
            for variable, expression in copy.boxed
        ]
        return renumbered

    def _sum_of_copies(self, variable: int, scale: LinearRow, constant: float) -> int:
        """Add a column for the sum of the copies of several actions; returns its number."""
        self._columns.append(ColumnBounds(least=-np.inf, most=np.inf))
        column = len(self._columns) - 1
        self._bounded.append(_Bounded(variable, {column: 1}, scale, constant))
        return column

    def _matrix(self, rows: Sequence[LinearRow]) -> sparse.csr_array:
        return matrix(rows, len(self._columns))


@dataclass(frozen=True)
class Formulation:
    """A program for plans with len(steps) steps.

    Args:
        program: the program.
        steps: its steps.
        index: the numbers of the columns of each step in the program.
    """

    program: Program
    steps: Sequence[PlanStep]
    index: Sequence[Indices]

    def plan(self, point: Floats) -> list[int]:
        """The numbers of the actions in a solution (columns of the program,)."""
        return [
            step.actions[int(np.argmax(point[index[: len(step.actions)]]))]
            for step, index in zip(self.steps, self.index, strict=True)
        ]


def formulate(
    variables: StateVariables,
    steps: Sequence[PlanStep],
    forbidden: Sequence[Sequence[int]] = (),
    most: float = np.inf,
) -> Formulation:
    """The program whose solutions are the plans with one action of each step in turn.

    It maximises the negated cost of the steps, which is 0 where no metric counts.

    Args:
        variables: the state variables of the task.
        steps: the steps.
        forbidden: plans, as numbers of actions, that are excluded.
        most: the largest cost of all steps together.
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
    goal_matrix = matrix([expression for expression, _, _ in goal], variables.count)
    program.add_rows(
        (index[-1], goal_matrix @ steps[-1].after),
        lower=[least for _, least, _ in goal],
        upper=[most for _, _, most in goal],
    )
    if most < np.inf:
        costs = [
            (columns, matrix([step.cost], len(columns)))
            for step, columns in zip(steps, index, strict=True)
        ]
        program.add_rows(*costs, upper=most)
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
    """Rows as a sparse matrix (rows, columns)."""
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
