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
class RankCorrelation:
    """Spearman's coefficient and its 95 % bootstrap interval; NaN where one of the two sides is
    constant.
    """

    value: float
    low: float
    high: float


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


def rank_correlation(
    x: np.ndarray,
    y: np.ndarray,
    clusters: np.ndarray,
    generator: np.random.Generator,
    *,
    resamples: int = 200,
) -> RankCorrelation:
    """Spearman's coefficient of x (n,) and y (n,).

    Args:
        x: (n,).
        y: (n,).
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
        values.append(_spearman(x[rows], y[rows]))
    usable = np.array(values)[np.isfinite(values)]
    low, high = np.percentile(usable, [2.5, 97.5]) if len(usable) else (np.nan, np.nan)
    return RankCorrelation(_spearman(x, y), float(low), float(high))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's coefficient with mean ranks for ties; NaN where a side is constant or has NaN."""
    ranks = rankdata(x), rankdata(y)
    if min(np.ptp(side) for side in ranks) == 0 or np.isnan(x).any() or np.isnan(y).any():
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
