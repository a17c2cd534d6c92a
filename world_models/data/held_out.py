"""Which rows of a dataset are held out, to measure a model on what it was not trained on."""

from __future__ import annotations

import numpy as np

from worldplan.milp.errors import DatasetError

HELD_OUT_SHARE, HELD_OUT_ROWS = 0.2, 10_000
FEW_EPISODES = 10  # with fewer, rows are held out and not whole episodes
_ENOUGH = 0.75  # of the wanted rows: then no episode is divided


def hold_out(episode: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The rows to hold out, bool (n,): between 15 % and 20 % of them (rounded down), and at most
    10,000, whatever the lengths of the episodes.

    Rows of one episode are alike: the error on rows whose neighbours were trained on would be too
    low. So whole episodes are held out, in random order. Where the next one is too long and less
    than three quarters of the wanted rows are complete, its last rows are held out. Of fewer than
    10 episodes, single rows are.

    Args:
        episode: the number of each row's episode, (n,); the rows of an episode are neighbours.
        generator: draws the episodes, or rows.

    Raises:
        DatasetError: there are fewer than 5 rows.
    """
    count = len(episode)
    wanted = min(int(HELD_OUT_SHARE * count), HELD_OUT_ROWS)
    if wanted < 1:
        raise DatasetError(
            f"{count} transitions are too few to train on: at least 5 are needed to hold one out"
        )
    numbers, member, lengths = np.unique(episode, return_inverse=True, return_counts=True)
    order = generator.permutation(len(numbers))
    mask = np.zeros(count, dtype=bool)
    if len(numbers) < FEW_EPISODES:
        mask[generator.permutation(count)[:wanted]] = True
        return mask
    rows = np.cumsum(lengths[order])  # of the first episodes in this order
    whole = int((rows <= wanted).sum())
    mask = np.isin(member, order[:whole])
    held = int(rows[whole - 1]) if whole else 0
    if held < _ENOUGH * wanted:
        mask[np.flatnonzero(member == order[whole])[held - wanted :]] = True
    return mask
