"""Fitted Q evaluation against values in closed form, and against a plain step of every network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests.planners.offline.estimation.builders import (
    Linear,
    Right,
    chain_data,
    linear_data,
    linear_value,
)
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.offline.estimation import (
    Estimate,
    FittedQSettings,
    fitted_q_evaluation,
)
from worldplan.planners.offline.estimation.fitted_q import _Fit, _resampled, _rows_of

QUICK = FittedQSettings(networks=6, hidden=(64, 64), discount=0.9, updates=1600, batch=128)


def test_values_of_a_linear_system_are_those_in_closed_form_and_ranked():
    data, gains = linear_data(100, 20, seed=0), (0.0, 0.8)
    estimates = fitted_q_evaluation(data, [Linear(gain) for gain in gains], QUICK)
    starts = data.observation[data.starts, 0]
    for gain, estimate in zip(gains, estimates, strict=True):
        truth = linear_value(starts, gain, QUICK.discount).mean()
        assert abs(estimate.mean - truth) < 0.2
        assert estimate.low < truth < estimate.high and estimate.note == ""
    assert estimates[1].low > estimates[0].mean


def test_value_of_a_chain_that_terminates():
    """Four steps to the end: gamma^3 at the start."""
    quick = replace(QUICK, updates=800, networks=4)
    estimate = fitted_q_evaluation(chain_data(40, seed=0), [Right()], quick)[0]
    assert estimate.mean == pytest.approx(0.9**3, abs=0.04)


@pytest.mark.slow
def test_intervals_cover_the_truth_in_most_of_many_datasets():
    longer, covered = replace(QUICK, updates=4000), []
    for seed in range(12):
        data = linear_data(25, 20, seed)
        estimate = fitted_q_evaluation(data, [Linear(0.8)], longer, seed=seed)[0]
        # of the task: starts are uniform in [-1, 1], not those of the data
        truth = linear_value(np.linspace(-1, 1, 2001), 0.8, QUICK.discount).mean()
        covered.append(estimate.low <= truth <= estimate.high)
    assert sum(covered) >= 10


def test_weights_after_a_step_are_those_of_plain_networks():
    """Every network on its own, with autograd and plain Adam, on the same rows."""
    data, policies = linear_data(5, 4, seed=1), [Linear(0.2), Linear(0.5)]
    settings = FittedQSettings(networks=2, hidden=(8,), discount=0.8, batch=5)
    fit = _Fit(data, policies, settings, seed=3)
    rows = torch.tensor([[0, 3, 3, 7, 19], [4, 4, 1, 2, 11]])
    expected = []
    for index in range(4):
        weights = [w[index].detach().clone().requires_grad_() for w in fit.network.weights]
        biases = [b[index].detach().clone().requires_grad_() for b in fit.network.biases]
        chosen = rows[index % 2].numpy()
        action = policies[index // 2].gain * -data.next_observation[chosen]

        def q(observation, action, weights=weights, biases=biases):
            raw = np.concatenate([observation, action], 1)
            hidden = torch.from_numpy(((raw - fit.mean) / fit.std).astype(np.float32))
            return ((hidden @ weights[0] + biases[0]).relu() @ weights[1] + biases[1])[:, 0]

        scaled = torch.from_numpy(data.reward[chosen]) * 0.2 / fit.scale
        target = (scaled + 0.8 * q(data.next_observation[chosen], action)).detach()
        target = target.clamp(*fit.bounds)
        adam = torch.optim.Adam([*weights, *biases], settings.rate)
        (q(data.observation[chosen], data.action[chosen]) - target).square().mean().backward()
        adam.step()
        expected.append((weights, biases))
    before = [p.detach().clone() for p in fit.target.parameters()]
    fit._step(rows)
    for index, (weights, biases) in enumerate(expected):
        for ours, theirs in zip(
            [*fit.network.weights, *fit.network.biases], [*weights, *biases], strict=True
        ):
            torch.testing.assert_close(ours[index], theirs, rtol=1e-4, atol=1e-6)
    for old, new, now in zip(
        before, fit.target.parameters(), fit.network.parameters(), strict=True
    ):
        torch.testing.assert_close(new, old.lerp(now.detach(), settings.target_rate))


def test_bootstraps_resample_whole_episodes():
    counts = _resampled(7, 3, seed=0)
    assert (counts.sum(1) == 7).all()
    rows, available = _rows_of(np.array([[2, 0, 1], [0, 3, 0]]), np.array([2, 1, 3]))
    assert sorted(rows[0].tolist()) == [0, 0, 1, 1, 3, 4, 5]
    assert rows[1, :3].tolist() == [2, 2, 2] and available.tolist() == [7.0, 3.0]


def test_estimates_do_not_depend_on_their_neighbours_and_repeat():
    data = linear_data(12, 10, seed=2)
    quick = FittedQSettings(networks=3, hidden=(8,), discount=0.9, updates=60, batch=16)
    alone = fitted_q_evaluation(data, [Linear(0.3)], quick, seed=5)[0]
    again = fitted_q_evaluation(data, [Linear(0.3)], quick, seed=5)[0]
    assert alone.replicates.tolist() == again.replicates.tolist()
    assert fitted_q_evaluation(data, [Linear(0.3)], quick, seed=6)[0].mean != alone.mean
    assert "still moving" in alone.note or alone.note == ""


def test_interval_is_that_of_student():
    values = np.array([1.0, 2.0, 4.0])
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1)
    estimate = Estimate.of(values)
    assert (estimate.low, estimate.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert np.isnan(Estimate.of(np.array([3.0])).low)


def test_rewards_of_zero_and_few_episodes():
    data = linear_data(3, 5, seed=0)
    still = type(data)(
        data.observation,
        data.action,
        np.zeros(len(data)),
        data.next_observation,
        data.terminated,
        data.truncated,
        data.episode,
    )
    quick = FittedQSettings(networks=2, hidden=(4,), updates=8, batch=4)
    estimate = fitted_q_evaluation(still, [Linear(0.1)], quick)[0]
    assert estimate.mean == 0 and "3 episodes only" in estimate.note


@pytest.mark.parametrize(
    "changes",
    [
        {"networks": 0},
        {"updates": 0},
        {"batch": 0},
        {"hidden": ()},
        {"hidden": (0,)},
        {"discount": 1.0},
        {"discount": 0.0},
        {"rate": 0.0},
        {"target_rate": 0.0},
        {"target_rate": 1.5},
        {"rate": "fast"},
    ],
)
def test_wrong_settings_are_refused(changes):
    with pytest.raises(ConfigError):
        FittedQSettings(**changes)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(DatasetError, match="single episode"):
        fitted_q_evaluation(linear_data(1, 5, seed=0), [Linear(0.1)], QUICK)

    class Wide(Linear):
        def plan_batch(self, observations):
            return [
                type(d)(np.zeros(2), None, None, "heuristic", 0.0)
                for d in super().plan_batch(observations)
            ]

    with pytest.raises(ConfigError, match="data of the task"):
        fitted_q_evaluation(linear_data(3, 5, seed=0), [Wide(0.1)], QUICK)
    with pytest.raises(ConfigError, match="not finite"):
        fitted_q_evaluation(linear_data(3, 5, seed=0), [Linear(np.nan)], QUICK)
