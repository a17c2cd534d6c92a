"""Long lists of clients on the pages: a part at a time, and those whose name holds a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")

MOST = 200  # clients on one page


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """A part of a list.

    Args:
        rows: on this page.
        find: the text that is looked for; "" for all.
        page: number of the page, from 1.
        pages: how many there are, at least 1.
        first: place of the first row among those found, from 1; 0 if there is none.
        found: how many rows were found.
        total: how many rows there are.
    """

    rows: Sequence[Row]
    find: str
    page: int
    pages: int
    first: int
    found: int
    total: int


def listing(
    rows: Sequence[Row], name: Callable[[Row], str], find: str = "", page: int = 1
) -> Listing[Row]:
    """The rows of a page; a number beyond the last page is the last one.

    Args:
        rows: all of them.
        name: of a row.
        find: a text, in capital letters or not, that the name holds.
        page: number, from 1.
    """
    wanted = find.strip().casefold()
    found = [row for row in rows if wanted in name(row).casefold()] if wanted else rows
    pages = max(1, -(-len(found) // MOST))
    page = min(max(1, page), pages)
    start = (page - 1) * MOST
    shown = found[start : start + MOST]
    return Listing(shown, find.strip(), page, pages, start + bool(found), len(found), len(rows))
