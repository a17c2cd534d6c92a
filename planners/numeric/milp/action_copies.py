"""One action's precondition and effect as linear rows over a copy of the state, scaled by the
binary variable that selects the action.

The pairs (state before, state after) of one ground action form a polyhedron P. Its copy is {(y, y
z): z in P} for the selecting variable y in 0..1: every constant is multiplied by y. If a region is
the convex hull of points v_i, its copy is sum lambda_i v_i with lambda >= 0 and sum lambda_i = y.
The next values of a copy are the effects applied to it. `formulation` combines the copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, lcm

import numpy as np

from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Floats
from worldplan.planners.numeric.milp.layers import Layer
from worldplan.planners.numeric.task.rules import Form
from worldplan.planners.numeric.task.task import Condition, GroundAction, GroundTask, bit_numbers
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.exact.vertices import hull_points
from worldplan.world_models.numeric.domain import Ground, NumericModel, Region, ground

LinearRow = dict[int, Rational]  # coefficient by column


@dataclass(frozen=True)
class ColumnBounds:
    """Bounds of a variable of the program.

    Args:
        least: lower bound.
        most: upper bound.
        integer: whether the variable must be an integer.
    """

    least: float = 0.0
    most: float = 1.0
    integer: bool = False


@dataclass
class Copy:
    """The copy of the state for one ground action. Column 0 is its selecting variable y.

    Args:
        columns: bounds of its columns.
        rows: (row, upper bound) pairs; the lower bound of each row is 0.
        boxed: (state variable, its expression) pairs that the layer's box has to bound.
        before: the value of each state variable that the action reads.
        after: the next value of each state variable that the action changes.
        cost: what the action adds to the metric.
    """

    columns: list[ColumnBounds] = field(default_factory=lambda: [ColumnBounds(integer=True)])
    rows: list[tuple[LinearRow, float]] = field(default_factory=list)
    boxed: list[tuple[int, LinearRow]] = field(default_factory=list)
    before: dict[int, LinearRow] = field(default_factory=dict)
    after: dict[int, LinearRow] = field(default_factory=dict)
    cost: LinearRow = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """Number of coefficients."""
        expressions = [*self.before.values(), *self.after.values(), *(row for row, _ in self.rows)]
        return sum(map(len, expressions)) + 2 * sum(len(expression) for _, expression in self.boxed)


class StateVariables:
    """The state variables of a task, fluents first and then atoms, and their copies.

    Args:
        model: the model of the task.
        task: the ground task.
        costs: form of what each action adds to the signed metric; None if no metric counts.

    Attributes:
        count: number of state variables.
        is_integral: whether all fluents are integers in all reachable states.
    """

    def __init__(
        self, model: NumericModel, task: GroundTask, costs: Sequence[Form] | None = None
    ) -> None:
        self.model, self.task, self.costs = model, task, costs
        self.count = len(task.fluents) + len(task.atoms)
        self.is_integral = task.is_integral
        self._copies: dict[int, Copy] = {}

    def copy(self, number: int) -> Copy:
        """The copy for one ground action, cached."""
        if number not in self._copies:
            cost: Form = ((), 0) if self.costs is None else self.costs[number]
            self._copies[number] = self._build(self.task.actions[number], cost)
        return self._copies[number]

    def initial(self) -> Floats:
        """Initial values (count,); 0 where undefined."""
        bits, values = self.task.initial
        return np.array(
            [
                *(float(value or 0) for value in values),
                *(bits >> i & 1 for i in range(len(self.task.atoms))),
            ],
            dtype=float,
        )

    def goal(self) -> list[tuple[LinearRow, float, float]]:
        """The goal as (row over the state variables, least value, greatest value)."""
        atoms = [(i, 1.0) for i in self._atoms(self.task.goal_positive)] + [
            (i, 0.0) for i in self._atoms(self.task.goal_negative)
        ]
        rows: list[tuple[LinearRow, float, float]] = [({i: 1}, value, value) for i, value in atoms]
        for condition in self.task.goal_conditions:
            (terms, constant), relation = self._closed(condition)
            rows.append(
                (dict(terms), -float(constant), -float(constant) if relation == "=" else inf)
            )
        return rows

    def box(self, layer: Layer) -> tuple[Floats, Floats]:
        """Least and greatest values of the state variables in a layer, (count,) each."""
        low = [float(least) for least, _ in layer.box]
        high = [float(most) for _, most in layer.box]
        atoms = range(len(self.task.atoms))
        low += [0.0 if layer.false >> i & 1 else 1.0 for i in atoms]
        high += [1.0 if layer.true >> i & 1 else 0.0 for i in atoms]
        return np.array(low), np.array(high)

    def _atoms(self, bits: int) -> list[int]:
        return [len(self.task.fluents) + bit for bit in bit_numbers(bits)]

    def _closed(self, condition: Condition) -> Condition:
        """The condition without a strict relation.

        With integers, `> 0` becomes `>= step`. Otherwise it becomes `>= 0`, which allows some
        invalid plans; they fail the exact check later.
        """
        (terms, constant), relation = condition
        if relation == ">" and self.is_integral:
            denominators = (Fraction(coefficient).denominator for _, coefficient in terms)
            constant -= Fraction(1, lcm(Fraction(constant).denominator, *denominators))
        return (terms, constant), relation

    def _build(self, action: GroundAction, cost: Form) -> Copy:
        """The copy for a ground action with a cost."""
        copy = Copy()
        lifted = self.model.actions[action.name[0]]
        for region in lifted.regions:
            self._add_region(copy, region, action.name)
        forms: list[Form] = [form for form, _ in action.conditions] + [
            form for _, form in action.effects
        ]
        forms.append(cost)
        for place in sorted(
            {place for terms, _ in forms for place, _ in terms} - copy.before.keys()
        ):
            copy.before[place] = {_column(copy, ColumnBounds(-inf, inf)): 1}
            copy.boxed.append((place, copy.before[place]))
        for condition in action.conditions:
            form, relation = self._closed(condition)
            copy.rows.append((_value(copy, form), 0.0 if relation == "=" else inf))
        for place, form in action.effects:
            copy.after[place] = _value(copy, form)
        copy.cost = _value(copy, cost)
        for bits, store, value in (
            (action.positive, copy.before, 1),
            (action.negative, copy.before, 0),
            (action.adds, copy.after, 1),
            (action.deletes, copy.after, 0),
        ):
            store.update({i: {0: 1} if value else {} for i in self._atoms(bits)})
        return copy

    def _add_region(self, copy: Copy, region: Region, call: Ground) -> None:
        """Add the rows and columns of a region, and express its fluents by its points."""
        fluents = [ground(fluent, call[1:]) for fluent in region.fluents]
        places = [self.task.fluents.get(fluent) for fluent in fluents]
        if all(place is None for place in places):
            return  # it always holds: otherwise the task would not have the action
        points, directions, finite = _generators(region, call[0])
        weights = [_column(copy, ColumnBounds(integer=finite)) for _ in points]
        copy.rows.append(({**dict.fromkeys(weights, 1), 0: -1}, 0.0))
        for i, (place, sign) in enumerate(zip(places, directions, strict=True)):
            expression = {
                column: point[i] for column, point in zip(weights, points, strict=True) if point[i]
            }
            if sign:
                expression[_column(copy, ColumnBounds(0.0, inf))] = sign
            if place is None:
                value = self.task.problem.initial.values[fluents[i]]
                copy.rows.append((_sum([(1, expression), (-value, {0: 1})]), 0.0))
            elif place in copy.before:  # two regions, or one region twice, contain this fluent
                copy.rows.append((_sum([(1, expression), (-1, copy.before[place])]), 0.0))
            else:
                copy.before[place] = expression
            if sign and place is not None:
                copy.boxed.append((place, expression))


def _generators(region: Region, action: str) -> tuple[tuple[Point, ...], tuple[int, ...], bool]:
    """The points and directions of a region, and whether it consists of its points only.

    Raises:
        ConfigError: the region has no points.
    """
    if isinstance(region.shape, Polyhedron):
        return hull_points(region.shape), region.shape.directions, False
    if isinstance(region.shape, SeenPoints):
        return tuple(sorted(region.shape.points)), (0,) * len(region.fluents), True
    raise ConfigError(
        f"action '{action}': a region of type {type(region.shape).__name__} has no points to build "
        "a MILP from: use planner='search'"
    )


def _column(copy: Copy, column: ColumnBounds) -> int:
    """Add a column; returns its number."""
    copy.columns.append(column)
    return len(copy.columns) - 1


def _sum(parts: Iterable[tuple[Rational, Mapping[int, Rational]]]) -> LinearRow:
    """The sum of factor * row, without zeros."""
    total: LinearRow = {}
    for factor, part in parts:
        for column, coefficient in part.items():
            total[column] = total.get(column, 0) + factor * coefficient
    return {column: coefficient for column, coefficient in total.items() if coefficient}


def _value(copy: Copy, form: Form) -> LinearRow:
    """A linear form of the copy; its constant is multiplied by y."""
    terms, constant = form
    return _sum(
        [(coefficient, copy.before[place]) for place, coefficient in terms] + [(constant, {0: 1})]
    )
