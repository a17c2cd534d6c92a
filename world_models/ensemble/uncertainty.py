"""Penalties on the uncertainty of a dynamics model, each a pure function of the predictions of an
ensemble's members.

The list is that of Lu et al. (2022), "Revisiting Design Choices in Offline Model-Based RL". Member
i predicts N(mu_i, Sigma_i) with a diagonal covariance over next observation and reward, in units of
the environment. Every function maps `members` and the drawn `sample` (batch, observation + 1),
which only the last one uses, to penalties (batch,) >= 0. The order of the members does not matter.
NaN in a prediction gives NaN in the penalty.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean

Penalty = Callable[[Members, Tensor | None], Tensor]


def max_aleatoric(members: Members, sample: Tensor | None = None) -> Tensor:
    """max_i ||Sigma_i||_F, (batch,): the penalty of MOPO (Yu et al. 2020)."""
    norms: Tensor = torch.linalg.vector_norm(members.variance, dim=-1)  # (members, batch)
    return norms.amax(0)


def max_pairwise_difference(members: Members, sample: Tensor | None = None) -> Tensor:
    """max_ij ||mu_i - mu_j||_2, (batch,): the discrepancy of MOReL (Kidambi et al. 2020)."""
    mean = members.mean.transpose(0, 1)  # (batch, members, observation + 1)
    # by differences: a matrix product would round off the differences of members that nearly agree
    return torch.cdist(mean, mean, compute_mode="donot_use_mm_for_euclid_dist").amax((-2, -1))


def ensemble_variance(members: Members, sample: Tensor | None = None) -> Tensor:
    """||Sigma*||_F, (batch,), of the mixture of all members (Lakshminarayanan et al. 2017):
    Sigma* = mean_i(Sigma_i + mu_i^2) - mu*^2.
    """
    norm: Tensor = torch.linalg.vector_norm(_mixture_variance(members), dim=-1)
    return norm


def ensemble_std(members: Members, sample: Tensor | None = None) -> Tensor:
    """||sqrt(Sigma*)||_F, (batch,): root of the total variance (trace) of the mixture, in the units
    of the outputs.
    """
    return _mixture_variance(members).sum(-1).sqrt()


def leave_one_out_kl(members: Members, sample: Tensor | None = None) -> Tensor:
    """mean_i KL(N_i || N_-i), (batch,), with N_-i the Gaussian of the mean and (diagonal) variance
    of the mixture of all other members.

    M2AC (Pan et al. 2020) takes the divergence of one random member; the mean over members is its
    expectation.

    Raises:
        ConfigError: there is a single member.
    """
    count = members.mean.shape[0]
    if count < 2:
        raise ConfigError(
            "leave_one_out_kl compares members, but the ensemble has a single elite: use at least 2"
        )
    # in double precision: the difference of squares below cancels where members differ by much more
    # than their standard deviations
    mean, variance = members.mean.double(), members.variance.double()
    mean = mean - mean.mean(0)
    others_mean = (mean.sum(0) - mean) / (count - 1)
    second_moment = variance + mean.square()
    others_second = (second_moment.sum(0) - second_moment) / (count - 1)
    others_variance = others_second - others_mean.square()
    ratio = variance / others_variance
    distance = (mean - others_mean).square() / others_variance
    return (0.5 * (ratio - 1 - ratio.log() + distance)).sum(-1).mean(0).to(members.mean.dtype)


def log_likelihood_variance(members: Members, sample: Tensor | None = None) -> Tensor:
    """Var_i log N(x; mu_i, Sigma_i) over members (population variance), (batch,), at the drawn next
    observation and reward x.

    Raises:
        ConfigError: `sample` is None.
    """
    if sample is None:
        raise ConfigError(
            "log_likelihood_variance needs the drawn next observation and reward: give sample "
            "(batch, observation + 1)"
        )
    density = -0.5 * (
        members.variance.log() + (sample - members.mean).square() / members.variance
    ).sum(-1)
    return density.var(
        0, correction=0
    )  # without the constant of the density, equal for all members


def _mixture_variance(members: Members) -> Tensor:
    """Variance of the mixture of all members, (batch, observation + 1): mean_i Sigma_i + Var_i
    mu_i, equal to Sigma* above, but without its cancellation.
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
    """The penalty called `name`.

    Raises:
        ConfigError: there is none; the message lists the names.
    """
    if name not in PENALTIES:
        near = did_you_mean(name, PENALTIES)
        raise ConfigError(
            f"no uncertainty penalty is called '{name}'{near}: choose one of {', '.join(PENALTIES)}"
        )
    return PENALTIES[name]
