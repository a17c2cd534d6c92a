"""Names in a sentence: the first ones, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 10


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, `most` of them, and how many more there are."""
    first = ", ".join(names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"
