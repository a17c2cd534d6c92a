"""Value in models whose rollouts can be computed by hand."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.planners.offline.estimation.builders import Linear
from worldplan.envs.dynamics.termination import never
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.estimation import value_in_models
from worldplan.world_models.ensemble import GaussianEnsemble


def drifting(rewards, drift=1.0) -> GaussianEnsemble:
    """Members that move by `drift` and pay a constant each, without noise; member 0 is no elite."""
    ensemble = GaussianEnsemble(1, 1, members=len(rewards) + 1, elites=len(rewards), hidden=(4,))
    with torch.no_grad():
        for weight in ensemble.weights:
            weight.zero_()
        ensemble.biases[-1].fill_(-50.0)  # log variances, below their bounds
        ensemble.biases[-1][:, 0, 0] = drift
        ensemble.biases[-1][:, 0, 1] = torch.tensor([1000.0, *rewards])
        ensemble.min_log_variance.fill_(-60.0)
        ensemble.elites.copy_(torch.arange(1, len(rewards) + 1))
    return ensemble.requires_grad_(False)


def test_returns_are_those_of_every_elite_over_the_whole_length():
    starts = np.array([[0.0], [0.5]])
    estimate = value_in_models(drifting([1.0, 2.0, 6.0]), never, starts, [Linear(0.0)], steps=7)[0]
    np.testing.assert_allclose(estimate.replicates, [7, 14, 42], rtol=1e-5)
    half = stats.t.ppf(0.975, 2) * np.std([7, 14, 42], ddof=1)
    assert (estimate.low, estimate.high) == pytest.approx((21 - half, 21 + half), rel=1e-5)


def test_terminations_and_discount():
    def beyond(observation, action, following):
        return following[:, 0] > 2.8

    starts = np.array([[0.0], [-1.0]])  # 3 and 4 steps
    estimate = value_in_models(
        drifting([1.0, 2.0]), beyond, starts, [Linear(0.0)], steps=50, discount=0.5
    )[0]
    one = (1.75 + 1.875) / 2
    np.testing.assert_allclose(estimate.replicates, [one, 2 * one], rtol=1e-5)


def test_policies_share_the_noise_and_are_told_apart():
    ensemble = GaussianEnsemble(
        1, 1, members=3, elites=2, hidden=(8,), generator=torch.Generator().manual_seed(0)
    ).requires_grad_(False)
    same, again, other = value_in_models(
        ensemble,
        never,
        np.linspace(-1, 1, 5)[:, None],
        [Linear(0.3), Linear(0.3), Linear(2.0)],
        steps=5,
    )
    assert same.replicates.tolist() == again.replicates.tolist() != other.replicates.tolist()


def test_rollouts_that_leave_all_numbers_are_named():
    ensemble = drifting([1.0, 2.0], drift=float("inf"))
    estimate = value_in_models(ensemble, never, np.zeros((3, 1)), [Linear(0.0)], steps=4)[0]
    assert "6 of 6 rollouts" in estimate.note and estimate.mean == 0


def test_a_single_elite_has_no_interval():
    estimate = value_in_models(drifting([1.0]), never, np.zeros((3, 1)), [Linear(0.0)], steps=4)[0]
    assert np.isnan(estimate.low) and "single elite" in estimate.note


@pytest.mark.parametrize(
    "changes", [{"steps": 0}, {"discount": 0.0}, {"discount": 1.5}, {"seed": -1}]
)
def test_wrong_arguments_are_refused(changes):
    arguments = {"steps": 3} | changes
    with pytest.raises(ConfigError):
        value_in_models(drifting([1.0]), never, np.zeros((3, 1)), [Linear(0.0)], **arguments)


def test_starts_of_another_task_are_refused():
    with pytest.raises(ConfigError):
        value_in_models(drifting([1.0]), never, np.zeros((3, 2)), [Linear(0.0)], steps=2)
    with pytest.raises(ConfigError):
        value_in_models(drifting([1.0]), never, np.zeros((0, 1)), [Linear(0.0)], steps=2)
