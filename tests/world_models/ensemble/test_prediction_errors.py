"""One-step and k-step errors against plain loops, rank correlations against scipy, and rows of the
true simulator.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.world_models.ensemble.test_ensemble_training import SMALL, transitions
from worldplan.envs.dynamics.model import Members
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.collection.collect import collect_transitions
from worldplan.world_models.collection.settings import CollectionSettings
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.held_out import HeldOut
from worldplan.world_models.ensemble.model import GaussianEnsemble
from worldplan.world_models.ensemble.penalty_ranks import (
    penalties_of,
    rank_correlations,
    true_error,
)
from worldplan.world_models.ensemble.prediction_errors import open_loop_errors, steps_left
from worldplan.world_models.ensemble.resampling import halves, share_intervals
from worldplan.world_models.ensemble.simulated_rows import check_simulator, simulate_beyond
from worldplan.world_models.ensemble.training import EnsembleModule


def untrained(data: Transitions) -> GaussianEnsemble:
    return EnsembleModule(data, SMALL, 0).best.requires_grad_(False)


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    seed=st.integers(0, 99),
    share=st.floats(0.2, 1),
)
def test_steps_left_against_a_loop(lengths: list[int], seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    last = np.append(np.diff(episode) != 0, True)
    count = len(episode)
    none, zeros = np.zeros(count, bool), np.zeros((count, 1))
    data = Transitions(zeros, zeros, np.zeros(count), zeros, none, last, episode)
    rows = np.flatnonzero(rng.random(count) < share)
    if not len(rows):
        return
    chosen = set(rows.tolist())
    for row, left in zip(rows.tolist(), steps_left(data, rows).tolist(), strict=True):
        expected = 1
        while row + expected in chosen and episode[row + expected] == episode[row]:
            expected += 1
        assert left == expected


@pytest.mark.parametrize("rows", [np.arange(400), np.r_[3:9, 20:40, 47:60, 100, 101, 399]])
def test_open_loop_errors_against_a_loop(rows: np.ndarray) -> None:
    """From every row, the mean of the elites' means is fed back with the recorded actions."""
    data = transitions()
    ensemble, horizon = untrained(data), 7
    errors = open_loop_errors(ensemble, data, rows, horizon, torch.Generator().manual_seed(0))
    squares: list[list[np.ndarray]] = [[] for _ in range(horizon)]
    moves: list[list[np.ndarray]] = [[] for _ in range(horizon)]
    for row in rows:
        state = torch.from_numpy(data.observation[[row]])
        for step in range(horizon):
            now = row + step
            if now not in rows or data.episode[now] != data.episode[row]:
                break
            members = ensemble(state, torch.from_numpy(data.action[[now]]), ensemble.elites)
            predicted = members.mean.mean(0)[0].numpy()
            truth = np.append(data.next_observation[now], data.reward[now])
            squares[step].append((predicted - truth) ** 2)
            moves[step].append(truth - np.append(data.observation[row], 0))
            state = torch.from_numpy(predicted[None, :-1])
    assert errors.starts.tolist() == [len(part) for part in squares]
    for step in range(horizon):
        np.testing.assert_allclose(errors.mean[step], np.mean(squares[step], 0) ** 0.5, rtol=1e-3)
        np.testing.assert_allclose(errors.change[step], np.std(moves[step], 0), rtol=1e-4)
    assert (errors.drawn[0] > errors.mean[0]).all(), "noise adds to the error"


@pytest.mark.parametrize("horizon", [0, 21])
def test_a_horizon_longer_than_every_episode_is_refused(horizon: int) -> None:
    data = transitions()
    with pytest.raises(ConfigError, match=r"20: give a number from 1 to 20"):
        open_loop_errors(untrained(data), data, np.arange(400), horizon, torch.Generator())


def test_few_long_runs_are_always_among_the_starts() -> None:
    """Of 400 rows, only one begins a run of 20 steps."""
    data = transitions()
    rows = np.r_[0:20, 21:39, 41:59]
    errors = open_loop_errors(untrained(data), data, rows, 20, torch.Generator(), starts=3)
    assert errors.starts[-1] == 1


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlations_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(300, 2)), rng.normal(size=(300, 3))
    second[:, 1:] += seed * first
    first, second = (np.round(side, seed % 3) for side in (first, second))  # ties
    result = rank_correlations(first, second, np.arange(300), rng)
    for place in range(2):
        for other in range(3):
            expected = stats.spearmanr(first[:, place], second[:, other]).statistic
            assert result.value[place, other] == pytest.approx(expected)
            assert result.low[place, other] < expected < result.high[place, other]
    interval = stats.bootstrap(
        (first[:, 0], second[:, 0]), lambda a, b: stats.spearmanr(a, b).statistic, paired=True,
        n_resamples=200, vectorized=False, method="percentile", rng=rng,
    ).confidence_interval  # fmt: skip
    width = result.high[0, 0] - result.low[0, 0]
    assert width == pytest.approx(interval.high - interval.low, rel=0.4)


