"""Names in a sentence: the first ones, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 10


def some(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    first = ", ".join(names[:SHOWN])
    return first if len(names) <= SHOWN else f"{first} and {len(names) - SHOWN} more"
