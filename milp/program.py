"""A mixed-integer linear program in matrix form.

    maximise  cost @ x + offset   subject to   row_lower <= A x <= row_upper,  lower <= x <= upper

Columns and rows are added block by block. The sparsity pattern of A is then fixed, and the program
is solved many times with other numbers (`worldplan.milp.solvers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of constraints.

    Args:
        index: (rows,) row numbers in the program.
        slots: (entries,) places of its coefficients, for `Session.set_values`.
    """

    index: Indices
    slots: Indices


@dataclass
class Program:
    """Maximise `cost @ x + offset` subject to `row_lower <= A x <= row_upper` and column bounds.

    Columns and rows are added in blocks, as index arrays. The sparsity pattern is fixed once a
    solver session is opened; numbers (costs, bounds, coefficients) may change between solves.
    """

    offset: float = 0.0
    _cost: list[Floats] = field(default_factory=list)
    _lower: list[Floats] = field(default_factory=list)
    _upper: list[Floats] = field(default_factory=list)
    _integer: list[NDArray[np.bool_]] = field(default_factory=list)
    _row_lower: list[Floats] = field(default_factory=list)
    _row_upper: list[Floats] = field(default_factory=list)
    _row: list[Indices] = field(default_factory=list)
    _column: list[Indices] = field(default_factory=list)
    _value: list[Floats] = field(default_factory=list)
    columns: int = 0
    rows: int = 0
    entries: int = 0

    def add_columns(
        self,
        count: int,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = np.inf,
        *,
        integer: bool = False,
        cost: ArrayLike = 0.0,
    ) -> Indices:
        """Add `count` variables and return their column numbers (count,).

        Args:
            count: number of variables.
            lower: lower bounds, (count,) or scalar.
            upper: upper bounds, (count,) or scalar.
            integer: whether the variables are integer.
            cost: objective coefficients, (count,) or scalar.
        """
        index = np.arange(self.columns, self.columns + count)
        for store, given in ((self._cost, cost), (self._lower, lower), (self._upper, upper)):
            store.append(np.broadcast_to(np.asarray(given, dtype=float), (count,)).copy())
        self._integer.append(np.full(count, integer))
        self.columns += count
        return index

    def add_rows(
        self,
        *blocks: tuple[Indices, ArrayLike | sparse.spmatrix | sparse.sparray],
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
    ) -> Rows:
        """Add rows `lower <= sum of matrix @ x[columns] over the blocks <= upper`.

        Args:
            blocks: pairs of column numbers (columns,) and a matrix (rows, columns). A dense matrix
                keeps its zeros, so that they can be overwritten later; a sparse one keeps its
                pattern.
            lower: lower bounds, (rows,) or scalar.
            upper: upper bounds, (rows,) or scalar.

        Returns:
            The block. Its slots are in the order of the blocks, each block row by row.

        Raises:
            ValueError: the blocks have different numbers of rows, or a matrix has another number
                of columns than its block.
        """
        rows, columns, values = [], [], []
        count = None
        for index, matrix in blocks:
            if sparse.issparse(matrix):
                coo = sparse.coo_array(sparse.csr_array(matrix))
                shape, row, column, value = coo.shape, coo.row, coo.col, coo.data
            else:
                dense = np.atleast_2d(np.asarray(matrix, dtype=float))
                shape = dense.shape
                row, column = np.divmod(np.arange(dense.size), max(shape[1], 1))
                value = dense.ravel()
            if count not in (None, shape[0]) or shape[1] != len(index):
                raise ValueError(
                    f"block of shape {shape} does not fit {count} rows and {len(index)} columns"
                )
            count = shape[0]
            rows.append(row + self.rows)
            columns.append(np.asarray(index, dtype=np.int64)[column])
            values.append(np.asarray(value, dtype=float))
        assert count is not None
        self._row.append(np.concatenate(rows).astype(np.int64))
        self._column.append(np.concatenate(columns))
        self._value.append(np.concatenate(values))
        for store, given in ((self._row_lower, lower), (self._row_upper, upper)):
            store.append(np.broadcast_to(np.asarray(given, dtype=float), (count,)).copy())
        added = len(self._value[-1])
        result = Rows(
            np.arange(self.rows, self.rows + count), np.arange(self.entries, self.entries + added)
        )
        self.rows += count
        self.entries += added
        return result

    def matrices(self) -> Matrices:
        """The program as compressed-row arrays, which a solver session owns and updates.

        Raises:
            ValueError: a variable stands twice in a row.
        """
        row, column = _join(self._row, np.int64), _join(self._column, np.int64)
        order = np.lexsort((column, row))
        row, column = row[order], column[order]
        if len(row) and np.any((np.diff(row) == 0) & (np.diff(column) == 0)):
            raise ValueError(
                "a variable appears twice in one row: merge its coefficients before adding the row"
            )
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return Matrices(
            cost=_join(self._cost),
            lower=_join(self._lower),
            upper=_join(self._upper),
            integer=_join(self._integer, bool),
            row_lower=_join(self._row_lower),
            row_upper=_join(self._row_upper),
            starts=np.searchsorted(row, np.arange(self.rows + 1)).astype(np.int32),
            column=column.astype(np.int32),
            value=_join(self._value)[order],
            place=place,
            offset=self.offset,
        )


@dataclass
class Matrices:
    """A program whose sparsity pattern is fixed, with compressed rows.

    Args:
        cost, lower, upper, integer: (columns,) objective coefficients, bounds, integrality.
        row_lower, row_upper: (rows,) bounds.
        starts: (rows + 1,) first entry of each row.
        column, value: (entries,) column number and coefficient.
        place: (entries,) the entry that belongs to a slot of `Program.add_rows`.
        offset: constant of the objective.
    """

    cost: Floats
    lower: Floats
    upper: Floats
    integer: NDArray[np.bool_]
    row_lower: Floats
    row_upper: Floats
    starts: NDArray[np.int32]
    column: NDArray[np.int32]
    value: Floats
    place: Indices
    offset: float

    def table(self) -> sparse.csr_array:
        """The coefficients, (rows, columns)."""
        shape = (len(self.row_lower), len(self.cost))
        return sparse.csr_array((self.value, self.column, self.starts), shape=shape)

    def rows_of(self, entries: Indices) -> Indices:
        """Row numbers (entries,) of entries (entries,) of the compressed form."""
        return np.searchsorted(self.starts, entries, side="right") - 1


def _join(parts: list[Any], dtype: type = float) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
