"""Halves of held-out rows, and bootstrap intervals of shares, by whole episodes."""

from __future__ import annotations

import numpy as np

from worldplan.world_models.ensemble.held_out import HeldOut

FEW_EPISODES = 4  # with fewer, an episode is cut in two


def halves(
    held_out: HeldOut, episode: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of the held-out rows (m,), as places among them, ascending.

    Whole episodes, in a random order, until they hold half of the rows; with fewer than 4 episodes
    the first half of the rows and the second; where single rows are held out, random rows.

    Args:
        held_out: the rows.
        episode: number of the episode of every held-out row, (m,).
        generator: draws the parts.
    """
    count = len(held_out.rows)
    numbers, member, lengths = np.unique(episode, return_inverse=True, return_counts=True)
    first = np.zeros(count, dtype=bool)
    if not held_out.whole_episodes:
        first[generator.permutation(count)[: count // 2]] = True
    elif len(numbers) < FEW_EPISODES:
        first[: count // 2] = True
    else:
        order = generator.permutation(len(numbers))
        before = np.cumsum(lengths[order]) - lengths[order]
        # an episode belongs to the first part if its middle lies in the first half
        first = np.isin(member, order[2 * before + lengths[order] <= count])
    return np.flatnonzero(first), np.flatnonzero(~first)


def share_intervals(
    hits: np.ndarray,
    clusters: np.ndarray,
    generator: np.random.Generator,
    *,
    resamples: int = 500,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of hits with their 95 % bootstrap intervals: (share, low, high), each (columns,). With
    a single cluster the interval is NaN.

    Args:
        hits: bool, (n, columns).
        clusters: number of the episode or rollout of each row, (n,); the bootstrap draws whole
            ones, because the rows of one are alike.
        generator: of the bootstrap.
        resamples: of the bootstrap.
    """
    share: np.ndarray = hits.mean(0)
    _, member, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return share, np.full_like(share, np.nan), np.full_like(share, np.nan)
    sums = np.zeros((len(sizes), hits.shape[1]))
    np.add.at(sums, member, hits)
    # how often each cluster is drawn, (resamples, clusters)
    drawn = generator.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
    low, high = np.percentile(drawn @ sums / (drawn @ sizes)[:, None], [2.5, 97.5], axis=0)
    return share, low, high
