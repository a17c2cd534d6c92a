"""What a ground action asks of the state before it and makes of it, as linear rows in columns that
its choice scales.

The set of (state before, state after) of one action is a polyhedron P. Its copy is {(y, y z): z in
P} for y in 0..1: every constant is multiplied by the column y, and where a region is the hull of
points v, the copy is sum lambda_i v_i with lambda >= 0 and sum lambda_i = y. A copy's next values
are the action's effects on that. `numeric_formulation` puts the copies together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

LinearRow = dict[int, Rational]  # column of a step: coefficient


@dataclass(frozen=True)
class ColumnBounds:
    """Bounds of a variable of the programme."""

    least: float = 0.0
    most: float = 1.0
    integer: bool = False


@dataclass
class Copy:
    """One ground action's copy of the state; column 0 is its y."""

    columns: list[ColumnBounds] = field(default_factory=lambda: [ColumnBounds(integer=True)])
    rows: list[tuple[LinearRow, float]] = field(
        default_factory=list
    )  # 0 <= expression <= the number
    boxed: list[tuple[int, LinearRow]] = field(
        default_factory=list
    )  # a state variable's expression that the layer's box must bound
    before: dict[int, LinearRow] = field(
        default_factory=dict
    )  # state variable: its value, where it is read
    after: dict[int, LinearRow] = field(default_factory=dict)  # its next value, where it is changed

    @property
    def entries(self) -> int:
        """Number of coefficients."""
        expressions = [*self.before.values(), *self.after.values(), *(row for row, _ in self.rows)]
        return sum(map(len, expressions)) + 2 * sum(len(expression) for _, expression in self.boxed)


class StateVariables:
    """The order of a task's state variables, fluents first, then atoms, and each ground action's
    copy of them.
    """

    def __init__(self, model: NumericModel, task: GroundTask) -> None:
        self.model, self.task = model, task
        self.count = len(task.fluents) + len(task.atoms)
        self.is_integral = task.is_integral
        self._copies: dict[int, Copy] = {}

    def copy(self, number: int) -> Copy:
        """The copy of one ground action; always the same one."""
        if number not in self._copies:
            self._copies[number] = self._build(self.task.actions[number])
        return self._copies[number]

    def initial(self) -> Floats:
        """Values at the start (count,)."""
        bits, values = self.task.initial
        return np.array(
            [
                *(float(value or 0) for value in values),
                *(bits >> i & 1 for i in range(len(self.task.atoms))),
            ],
            dtype=float,
        )

    def goal(self) -> list[tuple[LinearRow, float, float]]:
        """Rows over the state variables, as (expression, least, greatest)."""
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
        """Without strict relations: in whole numbers `> 0` is `>= step`; elsewhere `>= 0` lets more
        plans through, to be checked later.
        """
        (terms, constant), relation = condition
        if relation == ">" and self.is_integral:
            constant -= Fraction(
                1,
                lcm(
                    Fraction(constant).denominator,
                    *(Fraction(coefficient).denominator for _, coefficient in terms),
                ),
            )
        return (terms, constant), relation

    def _build(self, action: GroundAction) -> Copy:
        copy = Copy()
        lifted = self.model.actions[action.name[0]]
        for region in lifted.regions:
            self._add_region(copy, region, action.name)
        forms: list[Form] = [form for form, _ in action.conditions] + [
            form for _, form in action.effects
        ]
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
        for bits, store, value in (
            (action.positive, copy.before, 1),
            (action.negative, copy.before, 0),
            (action.adds, copy.after, 1),
            (action.deletes, copy.after, 0),
        ):
            store.update({i: {0: 1} if value else {} for i in self._atoms(bits)})
        return copy

    def _add_region(self, copy: Copy, region: Region, call: Ground) -> None:
        fluents = [ground(fluent, call[1:]) for fluent in region.fluents]
        places = [self.task.fluents.get(fluent) for fluent in fluents]
        if all(place is None for place in places):
            return  # it holds always: a task keeps no action that unchanging values rule out
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
                copy.rows.append(
                    (
                        _sum(
                            [
                                (1, expression),
                                (-self.task.problem.initial.values[fluents[i]], {0: 1}),
                            ]
                        ),
                        0.0,
                    )
                )
            elif place in copy.before:  # two regions, or one at two places, meet in this fluent
                copy.rows.append((_sum([(1, expression), (-1, copy.before[place])]), 0.0))
            else:
                copy.before[place] = expression
            if sign and place is not None:
                copy.boxed.append((place, expression))


def _generators(region: Region, action: str) -> tuple[tuple[Point, ...], tuple[int, ...], bool]:
    """Points, directions, and whether nothing but the points themselves is meant."""
    if isinstance(region.shape, Polyhedron):
        return hull_points(region.shape), region.shape.directions, False
    if isinstance(region.shape, SeenPoints):
        return tuple(sorted(region.shape.points)), (0,) * len(region.fluents), True
    raise ConfigError(
        f"action '{action}': a region of type {type(region.shape).__name__} has no points to build a MILP from: use planner='search'"
    )


def _column(copy: Copy, column: ColumnBounds) -> int:
    copy.columns.append(column)
    return len(copy.columns) - 1


def _sum(parts: Iterable[tuple[Rational, Mapping[int, Rational]]]) -> LinearRow:
    total: LinearRow = {}
    for factor, part in parts:
        for column, coefficient in part.items():
            total[column] = total.get(column, 0) + factor * coefficient
    return {column: coefficient for column, coefficient in total.items() if coefficient}


def _value(copy: Copy, form: Form) -> LinearRow:
    """A linear form of the copy: its constant is scaled by y as well."""
    terms, constant = form
    return _sum(
        [(coefficient, copy.before[place]) for place, coefficient in terms] + [(constant, {0: 1})]
    )