def test_rows_of_one_episode_that_are_alike_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    x, y = (np.repeat(rng.normal(size=(30, 1)), 20, axis=0) for _ in range(2))
    by_row = rank_correlations(x, y, np.arange(600), rng)
    by_episode = rank_correlations(x, y, np.repeat(np.arange(30), 20), rng)
    assert by_episode.high - by_episode.low > 3 * (by_row.high - by_row.low)


def test_a_constant_column_and_nan_have_no_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    first = np.column_stack([np.ones(50), rng.normal(size=50), rng.normal(size=50)])
    first[3, 2] = np.nan
    result = rank_correlations(first, rng.normal(size=(50, 1)), np.arange(50), rng)
    for part in (result.value, result.low, result.high):
        assert np.isnan(part[:, 0]).tolist() == [True, False, True]


def test_penalties_and_true_errors() -> None:
    generator = torch.Generator().manual_seed(0)
    members = Members(
        torch.randn(4, 50, 3, generator=generator), torch.rand(4, 50, 3, generator=generator) + 0.1
    )
    truth = torch.randn(50, 3, generator=generator)
    assert all(values.shape == (50,) for values in penalties_of(members, truth).values())
    single = Members(members.mean[:1], members.variance[:1])
    assert set(penalties_of(members, truth)) - set(penalties_of(single, truth)) == {
        "leave_one_out_kl"
    }
    scale = torch.tensor([1.0, 2.0, 0.5])
    expected = [
        np.linalg.norm((members.mean[:, row].mean(0) - truth[row]) / scale) for row in range(50)
    ]
    np.testing.assert_allclose(true_error(members, truth, scale), expected, rtol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("lengths", [[1] * 50, [30, 5, 5, 5, 5], [40], [20, 30], [3, 90, 3, 3, 3]])
def test_halves(whole: bool, lengths: list[int]) -> None:
    episode = np.repeat(np.arange(len(lengths)), lengths)
    held_out = HeldOut(np.arange(len(episode)), whole, "")
    first, second = halves(held_out, episode, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(len(episode)))
    if whole and len(lengths) >= 4:
        assert not set(episode[first]) & set(episode[second])
    if max(lengths) < 0.5 * len(episode) or len(lengths) < 4 or not whole:
        assert min(len(first), len(second)) >= 0.25 * len(episode)


def test_share_intervals_hold_the_share_of_independent_rows() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        hits = rng.random((200, 1)) < 0.3
        _, low, high = share_intervals(hits, np.arange(200), rng, resamples=200)
        inside += int(low[0] <= 0.3 <= high[0])
    assert 86 <= inside <= 100
    assert np.isnan(share_intervals(hits, np.zeros(200), rng)[1]).all(), "a single episode"


# --- the true simulator ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory) -> Transitions:
    settings = CollectionSettings(env_id="Hopper-v5", policy="random", steps=600)
    return collect_transitions(settings, tmp_path_factory.mktemp("hopper") / "run")


def test_simulated_rows_are_true_and_leave_the_data(hopper: Transitions) -> None:
    simulator, rows = MujocoDynamics("Hopper-v5", threads=1), np.arange(len(hopper))
    check_simulator(simulator, hopper, rows)
    low, high = -np.ones(3), np.ones(3)
    beyond = simulate_beyond(
        simulator, hopper, rows, low, high, torch.Generator().manual_seed(0), starts=40, steps=8
    )
    first = beyond.step == 0
    assert first.sum() == 40 and beyond.step.max() == 7
    # the rows of a rollout follow each other, with one action
    for rollout in range(40):
        chosen = np.flatnonzero(beyond.rollout == rollout)
        assert beyond.step[chosen].tolist() == list(range(len(chosen)))
        assert (beyond.action[chosen] == beyond.action[chosen[0]]).all()
        assert torch.equal(beyond.observation[chosen[1:]], beyond.truth[chosen[:-1], :-1])
    known = {row.tobytes() for row in hopper.observation}
    assert all(row.tobytes() in known for row in beyond.observation[first].numpy())


@pytest.mark.parametrize("what", ["forward_reward_weight", "frame_skip", "other actions"])
def test_a_simulator_that_does_not_reproduce_the_data_is_refused(
    hopper: Transitions, what: str
) -> None:
    options = {"forward_reward_weight": {what: 2.0}, "frame_skip": {what: 2}}.get(what, {})
    simulator, data = MujocoDynamics("Hopper-v5", threads=1, **options), hopper
    if what == "other actions":
        data = replace(hopper, action=-hopper.action)
    with pytest.raises(DatasetError, match="the simulator does not reproduce the data: "):
        check_simulator(simulator, data, np.arange(len(data)))
