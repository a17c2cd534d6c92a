"""The linear relaxation of a feasible set over classes of components that it treats alike.

Colour refinement (Grohe, Kersting, Mladenov, Selman 2014, "Dimension reduction via colour
refinement"): columns, and rows, of a linear program share a colour until their coefficients in the
colours of the other side differ. In the end the program may be replaced by one with a column per
column colour (the mean of its columns) and a row per row colour. Both have the same optimum if the
objective is constant within each colour.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.program import Indices, Matrices, Program
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings, open_session

_ROUNDS = 100
_MIX = np.uint64(0x9E3779B97F4A7C15)  # of splitmix64


class ClassLimits:
    """The relaxation of a set over its classes.

    Args:
        actions: the set.
        today: with everything that is fixed today; otherwise the relaxation of a later day.

    Attributes:
        labels: (size,) class of each component.
        counts: (classes,) components of each class.
        lower, upper: (size,) bounds of each component.
    """

    def __init__(self, actions: ActionSet, *, today: bool) -> None:
        program = Program()
        size = actions.size
        columns = program.add_columns(size, 0.0, 1.0)
        actions.add_constraints(program, columns, relaxed=not today)
        m = program.matrices()
        _move_to_bounds(m)
        self.lower, self.upper = m.lower[:size].copy(), m.upper[:size].copy()
        matrix = sparse.csr_array(
            (m.value, m.column, m.starts), shape=(len(m.row_lower), len(m.cost))
        )
        first = np.zeros(len(m.cost), np.int64)
        first[:size] = 1  # a component has no class with an auxiliary column
        column, row = _colours(matrix, m, first)
        kinds, self.labels = np.unique(column[:size], return_inverse=True)
        self.counts = np.bincount(self.labels).astype(float)
        self._load(matrix, m, column, row, kinds)

    def _load(
        self, matrix: sparse.csr_array, m: Matrices, column: Indices, row: Indices, kinds: Indices
    ) -> None:
        """Open the program of the colours; the classes `kinds` are its first columns."""
        others = np.setdiff1d(np.unique(column), kinds)
        place = np.empty(column.max() + 1, np.int64)
        place[np.concatenate([kinds, others])] = np.arange(len(kinds) + len(others))
        column = place[column]
        sums = matrix @ _indicator(column)
        rows = np.unique(row, return_index=True)[1]
        columns = np.unique(column, return_index=True)[1]
        program = Program()
        every = program.add_columns(len(columns), m.lower[columns], m.upper[columns])
        if len(rows):
            program.add_rows(
                (every, sparse.csr_array(sums)[rows]),
                lower=m.row_lower[rows],
                upper=m.row_upper[rows],
            )
        self._classes = every[: len(kinds)]
        self._session = open_session(program, SolverSettings(quick=True))

    def support(self, weights: Floats) -> tuple[float, Floats]:
        """The largest `weights @ n` over the relaxation, and the counts n (classes,) that reach it.

        Args:
            weights: (classes,) of a component of each class.
        """
        self._session.set_cost(self._classes, weights * self.counts)
        solution = self._session.solve()
        assert solution.x is not None
        counts = self.counts * solution.x[self._classes]
        return solution.bound + 1e-9 * (1 + abs(solution.bound)), counts


def _move_to_bounds(m: Matrices) -> None:
    """Make rows with a single entry bounds of its column; the rows then limit nothing."""
    for row in np.flatnonzero(np.diff(m.starts) == 1).tolist():
        entry = int(m.starts[row])
        column, value = int(m.column[entry]), float(m.value[entry])
        if value == 0:
            continue
        ends = sorted((m.row_lower[row] / value, m.row_upper[row] / value))
        m.lower[column] = max(m.lower[column], ends[0])
        m.upper[column] = min(m.upper[column], ends[1])
        m.row_lower[row], m.row_upper[row] = -np.inf, np.inf


def _colours(matrix: sparse.csr_array, m: Matrices, first: Indices) -> tuple[Indices, Indices]:
    """The coarsest colours of columns, finer than `first`, and of rows."""
    used = np.isfinite(m.row_lower) | np.isfinite(m.row_upper)
    entries = sparse.coo_array(sparse.csr_array(sparse.diags_array(used.astype(float))) @ matrix)
    value = _hashed(np.unique(entries.data, return_inverse=True)[1])
    column = _relabelled(first, m.lower, m.upper)
    row = _relabelled(m.row_lower, m.row_upper)
    counts = (0, 0)
    for _ in range(_ROUNDS):
        column = _relabelled(
            column, _sums(_hashed(row)[entries.row] * value, entries.col, len(column))
        )
        row = _relabelled(row, _sums(_hashed(column)[entries.col] * value, entries.row, len(row)))
        before, counts = counts, (int(column.max()) + 1, int(row.max(initial=-1)) + 1)
        if counts == before:
            break
    return column, row


def _hashed(number: Indices) -> np.ndarray:
    """Odd 64-bit numbers that look random, one for each number."""
    mixed = (number.astype(np.uint64) + np.uint64(1)) * _MIX
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)


def _sums(terms: np.ndarray, place: Indices, count: int) -> np.ndarray:
    """The sum of the terms at each place, modulo 2^64."""
    total = np.zeros(count, np.uint64)
    np.add.at(total, place, terms)
    return total


def _relabelled(*keys: np.ndarray) -> Indices:
    """Numbers from 0 of the distinct rows of the keys, each (n,)."""
    label = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        own = np.unique(key, return_inverse=True)[1]
        label = np.unique(label * (int(own.max(initial=0)) + 1) + own, return_inverse=True)[1]
    return label


def _indicator(label: Indices) -> sparse.csr_array:
    """(n, labels): whether an entry has a label."""
    n = len(label)
    return sparse.csr_array((np.ones(n), (np.arange(n), label)), shape=(n, int(label.max()) + 1))
