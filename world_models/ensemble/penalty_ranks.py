"""How well the penalties order transitions by the true error of an ensemble: Spearman's rank
correlation, with a bootstrap interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.world_models.ensemble.uncertainty import PENALTIES


@dataclass(frozen=True)
class RankCorrelations:
    """Spearman's coefficients and their 95 % bootstrap intervals, each (first, second): of every
    column of one table with every column of another; NaN where a column is constant.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def penalties_of(members: Members, sample: Tensor) -> dict[str, np.ndarray]:
    """Every penalty of `PENALTIES` on each row, by name, each (batch,). A single elite has no
    leave-one-out divergence, which is left out.

    Args:
        members: predictions of the elites, (elites, batch, observation + 1).
        sample: drawn next observation and reward, (batch, observation + 1).
    """
    single = len(members.mean) < 2
    return {
        name: function(members, sample).double().numpy()
        for name, function in PENALTIES.items()
        if not (single and name == "leave_one_out_kl")
    }


def true_error(members: Members, truth: Tensor, scale: Tensor) -> np.ndarray:
    """Euclidean norm of the error of the elites' mean prediction, (batch,) float64.

    Args:
        members: predictions of the elites, (elites, batch, observation + 1).
        truth: next observation and reward, (batch, observation + 1).
        scale: units of the columns, (observation + 1,).
    """
    error = (members.mean.double().mean(0) - truth.double()) / scale.double()
    norm: np.ndarray = torch.linalg.vector_norm(error, dim=-1).numpy()
    return norm


def rank_correlations(
    first: np.ndarray,
    second: np.ndarray,
    clusters: np.ndarray,
    generator: np.random.Generator,
    *,
    resamples: int = 200,
) -> RankCorrelations:
    """Spearman's coefficients of the columns of `first` and `second`.

    Args:
        first: (n, first).
        second: (n, second).
        clusters: number of the episode or rollout of each row, (n,). The bootstrap draws whole
            ones, because the rows of one are alike.
        generator: of the bootstrap.
        resamples: of the bootstrap.
    """
    _, member, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.argsort(member, kind="stable")
    firsts = np.cumsum(sizes) - sizes
    values = []
    for _ in range(resamples):
        drawn = generator.integers(len(sizes), size=len(sizes))
        lengths = sizes[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = order[np.repeat(firsts[drawn], lengths) + within]
        values.append(_spearman(first[rows], second[rows]))
    # NaN where a column is constant in a resample
    low, high = np.percentile(np.stack(values), [2.5, 97.5], axis=0)
    return RankCorrelations(_spearman(first, second), low, high)


def _spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's coefficients (first, second) with mean ranks for ties; NaN where a column is
    constant or holds NaN.
    """
    scores = []
    for table in (first, second):
        ranks = rankdata(table, axis=0, nan_policy="propagate")
        ranks = ranks - ranks.mean(0)
        length = np.sqrt(np.square(ranks).sum(0))
        usable = length > 0  # false for NaN
        scores.append(np.where(usable, ranks / np.where(usable, length, 1.0), np.nan))
    coefficients: np.ndarray = scores[0].T @ scores[1]
    return coefficients
