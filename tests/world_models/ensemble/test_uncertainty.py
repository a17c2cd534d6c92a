"""Every penalty against a slow loop over members and rows, and what must hold for any ensemble."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import ConfigError
from worldplan.world_models.ensemble.uncertainty import PENALTIES, penalty

Rows = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # (members, out) means, variances of one row, and the drawn (out,)


def slow_max_aleatoric(mean: np.ndarray, variance: np.ndarray, sample: np.ndarray) -> float:
    return max(float(np.linalg.norm(np.diag(row), "fro")) for row in variance)


def slow_max_pairwise_difference(
    mean: np.ndarray, variance: np.ndarray, sample: np.ndarray
) -> float:
    return max(
        math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
        for one in mean
        for other in mean
    )


def mixture(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    centre = sum(mean) / len(mean)
    return sum(v + m**2 for m, v in zip(mean, variance, strict=True)) / len(mean) - centre**2


def slow_ensemble_variance(mean: np.ndarray, variance: np.ndarray, sample: np.ndarray) -> float:
    return float(np.linalg.norm(np.diag(mixture(mean, variance)), "fro"))


def slow_ensemble_std(mean: np.ndarray, variance: np.ndarray, sample: np.ndarray) -> float:
    return float(np.linalg.norm(np.diag(np.sqrt(mixture(mean, variance))), "fro"))


def slow_leave_one_out_kl(mean: np.ndarray, variance: np.ndarray, sample: np.ndarray) -> float:
    """By the textbook formula for full covariance matrices."""
    total = 0.0
    for left_out in range(len(mean)):
        others = [i for i in range(len(mean)) if i != left_out]
        centre = np.mean([mean[i] for i in others], axis=0)
        wide, narrow = np.diag(mixture(mean[others], variance[others])), np.diag(variance[left_out])
        gap, inverse = centre - mean[left_out], np.linalg.inv(wide)
        log_ratio = math.log(np.linalg.det(wide) / np.linalg.det(narrow))
        total += 0.5 * (np.trace(inverse @ narrow) + gap @ inverse @ gap - len(gap) + log_ratio)
    return total / len(mean)


def slow_log_likelihood_variance(
    mean: np.ndarray, variance: np.ndarray, sample: np.ndarray
) -> float:
    densities = [
        stats.multivariate_normal(m, np.diag(v)).logpdf(sample)
        for m, v in zip(mean, variance, strict=True)
    ]
    return float(np.var(densities))


SLOW: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "max_aleatoric": slow_max_aleatoric,
    "max_pairwise_difference": slow_max_pairwise_difference,
    "ensemble_std": slow_ensemble_std,
    "ensemble_variance": slow_ensemble_variance,
    "leave_one_out_kl": slow_leave_one_out_kl,
    "log_likelihood_variance": slow_log_likelihood_variance,
}


def drawn(
    seed: int, members: int, batch: int, out: int, dtype: torch.dtype = torch.float64
) -> tuple[Members, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = 2 * torch.randn(members, batch, out, generator=generator, dtype=dtype)
    variance = torch.exp(torch.randn(members, batch, out, generator=generator, dtype=dtype))
    return Members(mean, variance), torch.randn(batch, out, generator=generator, dtype=dtype)


def test_every_penalty_has_its_slow_twin() -> None:
    assert SLOW.keys() == PENALTIES.keys()


@pytest.mark.parametrize("name", SLOW)
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    members=st.integers(2, 6),
    batch=st.integers(1, 4),
    out=st.integers(1, 5),
)
def test_a_penalty_is_what_its_formula_says(
    name: str, seed: int, members: int, batch: int, out: int
) -> None:
    said, sample = drawn(seed, members, batch, out)
    found = penalty(name)(said, sample)
    slow = [
        SLOW[name](said.mean[:, row].numpy(), said.variance[:, row].numpy(), sample[row].numpy())
        for row in range(batch)
    ]
    np.testing.assert_allclose(found.numpy(), slow, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SLOW)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 6))
def test_no_penalty_is_negative_or_depends_on_the_order_of_members(
    name: str, seed: int, members: int
) -> None:
    said, sample = drawn(seed, members, 5, 4)
    found = penalty(name)(said, sample)
    assert (found >= -1e-12).all()
    shuffle = torch.randperm(members, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        penalty(name)(Members(said.mean[shuffle], said.variance[shuffle]), sample), found
    )


@pytest.mark.parametrize("name", SLOW)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 6))
def test_what_is_left_when_all_members_agree(name: str, seed: int, members: int) -> None:
    """Disagreement vanishes; what measures noise as well is left with the noise."""
    one, sample = drawn(seed, 1, 5, 4)
    found = penalty(name)(
        Members(one.mean.repeat(members, 1, 1), one.variance.repeat(members, 1, 1)), sample
    )
    left = {
        "max_aleatoric": one.variance[0].square().sum(1).sqrt(),
        "ensemble_variance": one.variance[0].square().sum(1).sqrt(),
        "ensemble_std": one.variance[0].sum(1).sqrt(),
    }
    torch.testing.assert_close(found, left.get(name, torch.zeros(5, dtype=torch.float64)))


@pytest.mark.parametrize("name", SLOW)
def test_members_that_lie_far_apart_and_are_sure_lose_nothing_to_float32(name: str) -> None:
    said, sample = drawn(3, 4, 6, 3)
    single = Members((30 * said.mean).float(), (1e-4 * said.variance).float())
    double = Members(single.mean.double(), single.variance.double())
    exact = penalty(name)(double, (30 * sample).float().double())
    torch.testing.assert_close(
        penalty(name)(single, (30 * sample).float()).double(), exact, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("name", SLOW)
def test_a_member_that_says_nothing_is_not_hidden(name: str) -> None:
    said, sample = drawn(0, 3, 4, 2)
    said.mean[1, 2, 0], said.variance[1, 2, 0] = torch.nan, torch.nan
    assert torch.isnan(penalty(name)(said, sample)).tolist() == [False, False, True, False]


def test_what_is_missing_is_said() -> None:
    said, _ = drawn(0, 1, 4, 2)
    with pytest.raises(ConfigError, match="needs the drawn"):
        penalty("log_likelihood_variance")(said, None)
    with pytest.raises(ConfigError, match="at least 2"):
        penalty("leave_one_out_kl")(said, None)
    with pytest.raises(ConfigError, match=r"'entropy'.*max_aleatoric.*ensemble_std"):
        penalty("entropy")
