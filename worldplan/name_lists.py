"""Names in a sentence: the first ones, and how many more there are; and the order of names."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHOWN = 10


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, `most` of them, and how many more there are."""
    first = ", ".join(names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sorts crate2 before crate10."""
    # text parts stand at even places and numbers at odd ones, so that equal kinds are compared
    parts: list[int | str] = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
