"""Draws of rows weighted by their episodes' returns, against known probabilities."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.planners.offline.builders import SMALL
from tests.planners.offline.test_scalers import task_of
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.replay import Batch, pack
from worldplan.planners.offline.sampling import RowSampler, episode_weights, samplers
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

LENGTHS, REWARDS = [1, 4, 2, 3], [10.0, 0.5, 3.0, -1.0]  # of a row; returns 10, 2, 6, -3


def episodes(rewards: list[float], first: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed rows with two observed numbers and one of action, and where episodes end."""
    count = sum(LENGTHS)
    number = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    observation = torch.zeros(count, 2) if first is None else torch.tensor(first)[number]
    zeros = torch.zeros(count)
    rows = Batch(
        observation,
        torch.zeros(count, 1),
        torch.tensor(rewards)[number],
        torch.zeros(count, 2),
        zeros,
        zeros,
    )
    last = torch.cat([number[1:] != number[:-1], torch.tensor([True])])
    return pack(rows), last


def expected(scores: list[float], temperature: float) -> np.ndarray:
    """Probabilities of all rows, by a loop."""
    of_rows = []
    for score, length in zip(scores, LENGTHS, strict=True):
        good = (score - min(scores)) / (max(scores) - min(scores))
        of_rows += [np.exp((good - 1) / temperature)] * length
    return np.array(of_rows) / np.sum(of_rows)


def probabilities(weights: torch.Tensor) -> np.ndarray:
    return (weights / weights.sum()).numpy()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 100.0, 1e-3])
def test_return_weights(temperature: float) -> None:
    weights = episode_weights(*episodes(REWARDS), 2, "return", temperature)
    returns = [10.0, 2.0, 6.0, -3.0]
    np.testing.assert_allclose(probabilities(weights), expected(returns, temperature), rtol=1e-9)


def test_advantage_weights() -> None:
    """Against numpy's least squares; with an observation that explains a part of the return."""
    first = [[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [4.0, 5.0]]
    weights = episode_weights(*episodes(REWARDS, first), 2, "advantage", 0.3)
    returns = np.array([10.0, 2.0, 6.0, -3.0])
    design = np.column_stack([np.array(first)[:, 0], np.ones(4)])
    fitted = design @ np.linalg.lstsq(design, returns, rcond=None)[0]
    np.testing.assert_allclose(
        probabilities(weights), expected(list(returns - fitted), 0.3), rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["return", "advantage"])
@pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
def test_equal_returns_give_uniform_draws(kind: str, level: float) -> None:
    rewards = [level / length for length in LENGTHS]  # equal up to rounding
    weights = episode_weights(*episodes(rewards), 2, kind, 0.1)
    assert torch.equal(weights, torch.ones(10, dtype=torch.float64))


def test_a_high_temperature_draws_all_rows_alike() -> None:
    weights = episode_weights(*episodes(REWARDS), 2, "return", 1e9)
    assert probabilities(weights) == pytest.approx(0.1)


def test_returns_that_the_first_state_explains_give_uniform_draws() -> None:
    first = [[10.0, 0.0], [2.0, 0.0], [6.0, 0.0], [-3.0, 0.0]]
    weights = episode_weights(*episodes(REWARDS, first), 2, "advantage", 0.1)
    assert torch.equal(weights, torch.ones(10, dtype=torch.float64))


def test_draws_follow_the_weights() -> None:
    """Chi-square over 40,000 draws; rows of weight 0, also the first and the last, never."""
    weights = torch.tensor([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])
    sampler = RowSampler(6, weights)
    drawn = sampler.draw((4, 10_000), torch.Generator().manual_seed(0))
    counts = np.bincount(drawn.flatten().numpy(), minlength=6)
    assert counts[[0, 3, 5]].sum() == 0 and drawn.shape == (4, 10_000)
    assert stats.chisquare(counts[[1, 2, 4]], 40_000 * np.array([1, 2, 5]) / 8).pvalue > 1e-3


def test_a_training_draws_rows_and_starts_by_their_episodes(tmp_path: Any) -> None:
    task = task_of()
    assert task.rows is not None
    last = torch.zeros(60, dtype=torch.bool)
    last[[19, 39, 59]] = True
    rewards = task.rows.clone()
    rewards[:, -3] = torch.repeat_interleave(torch.tensor([0.0, 1.0, 0.0]), 20)
    task = replace(task, rows=rewards, last=last)
    settings = replace(
        SMALL, real_share=0.5, episode_weighting="return", episode_temperature=0.01, updates=3
    )
    module = ReachAwareModule(task, settings, seeds=2, epochs=2, check_every=2, check_episodes=1)
    fit(module, tmp_path)
    drawn = module.draw(20)[:, :, :16]
    best = {tuple(row) for row in rewards[20:40].tolist()}
    assert {tuple(row) for row in drawn.flatten(0, 2).tolist()} == best
    begins = module.replay.rows[:, : SMALL.starts, :2].flatten(0, 1)
    assert {tuple(row) for row in begins.tolist()} <= {
        tuple(row[:2]) for row in rewards[20:40].tolist()
    }


def test_weighting_needs_episodes() -> None:
    settings = replace(SMALL, episode_weighting="return")
    with pytest.raises(ConfigError, match="needs a dataset of episodes"):
        samplers(task_of(data=False), settings)
    with pytest.raises(ConfigError, match="episode_weighting 'best': choose none"):
        replace(SMALL, episode_weighting="best")
    with pytest.raises(ConfigError, match="episode_temperature"):
        replace(SMALL, episode_temperature=0.0)
