"""The terminal, for texts that contain names of the user and for tables of figures."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

_WIDE = 500  # characters of a line in a file or pipe, where COLUMNS does not say otherwise
_AROUND_A_CELL = 3  # its padding and a border


class PlainConsole(Console):
    """A console on stdout that prints brackets and colons as they are: a file may be called
    "[/]x.npz", which rich would take for a tag. It cuts no figure: a table that is too wide for
    the terminal is printed as a list of its rows.
    """

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _WIDE

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(self._fitting(one) for one in objects), **options)

    def _fitting(self, printed: Any) -> Any:
        if not isinstance(printed, Table) or self._least_width(printed) <= self.width:
            return printed
        return _rows_as_list(printed)

    def _least_width(self, table: Table) -> int:
        """The characters that the table takes if no word is cut."""
        width = 1
        for column in table.columns:
            cells = [
                Measurement.get(self, self.options, cell) for cell in (column.header, *column.cells)
            ]
            width += _AROUND_A_CELL + max(
                cell.maximum if column.no_wrap else cell.minimum for cell in cells
            )
        return width


def plain_console() -> Console:
    """The console of the commands, see `PlainConsole`."""
    return PlainConsole()


def _rows_as_list(table: Table) -> Group:
    """The title, then each row: its first cell, and below it the others with their headings."""
    lines: list[Any] = [table.title] if table.title else []
    first, *others = table.columns
    cells = [list(column.cells) for column in others]
    for number, name in enumerate(first.cells):
        lines.append(name)
        for column, values in zip(others, cells, strict=True):
            if values[number] != "":
                pair = Table.grid(padding=(0, 1))
                pair.add_row(column.header, values[number])
                lines.append(Padding(pair, (0, 0, 0, 2), expand=False))
    return Group(*lines)
