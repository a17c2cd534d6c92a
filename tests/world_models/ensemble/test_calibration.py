"""Calibration and recalibration of ensembles whose miscalibration is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import CheckpointError, DatasetError
from worldplan.world_models.ensemble.calibration import (
    LEVELS,
    QUANTILES,
    calibration_error,
    fit_recalibration,
    is_covered,
    log_score,
    move_draws,
    normal_scores,
    recalibrate,
)
from worldplan.world_models.ensemble.model import GaussianEnsemble, load_ensemble
from worldplan.world_models.training.checkpoints import load_tensors, save_tensors

ROWS = 4000
STANDARD_ERRORS = 4.0  # that a share may be off: of the judged rows and of the fitted ones


def elites(rows: int, columns: int, generator: np.random.Generator, spread: float) -> Members:
    """Five elites; their means differ by `spread` standard deviations."""
    scale = np.exp(generator.normal(size=(5, rows, columns)) / 3)
    mean = generator.normal(size=(rows, columns)) + spread * generator.normal(
        size=(5, rows, columns)
    )
    return Members(torch.from_numpy(mean), torch.from_numpy(scale**2))


def same_elites(rows: int, columns: int, generator: np.random.Generator) -> Members:
    """Elites that agree, so that the mixture is a Gaussian."""
    single = elites(rows, columns, generator, 0.0)
    return Members(
        single.mean[:1].expand(5, -1, -1).clone(), single.variance[:1].expand(5, -1, -1).clone()
    )


def shares(scores: torch.Tensor) -> np.ndarray:
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    return is_covered(scores, levels).double().mean(1).numpy()


def binomial(level: float) -> float:
    """Tolerance of a share that was fitted on ROWS rows and judged on as many."""
    return STANDARD_ERRORS * math.sqrt(2 * level * (1 - level) / ROWS)


@pytest.mark.parametrize("seed", range(4))
def test_a_known_miscalibration_is_measured_and_mended(seed: int) -> None:
    """Truths with f times the predicted standard deviation: the share in an interval of level p is
    2 Phi(z / f) - 1, and p after recalibration, on other rows than those of the fit.
    """
    rng = np.random.default_rng(seed)
    factors = np.array([0.05, 0.3, 1.0, 1.7, 6.0])
    parts = []
    for _ in range(2):
        members = same_elites(ROWS, len(factors), rng)
        noise = members.variance[0].sqrt().numpy() * factors * rng.normal(size=(ROWS, len(factors)))
        parts.append((members, members.mean[0] + torch.from_numpy(noise)))
    before = normal_scores(*parts[1])
    after = recalibrate(fit_recalibration(normal_scores(*parts[0])), before)
    for level, measured, mended in zip(LEVELS, shares(before), shares(after), strict=True):
        expected = 2 * stats.norm.cdf(stats.norm.ppf((1 + level) / 2) / factors) - 1
        np.testing.assert_allclose(measured, expected, atol=binomial(0.5))
        np.testing.assert_allclose(mended, level, atol=binomial(level))
    assert (calibration_error(after) < 0.02).all()


@pytest.mark.parametrize("spread", [0.5, 2.0])
@pytest.mark.parametrize("noise", ["student", "biased", "skewed"])
def test_any_distribution_of_truths_is_mended(spread: float, noise: str) -> None:
    """Elites that disagree, and truths that are no Gaussian around them."""
    rng = np.random.default_rng(5)

    def draw(rows: int) -> np.ndarray:
        if noise == "student":
            return rng.standard_t(2, size=(rows, 3))
        if noise == "biased":
            return 0.3 * rng.normal(size=(rows, 3)) + 1.0
        return rng.exponential(size=(rows, 3))

    parts = []
    for _ in range(2):
        members = elites(ROWS, 3, rng, spread)
        parts.append((members, members.mean.mean(0) + torch.from_numpy(draw(ROWS))))
    quantiles = fit_recalibration(normal_scores(*parts[0]))
    after = recalibrate(quantiles, normal_scores(*parts[1]))
    for level, mended in zip(LEVELS, shares(after), strict=True):
        np.testing.assert_allclose(mended, level, atol=binomial(level))
    assert log_score(*parts[1], quantiles).mean() < log_score(*parts[1]).mean()


def test_members_that_are_calibrated_each_make_a_mixture_that_is_too_wide() -> None:
    """Elites with independent errors of the predicted size: 50 % intervals of each hold half of the
    truths, those of the mixture many more.
    """
    rng = np.random.default_rng(0)
    members = Members(torch.from_numpy(rng.normal(size=(5, ROWS, 1))), torch.ones(5, ROWS, 1))
    truth = torch.zeros(ROWS, 1)
    single = shares(normal_scores(Members(members.mean[:1], members.variance[:1]), truth))[0, 0]
    assert single == pytest.approx(0.5, abs=binomial(0.5))
    assert shares(normal_scores(members, truth))[0, 0] > 0.8


def test_mixture_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    members = elites(30, 2, rng, 1.0)
    truth = rng.normal(size=(30, 2))
    transformed = torch.special.ndtr(normal_scores(members, torch.from_numpy(truth))).numpy()
    score = log_score(members, torch.from_numpy(truth)).numpy()
    for row in range(30):
        for column in range(2):
            parts = [
                stats.norm(
                    float(members.mean[i, row, column]),
                    float(members.variance[i, row, column]) ** 0.5,
                )
                for i in range(5)
            ]
            y = truth[row, column]
            assert transformed[row, column] == pytest.approx(np.mean([p.cdf(y) for p in parts]))
            density = logsumexp([p.logpdf(y) for p in parts]) - math.log(5)
            assert score[row, column] == pytest.approx(-density)


def test_a_recalibrated_density_integrates_to_one() -> None:
    rng = np.random.default_rng(2)
    members = elites(1, 1, rng, 1.0)
    quantiles = fit_recalibration(torch.from_numpy(rng.normal(1, 0.5, size=(500, 1))))
    grid = torch.linspace(-40, 40, 400_001, dtype=torch.float64)[:, None]
    wide = Members(
        members.mean.expand(-1, len(grid), -1), members.variance.expand(-1, len(grid), -1)
    )
    density = (-log_score(wide, grid, quantiles)).exp()[:, 0]
    assert float(torch.trapezoid(density, grid[:, 0])) == pytest.approx(1, abs=1e-3)


def test_moved_draws_have_the_recalibrated_distribution() -> None:
    rng = np.random.default_rng(3)
    members = elites(ROWS, 3, rng, 1.0)
    choice = rng.integers(5, size=ROWS)
    mean, deviation = (
        members.mean[choice, np.arange(ROWS)],
        members.variance[choice, np.arange(ROWS)].sqrt(),
    )
    drawn = mean + deviation * torch.from_numpy(rng.normal(size=(ROWS, 3)))
    quantiles = fit_recalibration(
        torch.from_numpy(rng.normal([0, 1, -2], [0.2, 1, 3], size=(9000, 3)))
    )
    moved = move_draws(quantiles, members, drawn)
    levels = recalibrate(quantiles, normal_scores(members, moved)).numpy()
    for column in range(3):
        assert stats.kstest(levels[:, column], "norm").pvalue > 1e-3
        # a greater draw of the same prediction stays the greater one
    np.testing.assert_allclose(levels, normal_scores(members, drawn).numpy(), atol=1e-9)


def test_the_identity_moves_nothing_and_infinite_numbers_pass() -> None:
    rng = np.random.default_rng(4)
    members = elites(50, 2, rng, 1.0)
    drawn = members.mean[2] + 3 * members.variance[2].sqrt()
    levels = torch.arange(1, QUANTILES + 1, dtype=torch.float64) / (QUANTILES + 1)
    even = torch.special.ndtri(levels).expand(2, -1).contiguous()
    torch.testing.assert_close(move_draws(even, members, drawn), drawn, rtol=1e-6, atol=1e-6)
    members.mean[:, 0] = torch.nan
    assert move_draws(even, members, drawn.float())[1:].isfinite().all()
    drawn[0] = torch.nan
    assert move_draws(even, members, drawn)[0].isnan().all()


def test_columns_without_spread_and_few_rows() -> None:
    quantiles = fit_recalibration(torch.full((100, 2), 0.5, dtype=torch.float64))
    assert (quantiles.diff(dim=1) > 0).all()
    assert recalibrate(quantiles, torch.full((1, 2), 0.5).double()).abs().max() < 1e-6
    with pytest.raises(DatasetError, match="39 held-out rows are too few"):
        fit_recalibration(torch.rand(39, 2, dtype=torch.float64))


def small() -> GaussianEnsemble:
    generator = torch.Generator().manual_seed(0)
    return GaussianEnsemble(3, 2, members=3, elites=2, hidden=(8,), generator=generator)


def test_a_recalibrated_ensemble_is_stored_and_draws_differently(tmp_path: Path) -> None:
    ensemble = small()
    ensemble.trained_on = {"seed": 4, "environment": "Own-v0"}
    ensemble.save(tmp_path / "plain.ckpt")
    assert "recalibration" not in load_tensors(tmp_path / "plain.ckpt")["ensemble"]
    rng = np.random.default_rng(0)
    ensemble.recalibration = fit_recalibration(torch.from_numpy(rng.normal(0, 0.3, size=(999, 4))))
    ensemble.save(tmp_path / "new.ckpt")
    plain, new = (load_ensemble(tmp_path / name) for name in ("plain.ckpt", "new.ckpt"))
    assert new.recalibration is not None and torch.equal(new.recalibration, ensemble.recalibration)
    assert new.trained_on == plain.trained_on == ensemble.trained_on
    rows = torch.randn(200, 3), torch.randn(200, 2)
    draws = []
    for model in (plain, new):
        for members in (False, True):
            generator = torch.Generator().manual_seed(1)
            sample, elites = model.sample_elite(*rows, generator=generator, members=members)
            draws.append(sample)
            assert (elites is not None) is members
    torch.testing.assert_close(draws[0], draws[1])
    assert torch.equal(draws[2], draws[3])
    mean = plain(*rows, plain.elites).mean.mean(0)
    assert (draws[3] - mean).square().mean() < 0.6 * (draws[0] - mean).square().mean()


@pytest.mark.parametrize(
    "damage",
    [torch.ones(4, 39), torch.arange(117.0).view(3, 39), "text", torch.full((4, 39), torch.nan)],
)
def test_a_damaged_recalibration_is_refused(tmp_path: Path, damage: object) -> None:
    saved = small().checkpoint()
    save_tensors({"ensemble": saved | {"recalibration": damage}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="recalibration is no rising row"):
        load_ensemble(tmp_path / "x.ckpt")


@pytest.mark.parametrize("apart", [0.0, 50.0, 1e4])
@pytest.mark.parametrize("width", [1e-4, 30.0])
def test_moved_draws_are_found_for_elites_that_are_far_apart(apart: float, width: float) -> None:
    """Newton's method meets flat stretches between the elites, and narrow peaks."""
    rng = np.random.default_rng(6)
    members = elites(300, 2, rng, 0.0)
    mean = members.mean + apart * torch.arange(5.0).double()[:, None, None]
    scale = members.variance * width ** (torch.arange(5.0).double()[:, None, None] / 2)
    members = Members(mean, scale)
    choice = rng.integers(5, size=300)
    noise = torch.from_numpy(rng.normal(size=(300, 2)))
    drawn = mean[choice, np.arange(300)] + scale[choice, np.arange(300)].sqrt() * noise
    quantiles = fit_recalibration(torch.from_numpy(rng.normal([0.5, 0], [0.4, 2.5], (999, 2))))
    moved = move_draws(quantiles, members, drawn)
    levels = recalibrate(quantiles, normal_scores(members, moved))
    wanted = normal_scores(members, drawn)
    # scores may be steep between two values of double precision, but on either side of the target
    step = 1e-6 * scale.amin(0).sqrt() + 1e-9 * moved.abs()
    below = recalibrate(quantiles, normal_scores(members, moved - step))
    above = recalibrate(quantiles, normal_scores(members, moved + step))
    assert ((below <= wanted + 1e-6) & (wanted <= above + 1e-6)).all()
    assert ((levels - wanted).abs() < 1e-3).double().mean() > 0.99
