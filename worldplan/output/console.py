"""The terminal, for texts that contain names of the user and for tables of figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table

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
        if not isinstance(printed, Table):
            return printed
        widths = [self._widths(column) for column in printed.columns]
        room = self.width - 1 - _AROUND_A_CELL * len(widths)
        if room < sum(least for least, _ in widths):
            return _rows_as_list(printed)
        level = _level(widths, room)
        # rich, too, takes from the widest columns first, but does not stop where it cuts a word
        if any(most > level <= least + 1 for least, most in widths):
            for column, (least, most) in zip(printed.columns, widths, strict=True):
                column.width = min(most, max(least, level))
        return printed

    def _widths(self, column: Column) -> tuple[int, int]:
        """The characters of a column in which no word is cut, and those of its longest line."""
        cells = [
            Measurement.get(self, self.options, cell) for cell in (column.header, *column.cells)
        ]
        most = max(cell.maximum for cell in cells)
        return most if column.no_wrap else max(cell.minimum for cell in cells), most


def _level(widths: Sequence[tuple[int, int]], room: int) -> int:
    """The width to which the widest columns are cut, so that all fit into `room`.

    Args:
        widths: least and most width of each column.
        room: at least the sum of the least widths.
    """
    level = max(most for _, most in widths)
    while sum(min(most, max(least, level)) for least, most in widths) > room:
        level -= 1
    return level


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
