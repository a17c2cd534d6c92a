"""How many observed moves of a log stand behind each client on the list of `bandits decide`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from worldplan.world_models.arms.beliefs import PresentStates
from worldplan.world_models.arms.programme import Built

MOVES = ("moves_if_visited", "moves_if_not")  # columns of the list


def with_moves(
    table: pd.DataFrame, built: Built, present: PresentStates, names: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """The list with the log's moves of each client, and a sentence on the fewest.

    A client's moves are counted from today's state, or from the states that are possible today, by
    what was done: visited or not. Without a log, or on a list without arms, the table is unchanged.

    Args:
        table: with the column "arm".
        built: the programme.
        present: today's states.
        names: of the arms.
    """
    if built.moves is None or "arm" not in table:
        return table, []
    possible = (present.belief > 0).astype(np.int64)
    counts = np.einsum("jkst,js->jk", built.moves, possible)
    number = {name: arm for arm, name in enumerate(names)}
    listed = [number.get(str(name)) for name in table["arm"]]
    columns = {
        column: pd.array([None if j is None else int(counts[j, k]) for j in listed], "Int64")
        for column, k in zip(MOVES, (1, 0), strict=True)
    }
    return table.assign(**columns), _sentence(
        counts, sorted({j for j in listed if j is not None}), names
    )


def _sentence(counts: np.ndarray, listed: list[int], names: tuple[str, ...]) -> list[str]:
    """The fewest observed moves, and the clients without any under one of the two actions."""
    if not listed:
        return []
    visited, left = (int(counts[listed, k].min()) for k in (1, 0))
    words = (
        "moves in the log behind each client of this list, from today's state (from all possible "
        f"ones if it is not known): at least {visited} if visited and {left} if not"
    )
    none = [names[j] for j in listed if counts[j].min() == 0]
    if none:
        more = f" and {len(none) - 5} more" if len(none) > 5 else ""
        words += f"; none of one kind for {', '.join(none[:5])}{more}, who borrow from all clients"
    return [words]
