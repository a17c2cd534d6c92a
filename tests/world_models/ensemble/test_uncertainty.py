"""Every penalty against a slow loop over members and rows, and properties for any ensemble."""

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


def slow_max_aleatoric(mean: np.ndarray, variance: np.ndarray, sample: np.ndarray) -> float:
    return max(float(np.linalg.norm(np.diag(row), "fro")) for row in variance)


def slow_max_pairwise_difference(
    mean: np.ndarray, variance: np.ndarray, sample: np.ndarray
) -> float:
    return max(
        math.sqrt(sum((a - b) ** 2 for a, b in zip(first, second, strict=True)))
        for first in mean
        for second in mean
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
def test_a_penalty_is_its_formula(name: str, seed: int, members: int, batch: int, out: int) -> None:
    predicted, sample = drawn(seed, members, batch, out)
    actual = penalty(name)(predicted, sample)
    slow = [
        SLOW[name](*(part.numpy() for part in (mean, variance, sample[row])))
        for row, (mean, variance) in enumerate(
            zip(predicted.mean.transpose(0, 1), predicted.variance.transpose(0, 1), strict=True)
        )
    ]
    np.testing.assert_allclose(actual.numpy(), slow, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SLOW)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 6))
def test_no_penalty_is_negative_or_depends_on_the_order_of_members(
    name: str, seed: int, members: int
) -> None:
    predicted, sample = drawn(seed, members, 5, 4)
    actual = penalty(name)(predicted, sample)
    assert (actual >= -1e-12).all()
    shuffle = torch.randperm(members, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        penalty(name)(Members(predicted.mean[shuffle], predicted.variance[shuffle]), sample), actual
    )


@pytest.mark.parametrize("name", SLOW)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 6))
def test_penalties_of_members_that_agree(name: str, seed: int, members: int) -> None:
    """Disagreement is zero; penalties that include noise keep the noise."""
    single, sample = drawn(seed, 1, 5, 4)
    actual = penalty(name)(
        Members(single.mean.repeat(members, 1, 1), single.variance.repeat(members, 1, 1)), sample
    )
    expected = {
        "max_aleatoric": single.variance[0].square().sum(1).sqrt(),
        "ensemble_variance": single.variance[0].square().sum(1).sqrt(),
        "ensemble_std": single.variance[0].sum(1).sqrt(),
    }
    torch.testing.assert_close(actual, expected.get(name, torch.zeros(5, dtype=torch.float64)))


@pytest.mark.parametrize("name", SLOW)
def test_float32_suffices_for_members_that_differ_with_little_variance(name: str) -> None:
    predicted, sample = drawn(3, 4, 6, 3)
    single = Members((30 * predicted.mean).float(), (1e-4 * predicted.variance).float())
    double = Members(single.mean.double(), single.variance.double())
    exact = penalty(name)(double, (30 * sample).float().double())
    torch.testing.assert_close(
        penalty(name)(single, (30 * sample).float()).double(), exact, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("name", SLOW)
def test_nan_of_a_member_gives_nan(name: str) -> None:
    predicted, sample = drawn(0, 3, 4, 2)
    predicted.mean[1, 2, 0], predicted.variance[1, 2, 0] = torch.nan, torch.nan
    assert torch.isnan(penalty(name)(predicted, sample)).tolist() == [False, False, True, False]


def test_missing_inputs_and_unknown_names_are_named() -> None:
    predicted, _ = drawn(0, 1, 4, 2)
    with pytest.raises(ConfigError, match="needs the drawn"):
        penalty("log_likelihood_variance")(predicted, None)
    with pytest.raises(ConfigError, match="at least 2"):
        penalty("leave_one_out_kl")(predicted, None)
    with pytest.raises(ConfigError, match=r"'entropy'.*max_aleatoric.*ensemble_std"):
        penalty("entropy")
