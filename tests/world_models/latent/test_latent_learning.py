"""Discrete regression, the running range of values, and random shifts of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.latent.builders import generator, images, randn
from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.augmentation import random_shift
from worldplan.world_models.latent.values import (
    LIMIT,
    PercentileScale,
    decode,
    regression_loss,
    symexp,
    symlog,
    two_hot,
)

# --- discrete regression --------------------------------------------------------------------------

BINS = st.integers(2, 101)
TARGETS = st.floats(-20_000, 20_000)


@settings(max_examples=200, deadline=None)
@given(TARGETS, BINS)
def test_two_hot_round_trip(target: float, bins: int) -> None:
    value = torch.tensor(target, dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(value)), value)
    weights = two_hot(value, bins)
    assert weights.shape == (bins,) and (weights >= 0).all()
    on = weights.nonzero().flatten()
    assert len(on) <= 2 and on[-1] - on[0] <= 1
    torch.testing.assert_close(weights.sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(
        decode(weights.log().clamp(min=-700), bins), value, rtol=1e-9, atol=1e-9
    )


@settings(max_examples=100, deadline=None)
@given(TARGETS, BINS, st.integers(0, 10**6))
def test_cross_entropy_is_least_at_the_target(target: float, bins: int, seed: int) -> None:
    """Its gradient is softmax minus target; the logits of the target have the least loss."""
    value = torch.tensor([target], dtype=torch.float64)
    logits = randn(1, bins, seed=seed).requires_grad_()
    loss = regression_loss(logits, value, bins)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    weights = two_hot(value, bins)
    torch.testing.assert_close(gradient, torch.softmax(logits.detach(), -1) - weights)
    best = regression_loss(weights.log().clamp(min=-700), value, bins)
    assert best.item() <= loss.item() + 1e-9
    torch.testing.assert_close(best, -torch.xlogy(weights, weights).sum(-1))


def test_regression_shapes_limits_and_squared_error() -> None:
    logits, target = randn(3, 2, 5, 21), randn(3, 1, 5, seed=2)
    loss = regression_loss(logits, target, 21)
    assert loss.shape == (3, 2, 5)
    torch.testing.assert_close(loss[1, 1, 4], regression_loss(logits[1, 1, 4], target[1, 0, 4], 21))
    torch.testing.assert_close(
        regression_loss(logits[..., :1], target, 0), (logits[..., 0] - target) ** 2
    )
    torch.testing.assert_close(decode(logits[..., :1], 0), logits[..., 0])
    far = torch.tensor([1e9, -torch.inf, torch.inf])
    assert two_hot(far, 5).tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    torch.testing.assert_close(
        decode(1000 * two_hot(far, 5), 5), symexp(torch.tensor([LIMIT, -LIMIT, LIMIT]))
    )
    assert regression_loss(torch.zeros(5), torch.tensor(torch.nan), 5).isnan(), (
        "a NaN target must give a NaN loss"
    )


# --- percentiles ----------------------------------------------------------------------------------


def test_percentile_scale_against_numpy() -> None:
    scale, expected = PercentileScale(rate=0.1), 1.0
    for seed in range(5):
        values = 30 * randn(4, 50, seed=seed)
        low, high = np.percentile(values.numpy(), [5, 95])
        expected += 0.1 * (max(high - low, 1.0) - expected)
        scale.update(values)
    assert scale.value.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(
        scale(torch.tensor([2.0])), torch.tensor([2 / float(expected)]), rtol=1e-5, atol=0
    )
    for _ in range(200):
        scale.update(torch.full((10,), 7.0))  # no spread at all
    assert scale.value.item() == pytest.approx(1.0, abs=1e-3)
    restored = PercentileScale()
    restored.load_state_dict(scale.state_dict())
    assert restored.value == scale.value


# --- image shifts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("pad", [1, 3])
def test_random_shift_against_padding_and_cropping(dtype: torch.dtype, pad: int) -> None:
    """Every view of every row becomes a crop of its padded image; all shifts occur, independently
    in rows and views.
    """
    before = images(120, 2, 3, 9, 12).to(dtype)
    after = random_shift(before, pad, generator(0))
    assert (
        after.shape == before.shape
        and after.dtype == dtype
        and before.equal(images(120, 2, 3, 9, 12).to(dtype))
    )
    span, shifts = 2 * pad + 1, []
    for row in range(120):
        for view in range(2):
            padded = np.pad(
                before[row, view].numpy(), ((0, 0), (pad, pad), (pad, pad)), mode="edge"
            )
            crops = [
                (y, x)
                for y in range(span)
                for x in range(span)
                if np.array_equal(padded[:, y : y + 9, x : x + 12], after[row, view].numpy())
            ]
            assert len(crops) == 1
            shifts.append(crops[0])
    assert len(set(shifts)) == span**2
    pairs = zip(shifts[::2], shifts[1::2], strict=True)
    assert sum(first != second for first, second in pairs) > 60, "views move together"


def test_random_shift_is_reproducible_and_can_be_none() -> None:
    image = images(5, 2, 6, 16, 16)
    assert random_shift(image, 4, generator(1)).equal(random_shift(image, 4, generator(1)))
    assert not random_shift(image, 4, generator(1)).equal(random_shift(image, 4, generator(2)))
    assert (
        random_shift(image, 4, generator(1))
        .float()
        .equal(random_shift(image.float(), 4, generator(1)))
    )
    assert random_shift(image, 0, generator(1)) is image


def test_images_that_cannot_be_shifted() -> None:
    with pytest.raises(ConfigError, match="random_shift takes images"):
        random_shift(images(2, 3, 8, 8), 2)
    with pytest.raises(ConfigError, match="pad of 0 or more"):
        random_shift(images(2, 1, 3, 8, 8), -1)
