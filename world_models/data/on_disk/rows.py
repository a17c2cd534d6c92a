"""Passes over the rows of an array in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.milp.memory import gigabytes

if TYPE_CHECKING:
    from worldplan.world_models.data.transitions import Transitions

CHUNK = 65_536  # rows


def chunks(count: int) -> Iterator[slice]:
    """Slices of at most CHUNK rows that cover `count` rows."""
    return (slice(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK))


def is_on_disk(array: Any) -> bool:
    """Whether an array lies in a file and is read where it is used."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def require_in_memory(data: Transitions, purpose: str) -> None:
    """Check that a dataset was read into memory.

    Args:
        data: the transitions.
        purpose: what needs it, for the message, such as "policies are trained".

    Raises:
        DatasetError: it is too large and stays on disk.
    """
    if is_on_disk(data.observation):
        size = 2 * data.observation.nbytes + data.action.nbytes
        raise DatasetError(
            f"the dataset ({gigabytes(size)}) does not fit into memory, in which {purpose}: "
            "train on a part of its episodes; only ensembles are trained from disk"
        )
