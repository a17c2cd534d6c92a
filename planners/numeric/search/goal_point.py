"""Numeric goals taken together: the nearest point, in steps, at which all of them hold.

Goals that share fluents (an order of counters, a sum to be kept) cannot be estimated separately:
closing one gap opens the next. A linear program, the same for all states except for its right-hand
sides, gives the distance of each fluent from a joint solution.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import highspy
import numpy as np

from worldplan.planners.numeric.task.intervals import Interval
from worldplan.planners.numeric.task.task import Condition


def are_coupled(conditions: Sequence[Condition]) -> bool:
    """Whether some fluent occurs in two goals, and some goal has several fluents."""
    seen: set[int] = set()
    shared = False
    for (terms, _), _ in conditions:
        places = {place for place, _ in terms}
        shared |= bool(places & seen)
        seen |= places
    return shared and any(len(terms) > 1 for (terms, _), _ in conditions)


class GoalPoint:
    """The distance of each fluent from the nearest joint solution of the goal's comparisons.

    Args:
        conditions: the goal's comparisons.
        box: bounds that hold in every reachable state.
        up: the fluents that actions can raise.
        down: the fluents that actions can lower.

    Attributes:
        places: the fluents of the goal (places,).
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        box: Sequence[Interval],
        up: Collection[int],
        down: Collection[int],
    ) -> None:
        self.places = np.array(
            sorted({place for (terms, _), _ in conditions for place, _ in terms}), dtype=np.intp
        )
        columns = {int(place): column for column, place in enumerate(self.places)}
        count = len(columns)
        self._weights = np.zeros((len(conditions), count))
        self._constants = np.array([float(constant) for (_, constant), _ in conditions])
        self._equal = np.array([relation == "=" for _, relation in conditions])
        for row, ((terms, _), _) in enumerate(conditions):
            for place, coefficient in terms:
                self._weights[row, columns[place]] += float(coefficient)
        self._low = np.array([float(box[place][0]) for place in self.places])
        self._high = np.array([float(box[place][1]) for place in self.places])
        self._can_rise = np.isin(self.places, list(up))
        self._can_fall = np.isin(self.places, list(down))
        self._solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # ships no types
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("presolve", "off")
        self._solver.setOptionValue("threads", 1)
        self._solver.passModel(self._program())
        self._column_numbers = np.arange(2 * count, dtype=np.int32)
        self._row_numbers = np.arange(len(conditions), dtype=np.int32)

    def _program(self) -> Any:
        """Minimise rise + fall subject to weights . (rise - fall) >= gap; the gap depends on the
        state, as do the bounds of rise and fall (columns 0..n-1 and n..2n-1).
        """
        count, rows_count = len(self.places), len(self._constants)
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = 2 * count, rows_count
        program.col_cost_ = np.ones(2 * count)
        program.col_lower_, program.col_upper_ = np.zeros(2 * count), np.zeros(2 * count)
        program.row_lower_, program.row_upper_ = (
            np.zeros(rows_count),
            np.full(rows_count, highspy.kHighsInf),
        )
        matrix = np.hstack([self._weights, -self._weights])
        rows, cols = np.nonzero(matrix)
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.concatenate(
            [[0], np.cumsum(np.bincount(rows, minlength=rows_count))]
        )
        program.a_matrix_.index_ = cols
        program.a_matrix_.value_ = matrix[rows, cols]
        return program

    def __call__(self, x: np.ndarray) -> np.ndarray | None:
        """The signed distance of each of `places` from the nearest joint solution (places,).

        Args:
            x: values of all fluents (fluents,).

        Returns:
            The distances; None if the program has no solution here.
        """
        now = x[self.places]
        gap = -(self._weights @ now + self._constants)
        rise = np.where(self._can_rise, np.maximum(self._high - now, 0.0), 0.0)
        fall = np.where(self._can_fall, np.maximum(now - self._low, 0.0), 0.0)
        count = len(self.places)
        self._solver.changeColsBounds(
            2 * count, self._column_numbers, np.zeros(2 * count), np.concatenate([rise, fall])
        )
        for row, (least, equal) in enumerate(zip(gap.tolist(), self._equal.tolist(), strict=True)):
            self._solver.changeRowBounds(row, least, least if equal else highspy.kHighsInf)
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        values = np.array(self._solver.getSolution().col_value)
        distance: np.ndarray = values[:count] - values[count:]
        return distance
