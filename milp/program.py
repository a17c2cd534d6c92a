"""A mixed-integer linear program in matrix form, grown block by block, solved many times with new
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of constraints: its row numbers and the slots of its coefficients (see
    `Program.set_values`).
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
        """Add `count` variables; bounds and cost broadcast. Returns their column numbers."""
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
        """Add the rows `lower <= sum(matrix @ x[columns]) <= upper` over `blocks` of (columns,
        matrix).

        A dense matrix keeps its zeros (they may be overwritten later); a sparse one keeps its
        pattern. The slots returned follow the blocks in order, each block row by row.
        """
        rows, columns, values = [], [], []
        count = None
        for index, matrix in blocks:
            if sparse.issparse(matrix):
                coo = sparse.coo_array(sparse.csr_array(matrix))
                shape, r, c, v = coo.shape, coo.row, coo.col, coo.data
            else:
                dense = np.atleast_2d(np.asarray(matrix, dtype=float))
                shape = dense.shape
                r, c = np.divmod(np.arange(dense.size), max(shape[1], 1))
                v = dense.ravel()
            if count not in (None, shape[0]) or shape[1] != len(index):
                raise ValueError(
                    f"block of shape {shape} does not fit {count} rows and {len(index)} columns"
                )
            count = shape[0]
            rows.append(r + self.rows)
            columns.append(np.asarray(index, dtype=np.int64)[c])
            values.append(np.asarray(v, dtype=float))
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
        """Freeze the pattern into compressed-row arrays that a solver session owns and updates."""
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
    """The frozen arrays of a program: compressed rows plus `place`, which maps a slot to its entry."""

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

    def rows_of(self, entries: Indices) -> Indices:
        """Row number of each entry of the compressed form."""
        return np.searchsorted(self.starts, entries, side="right") - 1


def _join(parts: list, dtype: type = float) -> np.ndarray:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
