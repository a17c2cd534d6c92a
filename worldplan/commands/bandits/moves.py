"""How many observed moves of a log stand behind each client on the list of `bandits decide`, and
how much of the estimates is borrowed from other clients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from worldplan.name_lists import some
from worldplan.world_models.arms.beliefs import PresentStates
from worldplan.world_models.arms.evidence import Evidence
from worldplan.world_models.arms.programme import Built

MOVES = ("moves_if_visited", "moves_if_not")  # columns of the list
EFFECTIVE = ("effective_moves_if_visited", "effective_moves_if_not")  # with a half-life
OWN = ("own_share_if_visited", "own_share_if_not")
FROM = "borrows_from"
COLUMNS = (*MOVES, *EFFECTIVE, *OWN, FROM)


def with_moves(
    table: pd.DataFrame, built: Built, present: PresentStates, names: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """The list with the log's moves of each client, and sentences on the fewest.

    A client's moves are counted from today's state, or from the states that are possible today, by
    what was done: visited or not. The own share is that of the client's own moves in the estimates
    from these states; the rest is borrowed. Without a log, or on a list without arms, the table is
    unchanged.

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
    columns: dict[str, Any] = {
        column: pd.array([None if j is None else int(counts[j, k]) for j in listed], "Int64")
        for column, k in zip(MOVES, (1, 0), strict=True)
    }
    arms = sorted({j for j in listed if j is not None})
    sentences = _sentence(counts, arms, names)
    if built.weighted is not None:
        effective = np.einsum("jkst,js->jk", built.weighted, possible.astype(float))
        columns |= {
            column: pd.array([None if j is None else effective[j, k] for j in listed], "Float64")
            for column, k in zip(EFFECTIVE, (1, 0), strict=True)
        }
        if arms:
            visited, left = (effective[arms, k].min() for k in (1, 0))
            sentences.append(
                f"by their age these moves count as at least {visited:.3g} if visited and "
                f"{left:.3g} if not (programme.half_life)"
            )
    if built.evidence is not None:
        share = built.evidence.share(present.belief)
        columns |= {
            column: pd.array([None if j is None else share[j, k] for j in listed], "Float64")
            for column, k in zip(OWN, (1, 0), strict=True)
        }
        if built.evidence.groups:
            columns[FROM] = [None if j is None else built.evidence.groups[j] for j in listed]
        sentences += _borrowed(built.evidence, share, arms, names)
    return table.assign(**columns), sentences


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
        words += f"; none of one kind for {some(none)}, who borrow from others"
    return [words]


def _borrowed(
    evidence: Evidence, share: np.ndarray, listed: list[int], names: tuple[str, ...]
) -> list[str]:
    """How much is borrowed, from whom, and who has no rewards of their own.

    Args:
        evidence: of the log.
        share: (arms, actions) of own moves.
        listed: the arms on the list.
        names: of all arms.
    """
    lines = []
    if listed:
        low, high = (100 * end for end in (share[listed].min(), share[listed].max()))
        source = "clients of the same group, and of everybody" if evidence.groups else "all clients"
        lines.append(
            f"own moves make {low:.0f} to {high:.0f} % of these clients' estimates; the rest is "
            f"that of {source}"
        )
    if evidence.strengths:
        each = ", ".join(f"{name} {value:.3g}" for name, value in evidence.strengths.items())
        lines.append(
            f"how alike clients are, estimated from the log (moves that the others count for at "
            f"most): {each}"
        )
    lines += [
        f"{name} has no rewards of their own: they are the mean of {whose}"
        for name, whose in evidence.newcomers.items()
        if names.index(name) in listed
    ]
    return lines
