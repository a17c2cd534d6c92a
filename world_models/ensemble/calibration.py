"""Calibration of an ensemble's predictive distribution, and its recalibration.

In a rollout every row follows a random elite, so the predictive distribution of a column is the
mixture of the elites' Gaussians,

    F(y) = mean_i Phi((y - mu_i) / s_i).

It is calibrated if F(y) of the true y, the probability integral transform (PIT), is uniform. Then
the central interval of level p, {y: |2 F(y) - 1| <= p}, holds a share p of the truths. A mixture of
calibrated members is wider than that wherever members disagree (Gneiting and Ranjan 2013,
"Combining predictive distributions"), so it is the mixture that is recalibrated, not its members:
a factor of the variances cannot undo a disagreement of the means.

Recalibration (Kuleshov et al. 2018, algorithm 1) replaces F by R(F), with R the distribution
function of the PIT on held-out rows, which is monotone by itself: no isotonic regression is needed.
It is computed on normal scores v = Phi^-1(F), which have digits in both tails: R is stored for each
column as the quantiles of v at the levels k / 40, k = 1 .. 39. Between two of these, and beyond the
last, v is linear in Phi^-1(level), so that a wrong scale or mean is mended in the tails as well.

A rollout draws y from F as before and moves it to y' with F(y') = R^-1(F(y)), which has the
distribution R(F). Columns keep the dependence that the shared elite gives them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import DatasetError

LEVELS = (0.5, 0.8, 0.95)  # of the central intervals that are reported
FEWEST_ROWS = 40  # to recalibrate on, and to judge on
QUANTILES = 39  # of R; bounds of the 50, 80 and 95 % intervals are among them

_KNOTS = torch.special.ndtri(torch.arange(1, QUANTILES + 1, dtype=torch.float64) / (QUANTILES + 1))
_SLOPE = 1e-4  # added to that of R^-1: its quantiles are then strictly increasing
_LARGEST = 37.0  # normal scores beyond have a tail that is 0 in double precision
_ITERATIONS = 60  # a few are needed, but between elites that are far apart


def normal_scores(members: Members, values: Tensor) -> Tensor:
    """v = Phi^-1(F(y)) of every row and column, (batch, columns) float64, within +-37.

    Args:
        members: predictions of the elites, (elites, batch, columns).
        values: y, next observation and reward, (batch, columns).
    """
    standardised = _standardised(members, values)
    below = _distribution(standardised).mean(0)
    above = _distribution(-standardised).mean(0)  # 1 - below would lose all digits
    tail = torch.special.ndtri(torch.minimum(below, above))
    scores: Tensor = torch.where(below < above, tail, -tail).clamp(-_LARGEST, _LARGEST)
    return scores


def is_covered(scores: Tensor, levels: Tensor) -> Tensor:
    """Whether the central interval of each level holds the truth, bool (levels, batch, columns).

    Args:
        scores: normal scores of the truths, (batch, columns).
        levels: (levels,).
    """
    bounds = torch.special.ndtri((1 + levels.double()) / 2)
    covered: Tensor = scores.abs() <= bounds[:, None, None]
    return covered


def calibration_error(scores: Tensor) -> Tensor:
    """Sum over the levels 5, 10, ..., 95 % of the squared difference between level and share of
    truths that its central interval holds (Kuleshov et al. 2018, eq. 9), (columns,).

    Args:
        scores: normal scores of the truths, (batch, columns).
    """
    levels = torch.arange(0.05, 0.96, 0.05, dtype=torch.float64)
    share = is_covered(scores, levels).double().mean(1)
    return (share - levels[:, None]).square().sum(0)


def log_score(members: Members, truth: Tensor, quantiles: Tensor | None = None) -> Tensor:
    """-log of the predicted density, (batch, columns) float64; lower is better.

    Args:
        members: predictions of the elites, (elites, batch, columns).
        truth: next observation and reward, (batch, columns).
        quantiles: of a recalibration, (columns, 39); None: of F itself.
    """
    log_density = (
        -0.5 * _standardised(members, truth).square()
        - 0.5 * (2 * torch.pi * members.variance.double()).log()
    )
    score: Tensor = math.log(len(log_density)) - log_density.logsumexp(0)
    if quantiles is None:
        return score
    # d Phi(w(v(y))) / dy = f(y) phi(w) / phi(v) dw/dv, with w the recalibrated score
    before = normal_scores(members, truth)
    after, slope = _interpolate(before, quantiles, _KNOTS.expand_as(quantiles))
    return score + (after.square() - before.square()) / 2 - slope.log()


def fit_recalibration(scores: Tensor) -> Tensor:
    """The quantiles of the normal scores of each column, (columns, 39) float64, strictly
    increasing.

    Args:
        scores: of the truths of held-out rows, (batch, columns).

    Raises:
        DatasetError: there are fewer than 40 rows, or a score is not a number.
    """
    if len(scores) < FEWEST_ROWS:
        raise DatasetError(
            f"{len(scores)} held-out rows are too few to recalibrate on: give at least "
            f"{FEWEST_ROWS}"
        )
    if not bool(scores.isfinite().all()):
        raise DatasetError("a prediction on held-out rows is not finite: train the ensemble again")
    levels = np.arange(1, QUANTILES + 1) / (QUANTILES + 1)
    quantiles = torch.from_numpy(np.quantile(scores.numpy(), levels, axis=0).T)
    rising: Tensor = quantiles + _SLOPE * _KNOTS
    return rising


def recalibrate(quantiles: Tensor, scores: Tensor) -> Tensor:
    """Phi^-1(R(Phi(v))), (batch, columns) float64: the normal scores of the recalibrated
    prediction.

    Args:
        quantiles: of the recalibration, (columns, 39).
        scores: v, (batch, columns).
    """
    return _interpolate(scores, quantiles, _KNOTS.expand_as(quantiles))[0]


def move_draws(quantiles: Tensor, members: Members, drawn: Tensor) -> Tensor:
    """y' with F(y') = R^-1(F(y)) for draws y from F, (batch, columns): draws from the recalibrated
    prediction.

    Args:
        quantiles: of the recalibration, (columns, 39).
        members: predictions of the elites, (elites, batch, columns).
        drawn: y, (batch, columns).
    """
    quantiles = quantiles.to(drawn.device)
    knots = _KNOTS.to(drawn.device).expand_as(quantiles)
    wanted = _interpolate(normal_scores(members, drawn), knots, quantiles)[0]
    finite = wanted.isfinite()  # a prediction that is not finite is passed on
    moved = drawn.double().clone()
    chosen = Members(members.mean[:, finite], members.variance[:, finite])
    moved[finite] = _invert(chosen, wanted[finite].clamp(-_LARGEST, _LARGEST), moved[finite])
    return moved.to(drawn.dtype)


def _invert(members: Members, wanted: Tensor, start: Tensor) -> Tensor:
    """The values (n,) with the normal scores `wanted` (n,), by Newton's method, with a bisection
    wherever its step leaves the bracket.

    Args:
        members: of each value, (elites, n).
        wanted: normal scores, (n,).
        start: first guess, (n,).
    """
    mean, deviation = members.mean.double(), members.variance.double().sqrt()
    reach = wanted.abs() * deviation
    below, above = (mean - reach).amin(0), (mean + reach).amax(0)
    values = torch.minimum(torch.maximum(start, below), above)
    tolerance = 1e-7 * deviation.amin(0)
    active = torch.arange(len(values), device=values.device)
    for _ in range(_ITERATIONS):
        if not len(active):
            break
        now = values[active]
        part = Members(mean[:, active], deviation[:, active].square())
        difference = wanted[active] - normal_scores(part, now)
        below[active] = torch.where(difference > 0, now, below[active])
        above[active] = torch.where(difference > 0, above[active], now)
        newton = now + difference / _score_slope(part, now)
        low, high = below[active], above[active]
        inside = (newton >= low) & (newton <= high)
        values[active] = torch.where(inside, newton, (low + high) / 2)
        active = active[(values[active] - now).abs() > tolerance[active]]
    return values


def _score_slope(members: Members, values: Tensor) -> Tensor:
    """dv/dy = f(y) / phi(v) at `values`, of their shape."""
    logarithm = normal_scores(members, values).square() / 2 - log_score(members, values)
    return (logarithm + math.log(2 * math.pi) / 2).exp()


def _interpolate(values: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The piecewise linear function through the points (x, y) of each column at `values` (batch,
    columns), and its slope there; beyond the points it is linear as in their last piece.

    Args:
        values: (batch, columns).
        x: strictly increasing, (columns, points).
        y: (columns, points).
    """
    place = torch.searchsorted(x.contiguous(), values.T.contiguous(), right=True) - 1
    place = place.clamp(0, x.shape[1] - 2)
    low, left = y.gather(1, place), x.gather(1, place)
    slope = (y.gather(1, place + 1) - low) / (x.gather(1, place + 1) - left)
    return (low + slope * (values.T - left)).T, slope.T


def _distribution(values: Tensor) -> Tensor:
    """Phi of `values`, of the same shape; torch.special.ndtr has no digits in the lower tail."""
    distribution: Tensor = torch.special.erfc(-values * math.sqrt(0.5)) / 2
    return distribution


def _standardised(members: Members, values: Tensor) -> Tensor:
    """(y - mu_i) / s_i, (elites, batch, columns) float64."""
    difference = values.double() - members.mean.double()
    return difference / members.variance.double().sqrt()
