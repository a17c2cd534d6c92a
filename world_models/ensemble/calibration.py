"""Calibration of an ensemble's predictive distribution, and recalibration by a scale per column.

In a rollout every row follows a random elite, so the predictive distribution of a column is the
mixture of the elites' Gaussians,

    F(y) = mean_i Phi((y - mu_i) / s_i).

It is calibrated if F(y) of the true y, the probability integral transform (PIT), is uniform. Then
the central interval of level p, {y: |2 F(y) - 1| <= p}, holds a share p of the truths. A mixture of
calibrated members is wider than that wherever members disagree (Gneiting and Ranjan 2013,
"Combining predictive distributions"), so it is the mixture that is recalibrated, not its members.

Recalibration replaces s_i^2 by c s_i^2 with the c that minimises, per column, the calibration error
of Kuleshov et al. (2018, eq. 9): the squared differences between levels and shares, summed over
levels. The predictions stay mixtures of Gaussians that a rollout can draw from with a single elite;
an isotonic map of F, as in that paper, would need all elites and an inversion for every draw.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import DatasetError

LEVELS = (0.5, 0.8, 0.95)  # of the central intervals that are reported
FEWEST_ROWS = 20  # to fit a scale on, and to judge it on

_FIT_LEVELS = torch.arange(0.05, 0.96, 0.05, dtype=torch.float64)
_SCALES = torch.logspace(-2, 2, 41, dtype=torch.float64)  # of the standard deviation
_REFINED = torch.logspace(-0.1, 0.1, 21, dtype=torch.float64)  # between two of these


def pit(members: Members, truth: Tensor) -> Tensor:
    """The probability integral transform F(y) of every row and column, (batch, columns) float64.

    Args:
        members: predictions of the elites, (elites, batch, columns).
        truth: next observation and reward, (batch, columns).
    """
    transformed: Tensor = torch.special.ndtr(_standardised(members, truth)).mean(0)
    return transformed


def is_covered(transformed: Tensor, levels: Tensor) -> Tensor:
    """Whether the central interval of each level holds the truth, bool (levels, batch, columns).

    Args:
        transformed: the PIT, (batch, columns).
        levels: (levels,).
    """
    return (2 * transformed - 1).abs() <= levels[:, None, None]


def log_score(members: Members, truth: Tensor) -> Tensor:
    """-log f(y) of the mixture's density f, (batch, columns) float64; lower is better.

    Args:
        members: predictions of the elites, (elites, batch, columns).
        truth: next observation and reward, (batch, columns).
    """
    log_density = (
        -0.5 * _standardised(members, truth).square()
        - 0.5 * (2 * torch.pi * members.variance.double()).log()
    )
    return -(log_density.logsumexp(0) - torch.tensor(float(len(log_density))).log())


def with_variance_scale(members: Members, scale: Tensor) -> Members:
    """The predictions (elites, batch, columns) with variances times `scale` (columns,)."""
    return Members(members.mean, members.variance * scale)


def fit_variance_scale(members: Members, truth: Tensor) -> Tensor:
    """The factor c of the variances of each column, (columns,) float64, between 1e-4 and 1e4.

    Where several scales are equally good, as for a column that never changes, the one that is
    nearest to 1.

    Args:
        members: predictions of the elites on held-out rows, (elites, batch, columns).
        truth: next observation and reward, (batch, columns).

    Raises:
        DatasetError: there are fewer than 20 rows.
    """
    if len(truth) < FEWEST_ROWS:
        raise DatasetError(
            f"{len(truth)} held-out rows are too few to recalibrate on: give at least {FEWEST_ROWS}"
        )
    standardised = _standardised(members, truth)
    best = _best(standardised, _SCALES[:, None].expand(-1, truth.shape[1]))
    return _best(standardised, best * _REFINED[:, None]).clamp(1e-2, 1e2).square()


def calibration_error(transformed: Tensor) -> Tensor:
    """Sum over 19 levels of the squared difference between level and share of truths that its
    central interval holds, (columns,).

    Args:
        transformed: the PIT, (batch, columns).
    """
    share = is_covered(transformed, _FIT_LEVELS).double().mean(1)
    return (share - _FIT_LEVELS[:, None]).square().sum(0)


def _best(standardised: Tensor, scales: Tensor) -> Tensor:
    """Of the scales (candidates, columns) of the standard deviations, the best of each column."""
    errors = torch.stack(
        [calibration_error(torch.special.ndtr(standardised / scale).mean(0)) for scale in scales]
    )
    # among scales that are equally good, the nearest to 1
    distance = torch.where(errors <= errors.amin(0) + 1e-12, scales.log().abs(), torch.inf)
    return scales.gather(0, distance.argmin(0, keepdim=True))[0]


def _standardised(members: Members, truth: Tensor) -> Tensor:
    """(y - mu_i) / s_i, (elites, batch, columns) float64."""
    difference = truth.double() - members.mean.double()
    return difference / members.variance.double().sqrt()
