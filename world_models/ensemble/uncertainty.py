"""Penalties on a model's uncertainty, each a pure function of what the members of an ensemble say.

The list is that of Lu et al. (2022), "Revisiting Design Choices in Offline Model-Based RL". Member
i says N(mu_i, Sigma_i) with a diagonal covariance over next observation and reward, in units of the
environment. Every function takes `members` and the drawn `sample` (batch, observation + 1), which
only the last one needs, and returns (batch,) numbers >= 0. The order of the members does not
matter. Values that are not numbers stay so.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import ConfigError

Penalty = Callable[[Members, Tensor | None], Tensor]


def max_aleatoric(members: Members, sample: Tensor | None = None) -> Tensor:
    """max_i ||Sigma_i||_F, the penalty of MOPO (Yu et al. 2020)."""
    return members.variance.norm(dim=-1).amax(0)


def max_pairwise_difference(members: Members, sample: Tensor | None = None) -> Tensor:
    """max_ij ||mu_i - mu_j||_2, the discrepancy of MOReL (Kidambi et al. 2020)."""
    mean = members.mean.transpose(0, 1)  # (batch, members, out)
    # the exact mode: through a matrix product, members that nearly agree would be lost in rounding
    return torch.cdist(mean, mean, compute_mode="donot_use_mm_for_euclid_dist").amax((-2, -1))


def ensemble_variance(members: Members, sample: Tensor | None = None) -> Tensor:
    """||Sigma*||_F of the mixture of all members (Lakshminarayanan et al. 2017): Sigma* =
    mean_i(Sigma_i + mu_i^2) - mu*^2.
    """
    return _mixture_variance(members).norm(dim=-1)


def ensemble_std(members: Members, sample: Tensor | None = None) -> Tensor:
    """||sqrt(Sigma*)||_F: root of the total variance (trace) of the mixture, in the units of the
    outputs.
    """
    return _mixture_variance(members).sum(-1).sqrt()


def leave_one_out_kl(members: Members, sample: Tensor | None = None) -> Tensor:
    """mean_i KL(N_i || N_-i), N_-i the Gaussian with mean and (diagonal) variance of the mixture of
    all others.

    M2AC (Pan et al. 2020) asks this of one random member; the mean over members is its expectation.
    Raises ConfigError for a single member.
    """
    count = members.mean.shape[0]
    if count < 2:
        raise ConfigError(
            "leave_one_out_kl compares members, but the ensemble has a single elite: use at least 2"
        )
    # in double precision: the difference below may be a small variance between members that lie far
    # apart
    mean, variance = members.mean.double(), members.variance.double()
    mean = mean - mean.mean(0)
    others_mean = (mean.sum(0) - mean) / (count - 1)
    second = variance + mean.square()
    others_variance = (second.sum(0) - second) / (count - 1) - others_mean.square()
    ratio = variance / others_variance
    distance = (mean - others_mean).square() / others_variance
    return (0.5 * (ratio - 1 - ratio.log() + distance)).sum(-1).mean(0).to(members.mean.dtype)


def log_likelihood_variance(members: Members, sample: Tensor | None = None) -> Tensor:
    """Var_i log N(x; mu_i, Sigma_i) over members (population variance) at the drawn next
    observation and reward x.
    """
    if sample is None:
        raise ConfigError(
            "log_likelihood_variance needs the drawn next observation and reward: give sample (batch, observation + 1)"
        )
    density = -0.5 * (
        members.variance.log() + (sample - members.mean).square() / members.variance
    ).sum(-1)
    return density.var(0, correction=0)  # the constant of the density is the same for all


def _mixture_variance(members: Members) -> Tensor:
    """(batch, out): mean_i Sigma_i + Var_i mu_i, which is the formula above without its
    cancellation.
    """
    return members.variance.mean(0) + members.mean.var(0, correction=0)


PENALTIES: dict[str, Penalty] = {
    function.__name__: function
    for function in (
        max_aleatoric,
        max_pairwise_difference,
        ensemble_std,
        ensemble_variance,
        leave_one_out_kl,
        log_likelihood_variance,
    )
}


def penalty(name: str) -> Penalty:
    """The penalty of that name. Raises ConfigError with the choices."""
    if name not in PENALTIES:
        raise ConfigError(
            f"no uncertainty penalty is called '{name}': choose one of {', '.join(PENALTIES)}"
        )
    return PENALTIES[name]
